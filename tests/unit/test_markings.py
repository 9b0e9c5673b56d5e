"""What may leave the house, by the markings of a playbook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.errors import Invalid
from soar.playbook.trust import markings
from soar.playbook.trust.markings import COMMON_OBJECTS, Tlp, may_leave, parse_level, refusal

LEVELS = list(Tlp)
OUTSIDE = {"teams_ceiling": Tlp.AMBER, "outside_teams": {"cert"}}
IDS = {level: name for name, level in COMMON_OBJECTS.items()}
STATEMENT = "marking-statement--6424867b-0440-4885-bd0b-604d51786d06"
IEP = "marking-iep--6424867b-0440-4885-bd0b-604d51786d06"
OWN = "marking-tlp--6424867b-0440-4885-bd0b-604d51786d06"


def marked(*names: str, **definitions: Any) -> markings.Markings:
    return markings.read({"markings": list(names), "data_marking_definitions": definitions})


def test_the_common_objects_are_those_that_oasis_publishes(samples: Path) -> None:
    published = {}
    for file in (samples / "cacao/common-objects").glob("*.json"):
        for name, each in json.loads(file.read_bytes()).items():
            published[name] = each["tlpv2_level"]
            assert marked(name, **{name: each}) == markings.Markings(level=COMMON_OBJECTS[name])
    assert published == {name: str(level) for name, level in COMMON_OBJECTS.items()}


@given(st.lists(st.sampled_from(LEVELS)))
def test_the_strictest_level_counts(levels: list[Tlp]) -> None:
    found = marked(*(IDS[level] for level in levels))
    assert found.level == (max(levels, key=LEVELS.index) if levels else None)
    assert found.problems == ()


@pytest.mark.parametrize("own", [{}, {"tlpv2_level": "TLP:PINK"}, {"tlpv2_level": 3}, "x", None, []])
def test_a_marking_that_cannot_be_understood_counts_as_red(own: Any) -> None:
    found = marked(IDS[Tlp.GREEN], OWN, **{OWN: own})
    assert found.level is Tlp.RED
    assert [problem.code for problem in found.problems] == ["marking_not_understood"]


def test_nobody_can_define_a_common_id_anew() -> None:
    name = IDS[Tlp.RED]
    found = marked(name, **{name: {"type": "marking-tlp", "tlpv2_level": "TLP:CLEAR"}})
    assert found.level is Tlp.RED
    assert "whatever its definition says" in found.problems[0].message


@pytest.mark.parametrize(
    "document", [{"markings": "x"}, {"markings": [3]}, {"markings": [], "data_marking_definitions": 3}]
)
def test_markings_of_any_shape_are_red_and_told(document: Any) -> None:
    found = markings.read(document)
    assert (found.level, len(found.problems)) == (Tlp.RED, 1)


def test_statements_and_policies_are_kept_and_the_policys_level_counts() -> None:
    policy = {"type": "marking-iep", "tlp": "AMBER", "attribution": "may"}
    found = marked(STATEMENT, IEP, **{STATEMENT: {"statement": "Copyright 2026"}, IEP: policy})
    assert found == markings.Markings(level=Tlp.AMBER, statements=("Copyright 2026",), policies=(policy,))
    assert markings.read({}) == markings.Markings()


def test_levels_are_read_as_people_write_them() -> None:
    assert [parse_level(text) for text in ("tlp:amber", " RED ", "white", "TLP:AMBER+STRICT")] == [
        Tlp.AMBER, Tlp.RED, Tlp.CLEAR, Tlp.AMBER_STRICT,
    ]  # fmt: skip
    for text in ("", "TLP:", "orange", "TLP:TLP:RED"):
        with pytest.raises(Invalid, match="unknown_tlp"):
            parse_level(text)


@given(level=st.sampled_from([None, *LEVELS]), ceiling=st.sampled_from([None, *LEVELS]))
def test_nothing_leaves_above_a_ceiling(level: Tlp | None, ceiling: Tlp | None) -> None:
    above = level is not None and ceiling is not None and LEVELS.index(level) > LEVELS.index(ceiling)
    assert bool(may_leave(level, ceiling)) is above


@pytest.mark.parametrize(
    ("verb", "params", "level", "bounds", "said"),
    [
        ("share_intel", {"tlp": "TLP:GREEN"}, Tlp.AMBER, {}, "would share it as TLP:GREEN"),
        ("share_intel", {"tlp": "TLP:AMBER"}, Tlp.AMBER, {}, ""),
        ("share_intel", {"tlp": "TLP:RED"}, Tlp.GREEN, {"adapter_ceiling": Tlp.AMBER}, "marked TLP:RED"),
        ("share_intel", {"tlp": "pink"}, None, {}, "no level of TLP"),
        ("share_intel", {}, None, {}, "no level of TLP"),
        ("isolate_host", {"host": "x"}, Tlp.RED, {"adapter_ceiling": Tlp.AMBER}, "a system with a bound"),
        ("isolate_host", {"host": "x"}, Tlp.RED, OUTSIDE, ""),
        ("notify", {"team": "cert"}, Tlp.RED, OUTSIDE, "outside"),
        ("notify", {"team": "soc"}, Tlp.RED, OUTSIDE, ""),
        ("open_ticket", {"team": "cert"}, Tlp.AMBER_STRICT, OUTSIDE, "+STRICT"),
        ("notify", {"team": "cert"}, None, {"teams_ceiling": Tlp.CLEAR, "outside_teams": {"cert"}}, ""),
    ],
)  # fmt: skip
def test_an_action_is_refused_by_where_it_would_go(verb: str, params: Any, level: Any, bounds: Any, said: str) -> None:
    found = refusal(verb, params, level, **bounds)
    assert said in found
    assert bool(found) is bool(said)
