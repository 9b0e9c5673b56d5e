"""Warning lists as they are shared: read from the package that carries MISP's own, and from files of one's own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from api import warning_lists
from soar.errors import Invalid
from soar.guards import reach
from soar.guards.reach import Reach
from soar.guards.warning import WarningLists

RESOLVERS = "List of known IPv4 public DNS resolvers"


def cut(what: str, value: str) -> Reach:
    found = reach.read(what, value)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def some() -> WarningLists:
    return warning_lists.read(["misp:rfc1918", "misp:public-dns-v4", "misp:crl-hostname", "misp:common-contact-emails"])


@pytest.mark.parametrize(
    ("what", "value", "hits"),
    [
        ("ip", "192.168.1.1", "List of RFC 1918 CIDR blocks"), ("ip", "8.8.8.8", RESOLVERS),
        ("ip", "8.8.8.0/24", RESOLVERS), ("ip", "198.51.100.77", ""),
        ("sender", "abuse@vendor.test", "Common contact e-mail addresses"), ("domain", "c2.evil.test", ""),
    ],
)  # fmt: skip
def test_the_lists_of_misp_say_what_they_say(some: WarningLists, what: str, value: str, hits: str) -> None:
    assert some.touching(cut(what, value)) == ((hits,) if hits else ())


def test_asking_costs_next_to_nothing(some: WarningLists) -> None:
    asked = [cut("ip", f"203.0.{high}.{low}") for high in range(40) for low in range(50)]
    began = time.process_time()
    for each in asked:
        some.touching(each)
    each_us = (time.process_time() - began) / len(asked) * 1e6
    print(f"{each_us:.0f} us for one address against {len(some)} lists")
    assert each_us < 1_000


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "mine.json"), ("[]", "no warning list"),
        ({"name": "x", "type": "cidr", "list": "10.0.0.0/8"}, "no warning list"),
        ({"name": "x", "type": "magic", "list": []}, "no warning list"),
        ({"name": "x", "type": "string", "list": [3]}, "no warning list"),
        ({"name": "x", "type": "regex", "list": ["/(a/"]}, "no regular expression"),
    ],
)  # fmt: skip
def test_a_list_that_is_wrong_is_named(tmp_path: Path, content: Any, word: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(Invalid, match=word):
        warning_lists.read([str(file)])


def test_a_list_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="gone"):
        warning_lists.read([str(tmp_path / "gone.json")])
    with pytest.raises(Invalid) as caught:
        warning_lists.read(["misp:nothing"])
    assert "rfc1918" in caught.value.problems[0].mend


def test_a_folder_brings_all_that_lie_in_it(tmp_path: Path) -> None:
    for name, network in (("one", "10.0.0.0/8"), ("two", "2001:db8::/32")):
        given = {"name": name, "type": "cidr", "list": [network]}
        (tmp_path / f"{name}.json").write_text(json.dumps(given), encoding="utf-8")
    lists = warning_lists.read([str(tmp_path)])
    assert lists.touching(cut("ip", "10.1.2.3")) == ("one",)
    assert lists.touching(cut("ip", "2001:db8:7::/48")) == ("two",)
