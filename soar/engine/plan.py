"""The dry run: a whole playbook as it would act on one incident now. Nothing is written anywhere.

The walk follows the playbook's structure: both sides of an `if`, every branch, a loop's body once,
handlers as what happens on failure. What is known now is planned by the code that plans a real
step, inspected at the target (read-only) and put before the guards. What hangs on an earlier step's
output says after which steps it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from soar.engine import approving, binding, commanding, planning
from soar.engine.foresee import Foresight
from soar.engine.parts import Parts
from soar.engine.planning import Planned, StepPlan
from soar.errors import Invalid, NotFound
from soar.model import Verdict
from soar.playbook.model import (
    ActionStep,
    Approval,
    EndStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    Soar,
    Step,
    SwitchStep,
    WhileStep,
)
from soar.playbook.references import references
from soar.store import incidents
from soar.verbs import VERBS

Node = dict[str, Any]


def dry_run(
    parts: Parts, conn: sa.Connection, incident_id: str, playbook: Playbook, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The plan as plain data: playbook, digest, urgency, steps, on_exception.

    A step has `step` (its name), `kind`, and by its kind `verb`, `actions`, `left_out`, `known_after`,
    `problems`, `text`, `condition`, `branches` (each `when` and `steps`), `on_failure` (steps).
    Raises Invalid where a required variable has no value, NotFound for the incident.
    """
    variables = binding.initial_inputs(playbook, incidents.facts(conn, incident_id), given)
    walk = _Walk(parts, conn, incident_id, playbook, variables, Foresight(parts, conn, incident_id, playbook))
    steps = walk.sequence(playbook.workflow_start, None)
    walk.handlers()
    exception = walk.sequence(playbook.workflow_exception, None)
    walk.handlers()
    return {
        "playbook": playbook.slug,
        "digest": playbook.digest,
        "urgency": playbook.urgency,
        "steps": steps,
        "on_exception": exception,
    }


@dataclass(slots=True)
class _Walk:
    """`listed` are steps that stand in the plan already, `later` handlers that are still to be walked."""

    parts: Parts
    conn: sa.Connection
    incident_id: str
    playbook: Playbook
    variables: Mapping[str, Any]
    foresight: Foresight
    listed: set[str] = field(default_factory=set)
    later: list[tuple[Node, str]] = field(default_factory=list)
    planned: dict[str, tuple[Planned, ...]] = field(default_factory=dict)
    look_ups: list[str] = field(default_factory=list)

    def sequence(self, step_id: str, inherited: Approval | None) -> list[Node]:
        """The steps from this one to the end of its branch; one that is listed already is only named."""
        nodes: list[Node] = []
        while step_id:
            step = self.playbook.workflow[step_id]
            if isinstance(step, EndStep):
                break
            if step_id in self.listed:
                nodes.append({"step": _name(step), "kind": "continue"})
                break
            self.listed.add(step_id)
            if step.type != "start":
                node = self._node(step, inherited)
                nodes.append(node)
                if step.on_failure:
                    self.later.append((node, step.on_failure))
            step_id = step.on_success or step.on_completion
        return nodes

    def handlers(self) -> None:
        """Walk what happens on failure, once the way without failures is listed."""
        while self.later:
            node, step_id = self.later.pop(0)
            node["on_failure"] = self.sequence(step_id, None)

    def _node(self, step: Step, inherited: Approval | None) -> Node:
        soar = step.soar or Soar()
        node: Node = {"step": _name(step)}
        match step:
            case ParallelStep():
                shared = soar.approval if soar.together else None
                heads = [(str(index), head) for index, head in enumerate(step.next_steps)]
                node |= {"kind": "parallel", "together": soar.together, "branches": self._branches(heads, shared)}
            case IfStep():
                sides = self._branches([("true", step.on_true), ("false", step.on_false)])
                node |= {"kind": "if", "condition": step.condition, "branches": sides}
            case WhileStep():
                body = self._branches([("true", step.on_true)])
                node |= {"kind": "while", "condition": step.condition, "max": soar.max, "branches": body}
            case SwitchStep():
                node |= {"kind": "switch", "switch": step.switch, "branches": self._branches(step.cases.items())}
            case PlaybookActionStep():
                node |= {"kind": "playbook", "playbook": step.playbook_id}
            case ActionStep() if soar.verb or soar.undo or commanding.by_command(step):
                node |= self._act(step, soar, inherited)
            case ActionStep():
                text = soar.manual or "; ".join(str(each.get("command", "")) for each in step.commands)
                node |= {"kind": "manual", "text": text, "asks": dict(soar.outputs)}
        return node

    def _branches(self, heads: Iterable[tuple[str, str]], inherited: Approval | None = None) -> list[Node]:
        return [{"when": when, "steps": self.sequence(head, inherited)} for when, head in heads if head]

    def _act(self, step: ActionStep, soar: Soar, inherited: Approval | None) -> Node:
        """A step that acts: its actions where they are known, else what they wait for."""
        kind = "undo" if soar.undo else "action"
        node: Node = {"kind": kind, "verb": soar.verb, "actions": [], "left_out": [], "known_after": [], "problems": []}
        if soar.undo:
            plan, node["known_after"] = self._undo(soar), list(soar.undo)
        else:
            missing = self._waits_for(soar)
            if missing:
                return {**node, "known_after": missing}
            try:
                plan = commanding.plan_step(
                    self.parts, self.conn, self.incident_id, None, self.playbook, step, self.variables
                )
            except (Invalid, NotFound) as error:
                return {**node, "problems": [error.message]}
        if soar.verb == "look_up":
            self.look_ups.append(soar.slug)
        self.planned[soar.slug] = plan.actions
        approval = approving.wanted(plan.actions, inherited or soar.approval)
        node["actions"] = [self.foresight.of(each, soar.slug, approval) for each in plan.actions]
        node["left_out"] = [self._left_out(name, why) for name, why in plan.left_out]
        return node

    def _undo(self, soar: Soar) -> StepPlan:
        """The inverse of what the named steps would do."""
        rows = [self.foresight.row(each, slug) for slug in soar.undo for each in self.planned.get(slug, ())]
        taken_back = [planning.undo_of(row, soar.reason or "recovered") for row in rows if VERBS[row.verb].inverse]
        return StepPlan(actions=tuple(taken_back))

    def _waits_for(self, soar: Soar) -> list[str]:
        """The earlier steps whose outputs this step's targets or parameters need."""
        slugs = {step.soar.slug for step in self.playbook.workflow.values() if step.soar and step.soar.slug}
        wanted = {each.name for each in references([dict(soar.with_), soar.for_each])}
        return sorted((wanted & slugs) - set(self.variables) - {soar.as_})

    def _left_out(self, name: str, why: str) -> Node:
        """An observable that is not blocked; one of unknown verdict may be after a look-up."""
        unknown = {each.id for each in incidents.observables_of(self.conn, self.incident_id)
                   if each.verdict is Verdict.UNKNOWN}  # fmt: skip
        return {"observable": name, "why": why, "known_after": list(self.look_ups) if name in unknown else []}


def _name(step: Step) -> str:
    return (step.soar.slug if step.soar else "") or step.label
