"""Which playbooks fit an alert, and why: the expressions read the facts that sources write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.sources import elastic, suricata
from integrations.sources.samples import load_sample
from soar.errors import Invalid
from soar.triggers import Trigger, matches

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
RANSOMWARE = Trigger(
    "compromised-host",
    "alert:severity_id >= 4 AND alert:techniques[*] IN ('T1486', 'T1021.002')",
    "automatic",
    "on_new_entity",
)
C2 = Trigger("command-and-control", "alert:techniques[*] = 'T1071' OR alert:source = 'zeek'")
ON_THE_DC = Trigger("domain-controller", "alert:hosts[*] = 'dc-01'")


def facts(name: str) -> dict[str, Any]:
    source = elastic.source() if name.startswith("elastic") else suricata.source()
    (alert,) = source.parse(load_sample(name, NOW))
    return {"alert": alert.facts, "incident": {}, "scope": {}, "variables": {}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("elastic_encryption", ["compromised-host"]),
        ("elastic_lateral", ["compromised-host", "domain-controller"]),
        ("suricata_c2", ["command-and-control"]),
    ],
)
def test_each_sample_meets_the_playbooks_made_for_it(name: str, expected: list[str]) -> None:
    assert [each.playbook_id for each in matches([RANSOMWARE, C2, ON_THE_DC], facts(name))] == expected


def test_a_match_says_which_trigger_held_and_why() -> None:
    (match,) = matches([RANSOMWARE], facts("elastic_encryption"))
    assert match.trigger is RANSOMWARE
    assert match.trigger.start == "automatic"
    told = " ".join(match.why)
    assert "severity_id" in told
    assert "techniques" in told


def test_matches_come_in_the_order_of_the_triggers() -> None:
    found = matches([ON_THE_DC, RANSOMWARE], facts("elastic_lateral"))
    assert [each.trigger for each in found] == [ON_THE_DC, RANSOMWARE]


@pytest.mark.parametrize(
    "when", ["alert:no_such_fact = 'x'", "alert:no_such_fact != 'x'", "incident:priority = 1", "alert:severity_id = 4"]
)
def test_what_is_not_known_or_not_so_starts_nothing(when: str) -> None:
    assert matches([Trigger("p", when)], facts("elastic_encryption")) == []


def test_no_triggers_and_no_facts_match_nothing() -> None:
    assert matches([], facts("suricata_c2")) == []
    assert matches([RANSOMWARE], {"alert": {}, "incident": {}, "scope": {}, "variables": {}}) == []


@pytest.mark.parametrize("when", ["", "alert:severity_id >=", "x = 1)", "alert:rule_name MATCHES '('"])
def test_a_trigger_that_cannot_be_read_cannot_be_made(when: str) -> None:
    with pytest.raises(Invalid):
        Trigger("p", when)
