"""What is installed: exact versions with their digests, from wherever the reader's own index is."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.repo.checkout import ROOT, tracked

EXTRAS = {
    "requirements/run.txt": ("build", "postgres"),
    "requirements/test.txt": ("build", "postgres", "test"),
    "requirements/bench.txt": ("build", "bench"),
}
"""Each lock, and what is pinned in it beside what the project always needs."""
LOCKS = sorted(name for name in tracked() if name.startswith("requirements/"))
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_LINE = re.compile(r"([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==(\S+)(?: ; ([^\\]+?))?((?: --hash=sha256:[0-9a-f]{64})+)")


@dataclass(frozen=True)
class Pin:
    """One locked requirement."""

    name: str
    version: Version


def statements(lock: str) -> list[str]:
    """The lines of a lock file, joined where they go on, without comments."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (re.sub(r"\s+", " ", line.partition("#")[0]).strip() for line in text.splitlines())
    return [line for line in lines if line]


@functools.cache
def pins(lock: str) -> dict[str, Pin]:
    found: dict[str, Pin] = {}
    for line in statements(lock):
        match = _LINE.fullmatch(line)
        assert match, f"{lock}: this is no pinned requirement with hashes: {line[:120]}"
        name = canonicalize_name(match[1])
        found[name] = Pin(name, Version(match[2]))
    return found


@functools.cache
def wanted(*extras: str) -> list[Requirement]:
    """What the project says it needs, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in texts]


def test_there_are_the_locks_that_make_uses() -> None:
    assert sorted(EXTRAS) == LOCKS


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_one_version_with_its_hashes(lock: str) -> None:
    assert len(pins(lock)) > 20


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_get_things_from(lock: str) -> None:
    text = _HASH.sub("", (ROOT / lock).read_text(encoding="utf-8"))
    assert not re.findall(r"https?:|git\+|file:| @ |--?\w[\w-]*(?:index|links|host)[\w-]*|^-", text, re.MULTILINE)


@pytest.mark.parametrize(("lock", "extras"), EXTRAS.items())
def test_what_the_project_needs_is_pinned_to_a_version_that_it_accepts(lock: str, extras: tuple[str, ...]) -> None:
    for requirement in wanted(*extras):
        pin = pins(lock).get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not pinned in {lock}; run make lock"
        assert pin.version in requirement.specifier, f"{lock} pins {pin}, the project wants {requirement}"


def test_a_database_url_of_postgresql_needs_nothing_more_installed() -> None:
    assert {"psycopg", "psycopg-binary"} <= pins("requirements/run.txt").keys()


def test_tests_run_with_the_versions_that_the_product_runs_with() -> None:
    run, test = (pins(f"requirements/{name}.txt") for name in ("run", "test"))
    assert {name: test.get(name) for name in run} == run
