"""Plays one case: the real conductor and the real bindings, with the outcomes that the rehearsal gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from soar.engine import conductor
from soar.engine.approving import may_go_on_unopposed, wanted
from soar.engine.binding import bind, variables_at
from soar.engine.run_state import UNDER_WAY, RunState
from soar.engine.signals import Perform, Result
from soar.errors import Invalid, NotFound
from soar.model import Observable, Verdict
from soar.playbook.durations import Seconds
from soar.playbook.model import ActionStep, Approval, Playbook, Soar
from soar.rehearsal.acting import Act, Acts, come_out, plan, result_of
from soar.rehearsal.model import Given, Outcome
from soar.rehearsal.scene import Performance, Scene
from soar.rehearsal.standing import label

_STILL_SO = ("done", "satisfied")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a case. `waiting` are the steps that nothing will end, each with what it waits for."""

    state: RunState
    at: Seconds
    performed: tuple[Performance, ...]
    approvals: tuple[str, ...]
    waiting: tuple[tuple[str, str], ...]
    contained: Mapping[str, str]
    values: Mapping[str, Any]
    unused: tuple[str, ...]

    @property
    def status(self) -> str:
        return "waiting" if self.state.status in UNDER_WAY else self.state.status


def play(playbook: Playbook, names: Mapping[str, str], given: Given) -> Played:
    """Play a case to its end, or to where nothing more happens."""
    stage = _Stage(playbook, names, given)
    stage.to_the_end()
    return stage.played()


