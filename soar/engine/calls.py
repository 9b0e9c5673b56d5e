"""The call itself: intent, send, verify, outcome; and how a call of unknown outcome is taken up.

Between the intent commit and the outcome commit stands nothing but the call. Whoever finds an
action in `calling` asks the target before doing anything (SAFETY; crash points K2-K4, K7-K9).
"""

from __future__ import annotations

from collections.abc import Callable

from soar.engine import outcomes
from soar.engine.contact import inspect, send
from soar.engine.outcomes import Context
from soar.engine.parts import Parts
from soar.engine.prepare import begin, fenced
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


class Calls:
    """Carries actions from ready to their outcome."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def carry_out(self, action: ActionRow, context: Context, *, fresh: bool = False) -> ActionRow:
        """Bring a ready action to its outcome, or take up one that was found on its way.

        `fresh`: it was inspected in this very pass.
        """
        if action.state is State.READY:
            action = begin(self.parts, action, context, fresh=fresh)
            return self._call(action, context, TRIES) if action.state is State.CALLING else action
        if action.state is State.CALLING:
            return self._take_up(action, context, TRIES, "the worker that called is gone")
        if action.state in (State.ACCEPTED, State.CONFIRMED):
            return self._verify(action, context)
        return action

    def _call(self, action: ActionRow, context: Context, tries: int) -> ActionRow:
        """Send once; `tries` counts this one. Failures that are known to have done nothing may repeat."""
        collection = self.parts.custodian.collect(
            incident_id=action.incident_id, action_id=action.id, target=str(action.target), actor=action.caller
        )
        try:
            applied = send(self.parts, action, collection)
        except NotSent as error:
            return self._not_sent(action, context, tries - 1, f"not sent: {error.message}")
        except Rejected as error:
            said = f"refused by the target: {error.message}"
            return self._write(context, lambda tx: outcomes.gave_up(tx, action, State.FAILED, said))
        except OutcomeUnknown as error:
            return self._take_up(action, context, tries - 1, error.message)
        return self._answered(action, context, applied, collection)

    def _not_sent(self, action: ActionRow, context: Context, tries: int, said: str) -> ActionRow:
        if not tries:
            return self._write(context, lambda tx: outcomes.gave_up(tx, action, State.FAILED, said))
        return self._again(action, context, tries, said)

    def _again(self, action: ActionRow, context: Context, tries: int, said: str) -> ActionRow:
        """The same key once more. Every send passes the guards: a kill switch thrown meanwhile holds it."""
        ready = self._write(context, lambda tx: actions.move(tx, action, State.READY, summary=said))
        action = begin(self.parts, ready, context, fresh=True)
        return self._call(action, context, tries) if action.state is State.CALLING else action

    def _answered(self, action: ActionRow, context: Context, applied: Applied, collection: Collection) -> ActionRow:
        """The target answered: keep its handle, outputs and evidence, then look whether it is so."""
        to = State.CONFIRMED if applied.status is AppliedStatus.CONFIRMED else State.ACCEPTED

        def outcome(tx: Tx) -> ActionRow:
            collection.record(tx)
            outcomes.learn(tx, action, applied.outputs)
            answered = actions.move(
                tx, action, to, summary=applied.summary, handle=dict(applied.handle), outputs=dict(applied.outputs)
            )
            return answered if self._shows(answered) else self._without_looking(tx, answered, context)

        answered = self._write(context, outcome)
        return self._verify(answered, context) if answered.state is to else answered

    def _shows(self, action: ActionRow) -> bool:
        """The target can be asked whether it is so; reads and words leave nothing to look at."""
        capability = self.parts.adapter(action.adapter).verbs[action.verb]
        return capability.inspects and capability.repeat is not Repeat.READ

    def _verify(self, action: ActionRow, context: Context) -> ActionRow:
        """Is it so at the target?"""
        if not self._shows(action):
            return self._write(context, lambda tx: self._without_looking(tx, action, context))
        try:
            seen = inspect(self.parts, action)
        except AdapterError as error:
            said = f"the effect cannot be verified: {error.message}"
            return self._write(context, lambda tx: outcomes.doubt(tx, action, said))
        if seen is not None and seen.present:
            return self._write(context, lambda tx: outcomes.verified(tx, action, context, seen))
        if action.state is State.ACCEPTED and not self._too_late(action):
            return action
        said = f"answered as done, but it is not so: {seen.summary if seen else ''}"
        return self._write(context, lambda tx: outcomes.gave_up(tx, action, State.NOT_EFFECTIVE, said))

    def _without_looking(self, tx: Tx, action: ActionRow, context: Context) -> ActionRow:
        expects = VERBS[action.verb].expects
        if expects and action.outputs.get(expects) is not True:
            said = f"not {expects}: {', '.join(map(str, action.outputs.get('found', []))) or action.summary}"
            return outcomes.gave_up(tx, action, State.NOT_EFFECTIVE, said)
        return outcomes.verified(tx, action, context)

    def _take_up(self, action: ActionRow, context: Context, tries: int, said: str) -> ActionRow:
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
            return self._write(context, lambda tx: outcomes.adopt(tx, action, context, seen))
        if decision is Recovery.ASK:
            known = f"{said}; {seen.summary}" if seen else said
            return self._write(context, lambda tx: outcomes.doubt(tx, action, known))
        if not tries:
            return self._write(context, lambda tx: outcomes.gave_up(tx, action, State.FAILED, said))
        return self._again(action, context, tries, f"{said}; seen that nothing happened")

    def _write(self, context: Context, function: Callable[[Tx], ActionRow]) -> ActionRow:
        return fenced(self.parts, context, function)

    def _too_late(self, action: ActionRow) -> bool:
        since = (self.parts.clock.now() - (action.called_at or action.created_at)).total_seconds()
        return since >= self.parts.verify_seconds
