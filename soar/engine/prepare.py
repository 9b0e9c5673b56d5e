"""Before the call: look at the target, ask the guards, and say what stands in the way.

Order of one action, steps 2 to 5 (SAFETY): inspect, guards, approval, guards again. Looking happens
outside of any transaction; `consider` and `intend` work inside one, on what was seen. The same code
serves the first look at a planned action and the last one, which shares its commit with the intent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from soar.clock import boot_seconds
from soar.engine import casefile, effects, limits, outcomes, releasing, renewal
from soar.engine.contact import inspect
from soar.engine.outcomes import Context
from soar.engine.parts import Parts
from soar.errors import AdapterError
from soar.guards.case import Judgement
from soar.guards.limits import switches_of
from soar.model import Inspection
from soar.protocol import UNSENT, UNSETTLED, State
from soar.store import actions
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import switches
from soar.store.work import FRESH, Standing, check_fence, still_held
from soar.verbs import VERBS


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a target just now: nothing where the verb has nothing to inspect; or why nothing could be."""

    seen: Inspection | None = None
    blind: str = ""


def look(parts: Parts, action: ActionRow) -> Look:
    """Inspect the target of an action that was not sent yet."""
    try:
        return Look(inspect(parts, action))
    except AdapterError as error:
        return Look(blind=f"cannot be inspected: {error.message}")


def consider(
    tx: Tx, parts: Parts, action: ActionRow, context: Context, looked: Look, known: casefile.Around | None = None
) -> ActionRow:
    """Move a planned or ready action as far as what was seen and the guards allow.

    Ends ready, waiting (for an approval), refused, satisfied or failed; stays planned while
    evidence must be collected first.
    """
    if action.state not in (State.PLANNED, State.READY):
        return action
    if looked.blind:
        return actions.move(tx, action, State.FAILED, summary=looked.blind)
    action = _note(tx, parts, action, looked.seen)
    if action.undo_of or action.renews:
        refusal = releasing.refusal(tx, action) if action.undo_of else renewal.refusal(tx, action, looked.seen)
        if refusal:
            return actions.move(tx, action, State.REFUSED, summary=refusal)
    if not action.undo_of and looked.seen is not None and looked.seen.present:
        found = _there_already(tx, action, context, looked.seen)
        if found is not None:
            return found
    case = casefile.gather(
        tx.peek, action, tx.now, run=context.run, urgency=context.urgency, ground=context.ground,
        asked=context.asked, waiting_since=context.waiting_since, known=known,
    )  # fmt: skip
    verdict = limits.judged(tx.peek, case, action, parts.policy, lock=True)
    return _settle(tx, actions.note(tx, action, guards=verdict.told()), verdict)


@dataclass(frozen=True, slots=True)
class Begun:
    """An action after its last look. `wait`: seconds until its connected system takes the call, 0.0 for none.

    `asked`: the boot time at which the guards were asked.
    """

    action: ActionRow
    wait: float = 0.0
    asked: float = 0.0


def intend(tx: Tx, parts: Parts, action: ActionRow, context: Context, standing: Standing) -> Begun:
    """From ready to the intent of a call; or no call, because a hold more or less is all it takes.

    Stays ready while the run is paused, while another action goes first, and while the connected
    system takes no more calls.
    """
    if action.state is not State.READY or standing.paused:
        return Begun(action)
    if standing.abandoned:
        return Begun(actions.move(tx, action, State.CANCELLED, summary="called off"))
    uncalled = _without_a_call(tx, action, context)
    if uncalled is not None:
        return Begun(uncalled)
    wait = limits.admit(tx, parts, action)
    if wait:
        return Begun(actions.note(tx, action, summary=f"{action.adapter} takes no more calls just now"), wait)
    return Begun(outcomes.intend(tx, action))


def _without_a_call(tx: Tx, action: ActionRow, context: Context) -> ActionRow | None:
    """A hold more or less is all it takes, or another action goes first; None where a call is needed."""
    effects.lock(tx, action)
    if action.undo_of:
        kept = effects.others_holding(tx.peek, actions.get(tx.peek, action.undo_of))
        return outcomes.let_go(tx, action) if kept else None
    if not VERBS[action.verb].contains:
        return None
    effect = effects.standing(tx.peek, action)
    obstacle = effects.in_the_way(tx.peek, action, effect)
    if obstacle:
        return actions.note(tx, action, summary=obstacle)
    if effect is not None and action.prior.get("present") and not effects.outlasts(effect, action, tx.now):
        return outcomes.second_hold(tx, action, context)
    return None


def begin(parts: Parts, action: ActionRow, context: Context, looked: Look | None = None) -> Begun:
    """The last look before the call: inspected again, guards again and the intent, in one commit.

    `looked`: what was seen just now, where it need not be inspected once more.

    Ends calling; or waiting, refused, satisfied, failed; or, where no call is needed, active or done.
    """
    looked = looked or look(parts, action)

    def write(tx: Tx) -> Begun:
        asked = boot_seconds()
        standing = fence(tx, context)
        now = actions.again(tx, action)
        if standing.abandoned:
            return Begun(actions.move(tx, now, State.CANCELLED, summary="called off") if now.state in UNSENT else now)
        begun = intend(tx, parts, consider(tx, parts, now, context, looked), context, standing)
        return replace(begun, asked=asked)

    return parts.store.write(write)


def allowed(parts: Parts, action: ActionRow, context: Context) -> bool:
    """A call that was held up may still be sent: the work is this worker's, and nobody has stopped it meanwhile."""
    stops = switches_of(VERBS[action.verb], action.adapter, undo=bool(action.undo_of))
    with parts.store.read() as conn:
        thrown = conn.execute(sa.select(switches.c.name).where(switches.c.name.in_(stops))).first()
        free = context.work is None or still_held(conn, context.work)
    return free and thrown is None


def fence(tx: Tx, context: Context) -> Standing:
    """Go on only while the work is still this worker's; raises StaleFence otherwise."""
    return check_fence(tx, context.work) if context.work is not None else FRESH


def fenced(parts: Parts, context: Context, function: Callable[[Tx], ActionRow]) -> ActionRow:
    """Write only while the work is still this worker's; raises StaleFence otherwise."""

    def write(tx: Tx) -> ActionRow:
        fence(tx, context)
        return function(tx)

    return parts.store.write(write)


def _there_already(tx: Tx, action: ActionRow, context: Context, seen: Inspection) -> ActionRow | None:
    """The effect is there: through a call of ours that is not settled, or through others; None where it is ours."""
    if effects.standing(tx.peek, action) is not None:
        return None
    if seen.ours == action.id and action.called_at is not None:
        return outcomes.came_late(tx, action, context, seen)
    earlier = actions.known(tx.peek, seen.ours)
    if earlier is not None and earlier.state in UNSETTLED - {State.IN_DOUBT}:
        return actions.note(tx, action, summary=f"the call of {earlier.id} is just bringing it about")
    if earlier is not None and earlier.state in (State.IN_DOUBT, State.NOT_EFFECTIVE):
        said = f"our own call {earlier.id} stands at {earlier.state.value} and brought it about: resolve that first"
        return actions.move(tx, action, State.REFUSED, summary=said)
    return actions.move(tx, action, State.SATISFIED, summary=f"true already, not through us: {seen.summary}")


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