class _Stage(Scene):
    def __init__(self, playbook: Playbook, names: Mapping[str, str], given: Given) -> None:
        super().__init__(playbook, names, given)
        self.approvals: list[str] = []
        self.observables = {each.id: each for each in given.observables}
        self.prepared: dict[tuple[str, int], Acts] = {}
        self.brought_about: dict[str, set[tuple[str, str]]] = {}
        self.spoken_of: set[tuple[str, str]] = set()
        self.without_target: set[str] = set()
        self.looked_at: set[str] = set()

    def played(self) -> Played:
        """What has come of it."""
        waiting = tuple((each.name, each.waits or "goes on and on") for each in self.open.values())
        return Played(
            state=self.state, at=self.now, performed=tuple(self.performed), approvals=tuple(self.approvals),
            waiting=waiting if self.state.status in UNDER_WAY else (), contained=self.register.told(self.now),
            values=variables_at(self.playbook, self.state, ""), unused=tuple(self._unused()),
        )  # fmt: skip

    def perform(self, performance: Performance, outcome: Outcome | None) -> None:
        """Begin a performance by its kind; a kind that is not known here is carried out as a whole."""
        step = self.playbook.workflow[performance.todo.step_id]
        match performance.todo.kind:
            case "prepare":
                self._prepare(performance, outcome or Outcome())
            case "manual" | "decide":
                self._ask_person(performance, outcome, step.soar or Soar())
            case _ if isinstance(step, ActionStep):
                self._act(performance, outcome or Outcome(), step)
            case _:
                self._other(performance, outcome or Outcome())

    # --- persons and other things ------------------------------------------------------------------

    def _ask_person(self, performance: Performance, outcome: Outcome | None, soar: Soar) -> None:
        decides = performance.todo.kind == "decide"
        performance.waits = "a decision" if decides else "an answer"
        if outcome is None and not decides and not soar.outputs:
            outcome = Outcome()
        if outcome is None or outcome.result == "silent" or (decides and outcome.answer is None):
            return
        answer = {"branch": outcome.answer} if decides else outcome.answer or {}
        result: Result = "failed" if outcome.result == "failed" else "ok"
        self.after(performance, outcome.takes or 0, partial(self.ends, performance, result, answer, outcome.reason))

    def _other(self, performance: Performance, outcome: Outcome) -> None:
        """A step that something else carries out as a whole, as another playbook."""
        performance.waits = "an end: it is silent"
        if outcome.result != "silent":
            result: Result = outcome.result if outcome.result in ("ok", "partial") else "failed"
            end = partial(self.ends, performance, result, outcome.outputs, outcome.reason)
            self.after(performance, outcome.takes or 0, end)

    # --- actions -------------------------------------------------------------------------------------

    def _plan(self, occurrence: str, step: ActionStep, outcome: Outcome) -> Acts:
        """The step's calls without those that an earlier attempt brought about. Raises Invalid, NotFound."""
        variables = variables_at(self.playbook, self.state, occurrence)
        found = plan(self.playbook, step, variables, outcome, self.register, tuple(self.observables.values()), self.now)
        name = self.names[step.id]
        self.spoken_of |= {(name, target) for target in found.targets}
        done = self.brought_about.get(occurrence, ())
        return Acts(
            [each for each in found.acts if (each.planned.verb, str(each.planned.target)) not in done], found.left_out
        )

    def _act(self, performance: Performance, outcome: Outcome, step: ActionStep) -> None:
        todo = performance.todo
        acts = self.prepared.pop((todo.occurrence, todo.attempt), None)
        if acts is not None:
            self.after(performance, 0, partial(self._call, performance, step, acts, outcome))
            return
        try:
            acts = self._plan(todo.occurrence, step, outcome)
        except (Invalid, NotFound) as error:
            self.after(performance, 0, partial(self.ends, performance, "failed", None, str(error)))
            return
        wish = wanted([act.planned for act in acts.acts], self._named_approval(todo))
        wishes = [wish] if wish and acts.ready else []
        then = partial(self._call, performance, step, acts, outcome)
        self._pass(performance, outcome, acts.ready, wishes, then)

    def _call(self, performance: Performance, step: ActionStep, acts: Acts, outcome: Outcome) -> None:
        """Everything has passed: make the calls, and wait for what they come to."""
        performance.sent = acts.ready
        for act in performance.sent:
            performance.calls.append((self.number(), label(act.planned)))
        performance.waits = "an answer: it is silent"
        if outcome.result == "silent" and acts.ready:
            return
        if outcome.result != "ok" and not acts.acts:
            self.without_target.add(performance.name)
        soar = step.soar or Soar()
        takes = outcome.takes
        if takes is None:
            takes = self._watched(performance, soar) if acts.ready else 0
        self.after(performance, takes, partial(self._called, performance, acts, outcome))

    def _watched(self, performance: Performance, soar: Soar) -> Seconds:
        """How long a step watches; 0 for all others."""
        if not soar.for_:
            return 0
        bound = bind(soar.for_, variables_at(self.playbook, self.state, performance.todo.occurrence))
        return bound if isinstance(bound, int | float) else 0

    def _called(self, performance: Performance, acts: Acts, outcome: Outcome) -> None:
        sent = list(performance.sent)
        come_out(acts.acts, outcome)
        for act in sent:
            if act.state == "done" and act.planned.undo_of:
                self.register.end(act.planned.undo_of, act.planned.undo_reason)
            elif act.state == "done":
                self.register.place(act.planned, performance.name, self.now)
                self._learn(act, outcome)
        brought = {(act.planned.verb, str(act.planned.target)) for act in acts.acts if act.state in _STILL_SO}
        self.brought_about.setdefault(performance.todo.occurrence, set()).update(brought)
        result, outputs, reason = result_of(acts, outcome)
        self.ends(performance, result, outputs, reason)

    def _learn(self, act: Act, outcome: Outcome) -> None:
        """A look-up's verdict belongs to the incident's observable."""
        known, said = self.observables.get(act.planned.target.id), outcome.outputs.get("verdict")
        if act.planned.verb == "look_up" and known and said in list(Verdict):
            confidence = int(outcome.outputs.get("confidence", 0))
            self.observables[known.id] = Observable(
                type=known.type, value=known.value, verdict=Verdict(said), confidence=confidence
            )

    # --- guards and approvals ------------------------------------------------------------------------

    def _named_approval(self, todo: Perform) -> Approval | None:
        """The step's own approval, or that of what it stands in."""
        step_id, branch = todo.step_id, todo.branch
        while True:
            soar = self.playbook.workflow[step_id].soar
            if soar is not None and soar.approval is not None:
                return soar.approval
            visit = self.state.steps.get(self.state.branches[branch].opener)
            if visit is None:
                return None
            step_id, branch = visit.step_id, visit.branch

    def _pass(
        self, performance: Performance, outcome: Outcome, acts: list[Act], wishes: list[Approval],
        then: Callable[[], None],
    ) -> None:  # fmt: skip
        """Evidence first where a guard waits for it, then the persons, then what follows."""
        performance.waits = "evidence"
        ask = partial(self._ask, performance, outcome, acts, wishes, then) if wishes else then
        self.after(performance, outcome.evidence if acts else 0, ask)

    def _ask(
        self, performance: Performance, outcome: Outcome, acts: list[Act], wishes: list[Approval],
        then: Callable[[], None],
    ) -> None:  # fmt: skip
        performance.waits = "an approval"
        self.approvals.append(performance.name)
        vote = outcome.approval
        deadline = min((each.within for each in wishes if each.on_timeout == "deny" and each.within), default=None)
        if deadline is not None and (vote.decision == "silent" or vote.after >= deadline):
            self.after(performance, deadline, partial(_decide, acts, "lapsed", "nobody decided in time", then))
        elif vote.decision == "silent" and _goes_on(wishes, acts):
            self.after(performance, max(each.within for each in wishes), then)
        elif vote.decision == "granted":
            self.after(performance, vote.after, then)
        elif vote.decision == "denied":
            self.after(performance, vote.after, partial(_decide, acts, "denied", "a person said no", then))

    def _prepare(self, performance: Performance, outcome: Outcome) -> None:
        """A group: every guard and approval of its members passes before the first call."""
        todo = performance.todo
        members: list[tuple[Soar, Acts]] = []
        wishes: list[Approval] = []
        keys: list[tuple[str, int]] = []
        try:
            for member in conductor.members(self.playbook, self.state, todo.occurrence):
                step = self.playbook.workflow[member.step_id]
                if not isinstance(step, ActionStep):
                    continue
                soar = step.soar or Soar()
                acts = self._plan(member.occurrence, step, self.peek(self.names[step.id]) or Outcome())
                self.looked_at.add(self.names[step.id])
                named = soar.approval or self._named_approval(todo)
                wish = wanted([act.planned for act in acts.acts], named)
                wishes += [wish] if wish and acts.ready and wish not in wishes else []
                members.append((soar, acts))
                keys.append((member.occurrence, member.attempt))
        except (Invalid, NotFound) as error:
            self.after(performance, 0, partial(self.ends, performance, "failed", None, str(error)))
            return
        self.prepared.update(zip(keys, (acts for _, acts in members), strict=True))
        ready = [act for _, acts in members for act in acts.ready]
        self._pass(performance, outcome, ready, wishes, partial(self._all_or_none, performance, members))

    def _all_or_none(self, performance: Performance, members: list[tuple[Soar, Acts]]) -> None:
        stopped = [
            act for soar, acts in members if not soar.partial_ok for act in acts.acts
            if act.state not in ("ready", "satisfied")
        ]  # fmt: skip
        if stopped:
            said = "; ".join(f"{label(act.planned)}: {act.state} {act.reason}".rstrip() for act in stopped)
            self.ends(performance, "failed", reason=f"together means all or none; {said}")
        else:
            self.ends(performance, "ok")

    # --- what the rehearsal says that nothing asked for ------------------------------------------------

    def _unused(self) -> Iterator[str]:
        for name in sorted(self.given.own):
            outcomes = self.given.outcomes[name]
            count = self.times.get(name, 0) or int(name in self.looked_at)
            if name in self.without_target:
                yield f"{name} has no target that could come out otherwise"
            if count < len(outcomes):
                yield f"{name} is performed {times(count)}, not {times(len(outcomes))}" if count else name
            for target in dict.fromkeys(target for each in outcomes for target in each.targets):
                if count and (name, target) not in self.spoken_of:
                    yield f"{name}: {target} is none of its targets"


def _goes_on(wishes: list[Approval], acts: list[Act]) -> bool:
    """Silence is consent to all of it; a rehearsal takes the playbook for signed."""
    return all(each.on_timeout == "go_on" for each in wishes) and may_go_on_unopposed(act.planned for act in acts)


def _decide(acts: list[Act], state: str, reason: str, then: Callable[[], None]) -> None:
    for act in acts:
        act.state, act.reason = state, reason
    then()


def times(count: int) -> str:
    """How often, in words."""
    return "once" if count == 1 else f"{count} times"
