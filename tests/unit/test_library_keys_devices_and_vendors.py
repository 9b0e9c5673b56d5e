"""Which alerts propose the playbooks about keys, devices, vendors and holes, and what a triage hands over to."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks import shipped
from soar.expressions import parse
from soar.playbook.model import Playbook, PlaybookActionStep, SwitchStep, playbook_id
from soar.playbook.yaml.yaml_form import load
from tests.conftest import ROOT


def book(name: str) -> Playbook:
    return load((ROOT / "playbooks" / "library" / f"{name}.yaml").read_bytes())


def proposed(name: str, alert: dict[str, Any]) -> bool:
    """Whether a playbook of the library is proposed for an alert; none of them ever starts by itself."""
    playbook = book(name)
    assert {trigger.start for trigger in playbook.triggers} == {"propose"}
    return any(parse(trigger.when).evaluate({"alert": alert}) for trigger in playbook.triggers)


@pytest.mark.parametrize(
    ("name", "alert"),
    [
        ("leaked-cloud-key", {"techniques": ["T1552.001"], "severity_id": 3}),
        ("leaked-cloud-key", {"rule_name": "Exposed API key in repository", "severity_id": 4}),
        ("lost-or-stolen-device", {"rule_name": "User reports stolen laptop"}),
        ("vendor-breach", {"techniques": ["T1199"], "severity_id": 3}),
        ("ransomware", {"techniques": ["T1486"], "severity_id": 5}),
        (
            "emergency-vulnerability",
            {"techniques": ["T1190"], "severity_id": 5, "rule_name": "Exploitation of CVE-2026-12345"},
        ),
        ("false-positive-triage", {"severity_id": 2}),
    ],
)
def test_it_is_proposed_where_it_fits(name: str, alert: dict[str, Any]) -> None:
    assert proposed(name, alert)
    assert not proposed(name, {"techniques": ["T1498"], "severity_id": 5, "rule_name": "Denial of service"})


def test_a_weak_sign_proposes_no_harsh_measure() -> None:
    assert not proposed("ransomware", {"techniques": ["T1486"], "severity_id": 3})
    assert not proposed("leaked-cloud-key", {"techniques": ["T1552.001"], "severity_id": 2})
    assert not proposed("vendor-breach", {"techniques": ["T1199"], "severity_id": 2})


def test_a_triage_hands_over_to_playbooks_of_the_library_in_the_version_that_it_was_reviewed_with() -> None:
    known = {playbook.id: playbook for playbook in (load(path.read_bytes()) for path in shipped())}
    steps = book("false-positive-triage").workflow
    called = [step for step in steps.values() if isinstance(step, PlaybookActionStep)]
    assert {step.playbook_id for step in called} <= set(known)
    for step in called:
        assert step.playbook_version == known[step.playbook_id].modified, step.label


def test_the_word_that_a_person_writes_is_the_name_of_the_playbook_that_goes_on() -> None:
    steps = book("false-positive-triage").workflow
    ways = next(step for step in steps.values() if isinstance(step, SwitchStep) and "playbook" in step.switch)
    for word, head in ways.cases.items():
        step = steps[head]
        assert word == "default" or (isinstance(step, PlaybookActionStep) and step.playbook_id == playbook_id(word))
