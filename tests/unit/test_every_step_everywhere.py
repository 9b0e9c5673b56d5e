"""Each type of step in each position of a playbook: it is performed there, and nothing is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from soar.engine import conductor
from soar.engine.run_state import RunState
from soar.engine.signals import Perform, StepEnded
from soar.playbook.cacao import cacao_form
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form

SAY = "{do: notify, with: {team: on-call, text: More}}"
TYPES = {
    "verb": "{id: x, do: notify, with: {team: on-call, text: Here}}",
    "manual": "{id: x, manual: Look, outputs: {seen: str}}",
    "manual command": "{id: x, command: {type: manual, command: Look}}",
    "command": "{id: x, command: {type: http-api, command: GET / HTTP/1.1}, agent: desk, targets: [desk]}",
    "commands": "{id: x, agent: desk, targets: [desk], command: [{type: ssh, command: id}, {type: bash, command: id}]}",
    "undo": "{id: x, undo: [cut], reason: recovered, approval: {any_of: [responder], within: 1h, on_timeout: deny}}",
    "playbook": "{id: x, playbook: another}",
    "parallel": f"{{id: x, parallel: [[{SAY}], [{SAY}, {SAY}]]}}",
    "if": f"{{id: x, if: 'alert:yes = 1', then: [{SAY}], else: [{SAY}]}}",
    "while": f"{{id: x, while: 'alert:turns = 1', max: 3, steps: [{SAY}]}}",
    "switch": f"{{id: x, switch: $which, cases: {{a: [{SAY}], b: [{SAY}]}}, default: [{SAY}]}}",
}
POSITIONS = {
    "alone": "  - X",
    "first": f"  - X\n  - {SAY}",
    "between": f"  - {SAY}\n  - X\n  - {SAY}",
    "last": f"  - {SAY}\n  - X",
    "then": "  - {if: 'alert:yes = 1', then: [X]}",
    "else": f"  - {{if: 'alert:no = 1', then: [{SAY}], else: [X]}}",
    "turn": "  - {while: 'alert:turns = 1', max: 3, steps: [X]}",
    "case": f"  - {{switch: $which, cases: {{a: [X], b: [{SAY}]}}}}",
    "default": f"  - {{switch: $which, cases: {{b: [{SAY}]}}, default: [X]}}",
    "branch": f"  - {{parallel: [[{SAY}], [{SAY}, X, {SAY}]]}}",
    "deep": f"  - {{parallel: [[{{if: 'alert:yes = 1', then: [{{switch: $which, cases: {{a: [X]}}}}]}}], [{SAY}]]}}",
    "handler": "  - {id: breaks, do: notify, with: {team: on-call, text: No}, on_failure: mend}\n"
    "handlers:\n  mend:\n    - X",
    "exception": "  - {id: breaks, do: notify, with: {team: on-call, text: No}}\n"
    "on_exception: mend\nhandlers:\n  mend:\n    - X",
}
HEAD = """id: everywhere
name: Everywhere
variables: {which: {type: str, default: a}}
agents: {desk: {type: http-api, address: {dname: [desk.example]}}}
targets: {desk: {type: http-api, address: {dname: [desk.example]}}}
steps:
  - {id: cut, do: isolate_host, with: {host: ws-1}, review: 1d}
"""


def book(kind: str, position: str) -> Playbook:
    text = HEAD + POSITIONS[position].replace("X", TYPES[kind]) + "\n"
    playbook, _, noted = yaml_form.read(text.encode())
    assert not noted, noted
    return playbook


def driven(playbook: Playbook) -> tuple[RunState, list[str]]:
    """The whole run: everything succeeds but the step that breaks; loops turn once. What was performed, in order."""
    steps = playbook.workflow
    facts: dict[str, Any] = {"alert": {"yes": 1, "turns": 1}}
    decision = conductor.start(playbook, {"which": "a"}, facts)
    todo, performed = list(decision.todo), []
    while todo:
        each = todo.pop(0)
        if not isinstance(each, Perform):
            continue
        soar = steps[each.step_id].soar
        slug = soar.slug if soar else ""
        performed.append(slug)
        loops = [visit.id for visit in decision.state.steps.values() if visit.step_id.startswith("while-condition--")]
        if any(each.branch.startswith(f"{loop}/") for loop in loops):
            facts["alert"]["turns"] = 0
        end = StepEnded(
            occurrence=each.occurrence, attempt=each.attempt, result="failed" if slug == "breaks" else "ok",
            outputs={"seen": "yes"},
        )  # fmt: skip
        decision = conductor.feed(playbook, decision.state, end, facts)
        todo += decision.todo
    return decision.state, performed


@pytest.mark.parametrize("notation", ["yaml", "cacao"])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", TYPES)
def test_each_type_of_step_is_performed_wherever_it_stands(kind: str, position: str, notation: str) -> None:
    playbook = book(kind, position)
    if notation == "cacao":
        playbook = cacao_form.from_document(cacao_form.to_document(playbook))
    state, performed = driven(playbook)
    (step_id,) = [step.id for step in playbook.workflow.values() if step.soar and step.soar.slug == "x"]
    visits = [visit for visit in state.steps.values() if visit.step_id == step_id]
    assert [visit.status for visit in visits] == ["succeeded"], visits
    inside = [visit for visit in state.steps.values() if visit.branch.startswith(f"{visits[0].id}/")]
    opens = kind in ("parallel", "if", "while", "switch")
    assert bool(inside) is opens
    assert all(visit.status == "succeeded" for visit in inside)
    assert ("x" in performed) is not opens
    assert state.status == ("failed" if position in ("handler", "exception") else "succeeded"), state.reason
