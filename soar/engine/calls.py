"""The call itself: intent, send, verify, outcome; and how a call of unknown outcome is taken up.

Between the intent commit and the outcome commit stands nothing but the call. Whoever finds an
action in `calling` asks the target before doing anything (SAFETY; crash points K2-K4, K7-K9).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from soar.clock import boot_seconds
from soar.engine import limits, outcomes, points
from soar.engine.contact import inspect, send
from soar.engine.outcomes import Context
from soar.engine.parts import Parts
from soar.engine.points import Point
from soar.engine.prepare import Look, allowed, begin, fenced
from soar.errors import AdapterError, NotSent, OutcomeUnknown, Rejected
from soar.model import Applied, AppliedStatus, Inspection, Repeat
from soar.ports import Collection
from soar.protocol import Recovery, State, recover
from soar.store import actions
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.verbs import VERBS

TRIES = 3
"""How often one key is sent when it is known, or seen, that the call before it did nothing."""
SEND_WITHIN = 0.5
"""Seconds from the guards' word to the send. What was held up for longer (a frozen process, a slow disk)
looks once more whether it may still go."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known at the end of a call and not written yet. `applied`: what the target said, if it did."""

    action: ActionRow
    write: Callable[[Tx], ActionRow]
    applied: Applied | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Not sent yet: its connected system takes it in so many seconds."""

    action: ActionRow
    seconds: float


Came = ActionRow | Answer | Held


class Calls:
    """Carries actions from their intent to their outcome."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def carry_out(self, action: ActionRow, context: Context, *, intended: float | None = None) -> Came:
        """Bring a ready action to its outcome, or take up one that was found on its way.

        `intended`: the boot time at which the guards were asked for its intent, if this worker stored
        it just now. Returns the action where everything is written, else the answer that the caller writes, or
        how long the call is held up.
        """
        if action.state is State.READY:
            return self._begin(action, context, TRIES)
        if action.state is State.CALLING and intended is not None:
            return self._call(action, context, TRIES, intended)
        if action.state is State.CALLING:
            return self._take_up(action, context, TRIES, "the worker that called is gone")
        if action.state in (State.ACCEPTED, State.CONFIRMED):
            return self._verify(action, context)
        return action

    def finish(self, action: ActionRow, context: Context, *, intended: float | None = None) -> ActionRow:
        """Carry out, and write the outcome."""
        came = self.carry_out(action, context, intended=intended)
        if isinstance(came, Answer):
            return self._write(context, came.write)
        return came.action if isinstance(came, Held) else came

    def _begin(self, action: ActionRow, context: Context, tries: int, looked: Look | None = None) -> Came:
        begun = begin(self.parts, action, context, looked)
        if begun.wait:
            return Held(begun.action, begun.wait)
        calling = begun.action.state is State.CALLING
        return self._call(begun.action, context, tries, begun.asked) if calling else begun.action

    def _answer(self, action: ActionRow, write: Callable[[Tx], ActionRow], applied: Applied | None = None) -> Answer:
        """The outcome, and room for the next call at its connected system, in one commit."""

        def settled(tx: Tx) -> ActionRow:
            row = write(tx)
            limits.made_room(tx, self.parts, row)
            return row

        return Answer(action, settled, applied)

    def _call(self, action: ActionRow, context: Context, tries: int, intended: float) -> Came:
        """Send once; `tries` counts this one. Failures that are known to have done nothing may repeat."""
        points.reached(Point.INTENT_STORED)
        if boot_seconds() - intended > SEND_WITHIN and not allowed(self.parts, action, context):
            return self._again(action, context, tries, "held up before it was sent", None)
        collection = self.parts.custodian.collect(
            incident_id=action.incident_id, action_id=action.id, target=str(action.target), actor=action.caller
        )
        try:
            applied = send(self.parts, action, collection)
        except NotSent as error:
            return self._not_sent(action, context, tries - 1, f"not sent: {error.message}")
        except Rejected as error:
            said = f"refused by the target: {error.message}"
            return self._answer(action, lambda tx: outcomes.gave_up(tx, action, State.FAILED, said))
        except OutcomeUnknown as error:
            return self._take_up(action, context, tries - 1, error.message)
        points.reached(Point.ANSWERED)
        return self._answered(action, context, applied, collection)

    def _not_sent(self, action: ActionRow, context: Context, tries: int, said: str) -> Came:
        if not tries:
            return self._answer(action, lambda tx: outcomes.gave_up(tx, action, State.FAILED, said))
        return self._again(action, context, tries, said, Look())

    def _again(self, action: ActionRow, context: Context, tries: int, said: str, looked: Look | None) -> Came:
        """The same key once more. Every send passes the guards: a kill switch thrown meanwhile holds it.

        `looked`: what was seen just now; without it the target is inspected again.
        """

        def ready(tx: Tx) -> ActionRow:
            row = actions.move(tx, action, State.READY, summary=said)
            limits.made_room(tx, self.parts, row)
            return row

        return self._begin(self._write(context, ready), context, tries, looked)

    def _answered(self, action: ActionRow, context: Context, applied: Applied, collection: Collection) -> Came:
        """The target answered: keep its handle, outputs and evidence, then look whether it is so.

        Looking changes nothing, so both are one commit; but what may never be repeated is written at once.
        """
        to = State.CONFIRMED if applied.status is AppliedStatus.CONFIRMED else State.ACCEPTED

        def outcome(tx: Tx) -> ActionRow:
            collection.record(tx)
            outcomes.learn(tx, action, applied.outputs)
            return actions.move(
                tx, action, to, summary=applied.summary, handle=dict(applied.handle), outputs=dict(applied.outputs)
            )

        def at_once(tx: Tx) -> ActionRow:
            row = outcome(tx)
            points.reached(Point.OUTCOME_WRITTEN)
            return row

        if self.parts.adapter(action.adapter).verbs[action.verb].repeat is Repeat.UNSAFE:
            return self._verify(self._write(context, self._answer(action, at_once).write), context)
        looked = self._looked(action)
        return self._answer(action, lambda tx: self._said(tx, outcome(tx), context, looked), applied)

    def _shows(self, action: ActionRow) -> bool:
        """The target can be asked whether it is so; reads and words leave nothing to look at."""
        capability = self.parts.adapter(action.adapter).verbs[action.verb]
        return capability.inspects and capability.repeat is not Repeat.READ

    def _verify(self, action: ActionRow, context: Context) -> Came:
        """Is it so at the target?"""
        looked = self._looked(action)
        if isinstance(looked, Inspection) and not looked.present and self._may_come(action):
            return action
        return self._answer(action, lambda tx: self._said(tx, action, context, looked))

    def _looked(self, action: ActionRow) -> Inspection | AdapterError | None:
        """What the target shows; None where there is nothing to look at."""
        if not self._shows(action):
            return None
        try:
            return inspect(self.parts, action)
        except AdapterError as error:
            return error

    def _said(self, tx: Tx, action: ActionRow, context: Context, looked: Inspection | AdapterError | None) -> ActionRow:
        """The outcome of an answered call, from what was seen afterwards."""
        if isinstance(looked, AdapterError):
            return outcomes.doubt(tx, action, f"the effect cannot be verified: {looked.message}")
        if looked is None:
            return self._without_looking(tx, action, context)
        if looked.present:
            return outcomes.verified(tx, action, context, looked)
        if self._may_come(action):
            return action
        said = f"answered as done, but it is not so: {looked.summary}"
        return outcomes.gave_up(tx, action, State.NOT_EFFECTIVE, said)

    def _may_come(self, action: ActionRow) -> bool:
        """It was taken for later, and there is time left."""
        return action.state is State.ACCEPTED and not self._too_late(action)

    def _without_looking(self, tx: Tx, action: ActionRow, context: Context) -> ActionRow:
        verb = VERBS[action.verb]
        if action.state is State.ACCEPTED and verb.on_doubt == "ask" and not verb.reads:
            said = "taken for later, and there is nothing at the target that would show whether it was done"
            return outcomes.doubt(tx, action, said)
        expects = verb.expects
        if expects and action.outputs.get(expects) is not True:
            said = f"not {expects}: {', '.join(map(str, action.outputs.get('found', []))) or action.summary}"
            return outcomes.gave_up(tx, action, State.NOT_EFFECTIVE, said)
        return outcomes.verified(tx, action, context)

    def _take_up(self, action: ActionRow, context: Context, tries: int, said: str) -> Came:
        """The call may have happened: find out before anything else is done."""
        repeat = self.parts.adapter(action.adapter).verbs[action.verb].repeat
        seen: Inspection | None = None
        try:
            seen = inspect(self.parts, action)
        except AdapterError as error:
            said = f"{said}; the target cannot be asked: {error.message}"
        decision = recover(repeat, action.id, seen, undoes=bool(action.undo_of))
        if decision is Recovery.ASK and VERBS[action.verb].on_doubt == "repeat":
            decision = Recovery.REPEAT
        if decision is Recovery.ADOPT:
            return self._answer(action, lambda tx: outcomes.adopt(tx, action, context, seen))
        if decision is Recovery.ASK:
            known = f"{said}; {seen.summary}" if seen else said
            return self._answer(action, lambda tx: outcomes.doubt(tx, action, known))
        if not tries:
            return self._answer(action, lambda tx: outcomes.gave_up(tx, action, State.FAILED, said))
        return self._again(action, context, tries, f"{said}; seen that nothing happened", Look(seen))

    def _write(self, context: Context, function: Callable[[Tx], ActionRow]) -> ActionRow:
        return fenced(self.parts, context, function)

    def _too_late(self, action: ActionRow) -> bool:
        since = (self.parts.clock.now() - (action.called_at or action.created_at)).total_seconds()
        return since >= self.parts.verify_seconds
