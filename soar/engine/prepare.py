"""Before the call: look at the target, ask the guards, and say what stands in the way.

Order of one action, steps 2 to 5 (SAFETY): inspect, guards, approval, guards again. The same code
serves the first look at a planned action and the last one, which shares its commit with the intent.
"""

from __future__ import annotations

from collections.abc import Callable

from soar.engine import casefile, effects, outcomes, releasing
from soar.engine.contact import inspect
from soar.engine.outcomes import Context
from soar.engine.parts import Parts
from soar.errors import AdapterError
from soar.guards.case import Judgement
from soar.guards.judge import judge
from soar.model import Inspection
from soar.protocol import UNSENT, UNSETTLED, State
from soar.store import actions
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.work import check_fence, is_abandoned
from soar.verbs import VERBS


def prepare(parts: Parts, action: ActionRow, context: Context) -> ActionRow:
    """Move a planned or ready action as far as inspection and guards allow.

    Ends ready, waiting (for an approval), refused, satisfied or failed; stays planned while
    evidence must be collected first.
    """
    try:
        seen = inspect(parts, action)
    except AdapterError as error:
        said = f"cannot be inspected: {error.message}"
        return fenced(parts, context, lambda tx: actions.move(tx, action, State.FAILED, summary=said))
    return fenced(parts, context, lambda tx: _decide(tx, parts, action, context, seen))


def begin(parts: Parts, action: ActionRow, context: Context, *, fresh: bool) -> ActionRow:
    """The last look before the call: guards again and the intent, in one commit.

    `fresh`: the target was inspected in this very pass; what has waited is inspected again. Ends
    calling; or waiting, refused, satisfied, failed; or, where no call is needed, active or done.
    """
    try:
        seen = None if fresh else inspect(parts, action)
    except AdapterError as error:
        said = f"cannot be inspected: {error.message}"
        return fenced(parts, context, lambda tx: actions.move(tx, action, State.FAILED, summary=said))

    def intent(tx: Tx) -> ActionRow:
        if context.work is not None and is_abandoned(tx, context.work):
            now = actions.get(tx.conn, action.id)
            return actions.move(tx, now, State.CANCELLED, summary="called off") if now.state in UNSENT else now
        ready = _decide(tx, parts, action, context, seen)
        return _intend(tx, ready, context) if ready.state is State.READY else ready

    return fenced(parts, context, intent)


def _intend(tx: Tx, ready: ActionRow, context: Context) -> ActionRow:
    """From ready: the intent of a call; or no call, because a hold more or less is all it takes."""
    if ready.undo_of:
        if effects.others_holding(tx.conn, actions.get(tx.conn, ready.undo_of)):
            return outcomes.let_go(tx, ready)
        return outcomes.intend(tx, ready)
    if VERBS[ready.verb].contains:
        obstacle = effects.in_the_way(tx.conn, ready)
        if obstacle:
            return actions.note(tx, ready, summary=obstacle)
        effect = effects.standing(tx.conn, ready)
        if effect is not None and ready.prior.get("present") and not effects.outlasts(effect, ready, tx.now):
            return outcomes.second_hold(tx, ready, context)
    return outcomes.intend(tx, ready)


def fenced(parts: Parts, context: Context, function: Callable[[Tx], ActionRow]) -> ActionRow:
    """Write only while the work is still this worker's; raises StaleFence otherwise."""

    def write(tx: Tx) -> ActionRow:
        if context.work is not None:
            check_fence(tx, context.work)
        return function(tx)

    return parts.store.write(write)


def _decide(tx: Tx, parts: Parts, action: ActionRow, context: Context, seen: Inspection | None) -> ActionRow:
    action = actions.get(tx.conn, action.id)
    if action.state not in (State.PLANNED, State.READY):
        return action
    action = _note(tx, parts, action, seen)
    if action.undo_of:
        refusal = releasing.refusal(tx, action)
        if refusal:
            return actions.move(tx, action, State.REFUSED, summary=refusal)
    elif seen is not None and seen.present and effects.standing(tx.conn, action) is None:
        earlier = actions.known(tx.conn, seen.ours)
        if earlier is not None and earlier.state in UNSETTLED - {State.IN_DOUBT}:
            return actions.note(tx, action, summary=f"the call of {earlier.id} is just bringing it about")
        if earlier is not None and earlier.state in (State.IN_DOUBT, State.NOT_EFFECTIVE):
            said = f"our own call {earlier.id} stands at {earlier.state.value} and brought it about: resolve that first"
            return actions.move(tx, action, State.REFUSED, summary=said)
        said = f"true already, not through us: {seen.summary}"
        return actions.move(tx, action, State.SATISFIED, summary=said)
    case = casefile.gather(
        tx.conn, action, tx.now, urgency=context.urgency, ground=context.ground, asked=context.asked,
        waiting_since=context.waiting_since,
    )  # fmt: skip
    verdict = judge(case, parts.policy)
    findings = [dict(finding) for finding in verdict.as_plain()["findings"]]
    return _settle(tx, actions.note(tx, action, guards=findings), verdict)


def _note(tx: Tx, parts: Parts, action: ActionRow, seen: Inspection | None) -> ActionRow:
    """Keep what was seen as the prior state; a ready action that changed meanwhile is asked anew."""
    repeat = parts.adapter(action.adapter).verbs[action.verb].repeat
    if seen is None:
        return actions.note(tx, action, repeat_class=repeat.value)
    changed = action.state is State.READY and action.prior.get("present") != seen.present
    prior = {"present": seen.present, "state": dict(seen.state), "ours": seen.ours}
    action = actions.note(tx, action, prior=prior, repeat_class=repeat.value, summary=seen.summary)
    if changed and action.approval_id:
        said = "what was inspected has changed since it was approved; asked anew"
        return actions.move(tx, action, State.PLANNED, summary=said, approval_id=None)
    return action


def _settle(tx: Tx, action: ActionRow, verdict: Judgement) -> ActionRow:
    """The move that the judgement asks for, from planned or ready."""
    ready = action.state is State.READY
    if verdict.refused:
        said = "; ".join(finding.reason for finding in verdict.findings if finding.verdict == "refuse")
        return actions.move(tx, action, State.REFUSED, summary=said)
    if verdict.allowed:
        return action if ready else actions.move(tx, action, State.READY)
    said = "; ".join(verdict.reasons)
    if ready:
        action = actions.move(tx, action, State.PLANNED, summary=said, approval_id=None)
    if verdict.needs_approval and not verdict.needs_evidence:
        return actions.move(tx, action, State.WAITING, summary=said)
    return actions.note(tx, action, summary=said)
