"""The playbooks that come with the product are good, and say what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from soar.engine.binding import initial_inputs, turns
from soar.expressions import parse
from soar.playbook.model import Playbook
from soar.playbook.yaml.yaml_form import load
from soar.verbs import VERBS, OnExpiry, Risk
from tests.conftest import ROOT

FILES = sorted((ROOT / "playbooks" / "library").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=[path.stem for path in FILES])
def shipped(request: pytest.FixtureRequest) -> tuple[Path, Playbook]:
    return request.param, load(request.param.read_bytes())


def test_there_are_playbooks() -> None:
    assert {"compromised-host", "triage-alert"} <= {path.stem for path in FILES}


def test_a_file_is_called_as_its_playbook(shipped: tuple[Path, Playbook]) -> None:
    path, playbook = shipped
    assert path.stem == playbook.slug
    assert playbook.name
    assert playbook.description


def test_what_can_do_harm_never_starts_by_itself(shipped: tuple[Path, Playbook]) -> None:
    _, playbook = shipped
    verbs = [VERBS[step.soar.verb] for step in playbook.workflow.values() if step.soar and step.soar.verb]
    automatic = any(trigger.start == "automatic" for trigger in playbook.triggers)
    assert not automatic or all(verb.risk in (Risk.READ, Risk.LOW) for verb in verbs)


def test_what_destroys_wants_an_approval(shipped: tuple[Path, Playbook]) -> None:
    _, playbook = shipped
    for step in playbook.workflow.values():
        if step.soar and step.soar.verb and VERBS[step.soar.verb].risk is Risk.DESTRUCTIVE:
            assert step.soar.approval, step.label


def test_what_stands_at_a_target_is_reviewed(shipped: tuple[Path, Playbook]) -> None:
    _, playbook = shipped
    for step in playbook.workflow.values():
        if step.soar and step.soar.verb and VERBS[step.soar.verb].on_expiry is not OnExpiry.NONE:
            assert step.soar.review or step.soar.lease, step.label


def test_the_compromised_host_is_proposed_for_encryption_and_lateral_movement() -> None:
    when = load((ROOT / "playbooks/library/compromised-host.yaml").read_bytes()).triggers[0].when
    assert parse(when).evaluate({"alert": {"severity_id": 5, "techniques": ["T1021.002", "T1003"]}})
    assert not parse(when).evaluate({"alert": {"severity_id": 3, "techniques": ["T1486"]}})
    assert not parse(when).evaluate({"alert": {"severity_id": 5, "techniques": ["T1003"]}})


def test_an_alert_without_observables_is_triaged_all_the_same() -> None:
    playbook = load((ROOT / "playbooks/library/triage-alert.yaml").read_bytes())
    assert [trigger.start for trigger in playbook.triggers] == ["automatic"]
    inputs = initial_inputs(playbook, {"alert": {}, "incident": {}, "scope": {}}, {})
    look_up = next(step.soar for step in playbook.workflow.values() if step.soar and step.soar.verb == "look_up")
    assert turns(look_up, inputs) == []
    found = initial_inputs(playbook, {"incident": {"observables": ["url:https://x.example/"]}}, {})
    assert [each["observable"] for each in turns(look_up, found)] == ["url:https://x.example/"]
