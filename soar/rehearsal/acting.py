"""From a step to the calls that it would make in a rehearsal, and from their outcomes to its result.

The rules are those of the engine (soar.engine.planning, soar.engine.steps) without rows, systems and guards:
one call for each target, a list element once, blocks only of what is held malicious, a step that succeeded
for some targets is partial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from soar.engine.binding import bind, turns
from soar.engine.commanding import plan_commands
from soar.engine.parts import Parts
from soar.engine.planning import Planned
from soar.engine.signals import Result
from soar.errors import Invalid
from soar.guards.policy import Policy
from soar.model import EntityKind, Observable, Target, Verdict
from soar.playbook.model import ActionStep, Playbook, Soar
from soar.rehearsal.model import Outcome
from soar.rehearsal.standing import Register
from soar.verbs import BLOCK_VERB, VERBS, Verb

ANY_SYSTEM = "rehearsal"
"""What stands for the connected system of a call."""
_PARTS = cast("Parts", SimpleNamespace(adapter_for=lambda _verb: SimpleNamespace(name=ANY_SYSTEM)))
"""All that the planning of commands asks of the engine's parts: every verb finds a system."""
_CONFIDENT = Policy().block_confidence
_GOOD = ("ready", "done", "satisfied")


@dataclass(slots=True)
class Act:
    """One call as it would be. `state`: ready, done, satisfied, refused, denied, lapsed, failed, not_effective."""

    planned: Planned
    state: str = "ready"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Acts:
    """The calls of one step, and the observables that it leaves out, each with the reason."""

    acts: list[Act]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def ready(self) -> list[Act]:
        return [act for act in self.acts if act.state == "ready"]

    @property
    def targets(self) -> set[str]:
        """All names under which an outcome may speak of one of these targets."""
        names = {name for act in self.acts for name in (act.planned.target.id, act.planned.target_name)}
        return names | {name for name, _ in self.left_out}


def plan(
    playbook: Playbook, step: ActionStep, variables: Mapping[str, Any], outcome: Outcome, register: Register,
    observables: Iterable[Observable], now: float,
) -> Acts:  # fmt: skip
    """What the step would do, with what its outcome says of targets before any call. Raises Invalid."""
    soar = step.soar or Soar()
    left_out: list[tuple[str, str]] = []
    if soar.undo:
        planned = register.undos(soar.undo, soar.reason or "recovered", now)
    elif not soar.verb:
        planned = list(plan_commands(_PARTS, playbook, step, variables, {}).actions)
    elif VERBS[soar.verb].undoes:
        raise Invalid(f"{soar.slug}: {soar.verb} takes something back; write it as undo")
    elif soar.verb == "block_indicators":
        planned, left_out = _blocks(soar, observables, outcome)
    else:
        planned = [_one(VERBS[soar.verb], soar, scope) for scope in turns(soar, variables)]
    acts = [Act(each) for each in planned]
    for act in acts:
        said = outcome.targets.get(act.planned.target.id) or outcome.targets.get(act.planned.target_name)
        result = said.result if said else outcome.result
        if result in ("refused", "satisfied"):
            act.state, act.reason = result, (said.reason if said else outcome.reason)
    return Acts(acts, tuple(left_out))


def _one(verb: Verb, soar: Soar, variables: Mapping[str, Any]) -> Planned:
    params = {name: bind(value, variables) for name, value in soar.with_.items()}
    problems = verb.problems(params)
    if problems:
        raise Invalid(f"{soar.slug}: {problems[0]}", problems)
    target = Target(kind=verb.target_kind, id=str(params[verb.target_param]))
    return Planned(
        verb=verb.name, target=target, target_name=_shown(target), adapter=ANY_SYSTEM, params=params,
        lease=int(soar.lease or 0), review=int(soar.review or 0),
    )  # fmt: skip


def _shown(target: Target) -> str:
    """An observable by its value, everything else by its id."""
    return target.id.partition(":")[2] or target.id if target.kind is EntityKind.OBSERVABLE else target.id


def _blocks(
    soar: Soar, observables: Iterable[Observable], outcome: Outcome
) -> tuple[list[Planned], list[tuple[str, str]]]:
    planned: list[Planned] = []
    left_out: list[tuple[str, str]] = []
    for found in observables:
        said = outcome.targets.get(found.id) or outcome.targets.get(found.value)
        if found.type not in BLOCK_VERB:
            left_out.append((found.id, f"nothing blocks a {found.type}"))
        elif found.verdict is not Verdict.MALICIOUS or found.confidence < _CONFIDENT:
            left_out.append((found.id, f"held {found.verdict.value} with confidence {found.confidence}"))
        elif said and said.result == "left_out":
            left_out.append((found.id, said.reason or "nothing that is connected can block it"))
        else:
            verb = VERBS[BLOCK_VERB[found.type]]
            params: dict[str, Any] = {verb.target_param: found.value}
            params |= {"duration": int(soar.lease)} if soar.lease else {}
            target = Target(kind=EntityKind.OBSERVABLE, id=found.id)
            planned.append(
                Planned(verb=verb.name, target=target, target_name=found.value, adapter=ANY_SYSTEM, params=params,
                        lease=int(soar.lease or 0), review=0)
            )  # fmt: skip
    return planned, left_out


def come_out(acts: Sequence[Act], outcome: Outcome) -> None:
    """Write down how each call that was made came out."""
    for act in acts:
        if act.state != "ready":
            continue
        said = outcome.targets.get(act.planned.target.id) or outcome.targets.get(act.planned.target_name)
        failed = said.result == "failed" if said else outcome.result == "failed"
        expects = VERBS[act.planned.verb].expects
        if failed:
            act.state, act.reason = "failed", (said.reason if said else outcome.reason)
        elif expects and outcome.outputs.get(expects) is False:
            act.state, act.reason = "not_effective", f"not {expects}"
        else:
            act.state = "done"


def result_of(acts: Acts, outcome: Outcome) -> tuple[Result, dict[str, Any], str]:
    """How the step ends: result, outputs, reason."""
    outputs = dict(outcome.outputs)
    for act in acts.acts:
        expects = VERBS[act.planned.verb].expects
        if expects and act.state == "done":
            outputs.setdefault(expects, True)
    if acts.left_out:
        outputs["left_out"] = [{"observable": name, "why": why} for name, why in acts.left_out]
    bad = [act for act in acts.acts if act.state not in _GOOD]
    reason = "; ".join(
        f"{act.planned.verb} on {act.planned.target_name}: {act.state} ({act.reason})".removesuffix(" ()")
        for act in bad
    )
    if outcome.result == "partial" and acts.acts:
        return "partial", outputs, reason or outcome.reason
    if not bad:
        return "ok", outputs, ""
    return ("partial" if len(bad) < len(acts.acts) else "failed"), outputs, reason
