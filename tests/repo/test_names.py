"""What no file may name: places on somebody's machine, and hosts that packages come from."""

from __future__ import annotations

import re

import pytest

from tests.repo.checkout import ROOT, tracked

HOSTS = ("pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org")
PLACES = re.compile("(?<![\\w.}])/" + "(?:home|tmp|work|root|Users)" + r"/\w+")
ON_SUSPECT_HOSTS = {"tests/chaos/house.py", "tests/crash/drills.py", "tests/unit/test_yara_scan.py"}
"""Files whose paths are those of evidence and malware, on hosts that are looked at."""


def texts() -> list[tuple[str, str]]:
    found = []
    for name in tracked():
        try:
            found.append((name, (ROOT / name).read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = [
        f"{name}: {match.group()}"
        for name, text in texts()
        if name not in ON_SUSPECT_HOSTS
        for match in PLACES.finditer(text)
    ]
    assert found == []


def test_no_file_names_where_the_checkout_lies() -> None:
    assert [name for name, text in texts() if str(ROOT) in text] == []


@pytest.mark.parametrize("host", HOSTS)
def test_no_file_names_a_host_that_packages_come_from(host: str) -> None:
    assert [name for name, text in texts() if host in text] == []


@pytest.mark.parametrize("sample", ["/" + "home/me/soar", "/" + "tmp/x", "see /" + "work/shared", "'/" + "Users/me'"])
def test_the_search_finds_such_places(sample: str) -> None:
    assert PLACES.search(sample)


@pytest.mark.parametrize("sample", ["https://example.org/" + "home/page", "docs/" + "work/x", '"/' + 'home/"'])
def test_the_search_passes_over_what_is_none(sample: str) -> None:
    assert not PLACES.search(sample)
