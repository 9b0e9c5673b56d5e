"""What each step of a recorded run came to, as a rehearsal writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from soar.engine.routes import branches_of
from soar.events import moment
from soar.model import Verdict
from soar.playbook.durations import written
from soar.playbook.model import ActionStep, ParallelStep, Playbook, SwitchStep
from soar.protocol import GOOD, State
from soar.rehearsal.names import step_names
from soar.rehearsal.told import Performed, Row, Told, steps_of, target_of
from soar.verbs import BLOCK_VERB

_CLASS = {State.SATISFIED.value: "satisfied", State.REFUSED.value: "refused"}
_NOT_GRANTED = {State.DENIED.value, State.LAPSED.value, State.CANCELLED.value}
_DECIDED = {"approved": "granted", "denied": "denied"}


def groups(playbook: Playbook) -> dict[str, str]:
    """The group that each step is prepared with, by the steps' names."""
    names = step_names(playbook)
    found: dict[str, str] = {}
    for step in playbook.workflow.values():
        if isinstance(step, ParallelStep) and step.soar and (step.soar.together or step.soar.approval):
            for member in _members(playbook, step):
                found.setdefault(names[member], names[step.id])
    return found


def _members(playbook: Playbook, opener: ParallelStep) -> Iterator[str]:
    """The actions that a parallel reaches without any decision."""
    todo = [head for _, head in branches_of("", opener)]
    seen: set[str] = set()
    while todo:
        step_id = todo.pop()
        if not step_id or step_id in seen:
            continue
        seen.add(step_id)
        step = playbook.workflow[step_id]
        if isinstance(step, ActionStep):
            yield step_id
        todo += [step.on_success or step.on_completion]
        todo += [head for _, head in branches_of("", step)] if isinstance(step, ParallelStep) else []


def outcomes(
    playbook: Playbook, told: Told, performed: Sequence[Performed], grouped: Mapping[str, str]
) -> dict[str, Any]:
    """By step: one outcome, or one for each time."""
    steps = steps_of(told, performed)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for each in performed:
        approvals = _approvals_of(told, each, steps, grouped)
        by_name.setdefault(each.name, []).append(_outcome(playbook, told, each, approvals))
    stopped: dict[str, dict[str, str]] = {}
    for action in told.actions:  # the members of a group that was stopped were never performed
        name = steps[action["id"]]
        if name in grouped and name not in by_name and action["state"] in _CLASS:
            stopped.setdefault(name, {})[target_of(action)] = _CLASS[action["state"]]
    by_name |= {name: [{"targets": targets}] for name, targets in stopped.items()}
    return {
        name: several[0] if len(several) == 1 else [each or "ok" for each in several]
        for name, several in by_name.items()
        if any(several)
    }


def _outcome(playbook: Playbook, told: Told, one: Performed, approvals: Sequence[Row]) -> dict[str, Any]:
    if one.kind in ("manual", "decide"):
        return _answered(playbook, told, one)
    found: dict[str, Any] = {}
    waited = max((_vote(each, one, found) for each in approvals), default=0.0)
    if one.kind == "prepare":
        return found
    targets = _targets(one)
    if one.result != "ok" and (one.result == "silent" or not _explained(one, targets)):
        never_called = one.kind != "playbook" and one.result == "failed" and not one.actions
        found |= {"result": "refused" if never_called else one.result}
        found |= {"reason": one.reason[:200]} if one.reason else {}
    targets |= _left_out(told, one) if one.visit["verb"] == "block_indicators" else {}
    found |= {"targets": targets} if targets else {}
    outputs = {name: value for name, value in one.visit["outputs"].items() if name != "left_out"}
    if outputs and one.attempt == one.visit["attempt"]:
        found["outputs"] = outputs
    takes = int(((one.ended - one.began).total_seconds() - waited) * 1000) / 1000
    if one.result != "silent" and (takes > 0 or one.watches):
        found["takes"] = written(takes) if takes > 0 else "0s"
    return found


def _approvals_of(told: Told, one: Performed, steps: Mapping[str, str], grouped: Mapping[str, str]) -> list[Row]:
    """The approvals that were asked for by this performance: of its actions, or of its group's."""
    if one.kind == "prepare":
        mine = [action for action in told.actions if grouped.get(steps[action["id"]]) == one.name]
    else:
        mine = [] if one.name in grouped else one.actions
    wanted = {action["approval_id"] for action in mine}
    return [each for each in told.approvals if each["id"] in wanted]


def _vote(approval: Row, one: Performed, found: dict[str, Any]) -> float:
    """Write down how it was decided; returns for how many seconds it was waited for."""
    decided = moment(approval["decided_at"]) if approval["decided_at"] else one.ended
    after = max(0.0, (decided - moment(approval["asked_at"])).total_seconds())
    decision = _DECIDED.get(approval["status"], "silent")
    whole = int(after * 1000) / 1000
    if decision == "silent":
        found["approval"] = "silent"
    elif whole:
        found["approval"] = {"decision": decision, "after": written(whole)}
    elif decision != "granted":
        found["approval"] = decision
    return after


def _targets(one: Performed) -> dict[str, Any]:
    """The targets that came out otherwise than the rest; what nobody agreed to follows from the approval."""
    found: dict[str, Any] = {}
    for each in one.actions:
        state, name = each["state"], target_of(each)
        if state in _CLASS or (state in {good.value for good in GOOD} and not each["called_at"]):
            found[name] = _CLASS.get(state, "satisfied")
        elif state not in {good.value for good in GOOD} | _NOT_GRANTED | {State.HANDED_OVER.value, State.TARGET_GONE}:
            found[name] = {"result": "failed", "reason": each["summary"][:200]} if each["summary"] else "failed"
    return found


def _explained(one: Performed, targets: Mapping[str, Any]) -> bool:
    """The targets alone make the result what it was."""
    bad = any(each != "satisfied" for each in targets.values())
    return bad or any(each["state"] in _NOT_GRANTED for each in one.actions)


def _left_out(told: Told, one: Performed) -> dict[str, str]:
    """What is held malicious and was not blocked all the same: nothing that was connected could."""
    done = {each["target_id"] for each in one.actions}
    ids = {f"{each['type']}:{each['value']}": each for each in told.incident["observables"]}
    return {
        name: "left_out"
        for name, each in ids.items()
        if name not in done and each["verdict"] == Verdict.MALICIOUS.value and each["type"] in BLOCK_VERB
    }


def _answered(playbook: Playbook, told: Told, one: Performed) -> dict[str, Any]:
    """What a person said. A decision stands in the task alone."""
    if one.result == "silent":
        return {"result": "silent"}
    takes = int((one.ended - one.began).total_seconds() * 1000) / 1000
    found: dict[str, Any] = {"takes": written(takes)} if takes > 0 else {}
    if one.kind == "manual":
        return {**found, "answer": dict(one.visit["outputs"])} if one.visit["outputs"] else found
    tasks = [
        each for each in told.tasks
        if each["kind"] == "decide" and one.began <= moment(each["opened_at"]) <= one.ended
    ]  # fmt: skip
    said = tasks[0]["answer"].get("branch") if tasks else None
    return {**found, "answer": str(said) if _switches(playbook, one) else str(said).lower() == "true"}


def _switches(playbook: Playbook, one: Performed) -> bool:
    names = step_names(playbook)
    return any(isinstance(step, SwitchStep) and names[step.id] == one.name for step in playbook.workflow.values())
