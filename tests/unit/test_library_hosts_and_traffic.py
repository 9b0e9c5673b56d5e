"""When the playbooks for hosts and traffic are proposed, and what they promise to the people that they tell."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from soar.expressions import parse
from soar.playbook.model import Playbook
from soar.playbook.yaml.yaml_form import load
from tests.conftest import ROOT


def book(name: str) -> Playbook:
    return load((ROOT / "playbooks" / "library" / f"{name}.yaml").read_bytes())


def proposed(name: str, severity: int, techniques: Sequence[str]) -> bool:
    facts = {"alert": {"severity_id": severity, "techniques": list(techniques)}}
    return any(parse(trigger.when).evaluate(facts) for trigger in book(name).triggers)


@pytest.mark.parametrize(
    ("name", "technique", "from_severity"),
    [
        ("malware-found", "T1547.001", 2),
        ("command-and-control-beacon", "T1071.004", 3),
        ("data-exfiltration", "T1567.002", 3),
        ("web-application-attack", "T1190", 3),
        ("denial-of-service", "T1498.001", 3),
    ],
)
def test_a_playbook_is_proposed_for_its_techniques_from_its_severity_on(
    name: str, technique: str, from_severity: int
) -> None:
    assert proposed(name, from_severity, ["T1003", technique])
    assert not proposed(name, from_severity - 1, [technique])
    assert not proposed(name, 5, ["T1003"])
    assert not proposed(name, 5, [])
    assert [trigger.start for trigger in book(name).triggers] == ["propose"]


@pytest.mark.parametrize("name", ["data-exfiltration", "web-application-attack", "denial-of-service"])
def test_where_the_law_has_times_they_are_told_as_a_question_to_persons(name: str) -> None:
    texts = [
        step.soar.with_["text"] for step in book(name).workflow.values() if step.soar and step.soar.verb == "notify"
    ]
    said = json.dumps(texts)
    assert "72 hours" in said
    assert "judge" in said
