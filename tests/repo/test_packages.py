"""What is shipped: five packages, whole, and nothing else."""

from __future__ import annotations

import configparser
import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.repo.checkout import PACKAGES, ROOT, git, tracked

SHIPPED = {
    "playbooks in the library": ("playbooks/library/", ".yaml"),
    "YARA rules": ("evidence/rules/", ".yar"),
    "sample alerts": ("integrations/sources/samples/", ".json"),
    "migrations": ("soar/store/migrations/versions/", ".py"),
    "the template of migrations": ("soar/store/migrations/", ".mako"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built here without any network."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_git_ignores_no_package_and_nothing_in_it(package: str) -> None:
    """The wheel's builder obeys the ignore file even for tracked files: one careless line ships half a product."""
    paths = [package, f"{package}/", f"{package}/new.py", f"{package}/deeper/new.json"]
    ignored = git("check-ignore", "--no-index", "--verbose", *paths)
    assert (ignored.returncode, ignored.stdout) == (1, "")


def test_the_wheel_holds_the_five_packages_and_its_own_record(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    (record,) = (top for top in tops if top.endswith(".dist-info"))
    assert record.startswith("soar_ir-")
    assert tops - {record} == set(PACKAGES)


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if name.split("/")[0] in PACKAGES}
    here = {name for name in tracked() if name.split("/")[0] in PACKAGES}
    assert inside - here == set(), "in the wheel, but not in the repository"
    assert here - inside == set(), "in the repository, but not in the wheel"


@pytest.mark.parametrize("what", SHIPPED)
def test_the_wheel_brings_what_is_no_code(wheel: zipfile.ZipFile, what: str) -> None:
    start, end = SHIPPED[what]
    assert [name for name in wheel.namelist() if name.startswith(start) and name.endswith(end)]


def test_the_wheel_brings_no_test(wheel: zipfile.ZipFile) -> None:
    stems = {Path(name).name for name in wheel.namelist()}
    assert not {stem for stem in stems if stem.startswith("test_") or stem == "conftest.py"}


def test_the_wheel_brings_the_command_and_it_exists(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert dict(points["console_scripts"]) == {"soar": "api.cli:main"}
    assert callable(importlib.import_module("api.cli").main)


def test_the_wheel_brings_its_licence(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert b"Apache License" in wheel.read(name)
