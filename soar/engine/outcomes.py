"""What an action's result means, written in one transaction: states, holds, scope, what was learnt.

Each function takes the open write and the action as it was read, and returns the action as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from soar.engine import effects, releasing, renewal
from soar.engine.casefile import Asked
from soar.model import ENGINE, Inspection, ScopeStatus, Verdict
from soar.protocol import STANDING, State
from soar.store import actions, incidents, tasks
from soar.store.rows import ActionRow, WorkRow
from soar.store.session import Tx
from soar.verbs import VERBS, OnExpiry


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a step knows about its actions: who holds the work, how urgent it is, what must be asked.

    `waiting_since`: when the step began to wait for evidence that nobody has collected yet.
    """

    work: WorkRow | None
    urgency: str
    ground: str
    asked: Asked | None
    owner: str
    waiting_since: datetime | None = None
    run: Any = None


_SCOPE_AFTER = {
    "isolate_host": ScopeStatus.CONTAINED,
    "disable_account": ScopeStatus.CONTAINED,
    "verify_clean": ScopeStatus.ERADICATED,
    "reset_password": ScopeStatus.ERADICATED,
}


def intend(tx: Tx, action: ActionRow) -> ActionRow:
    """The intent: once this is committed, whoever finds the action must ask the target."""
    if action.undo_of:
        original = actions.get(tx.conn, action.undo_of)
        if original.state is not State.REVERTING:
            actions.move(tx, original, State.REVERTING)
    return actions.move(tx, action, State.CALLING, actor=releasing.actor_of(action), called_at=tx.now)


def verified(tx: Tx, action: ActionRow, context: Context, seen: Inspection | None = None) -> ActionRow:
    """Seen to be so at the target: the effect enters the register, or the action is done."""
    if action.state is State.ACCEPTED:
        action = actions.move(tx, action, State.CONFIRMED)
    said = seen.summary if seen else ""
    action = actions.move(tx, action, State.VERIFIED, summary=said, verified_at=tx.now)
    return _after_verified(tx, action, context, seen)


def second_hold(tx: Tx, action: ActionRow, context: Context) -> ActionRow:
    """The effect is ours already: no call, another hold, with the handle that the first one has."""
    effect = effects.standing(tx.conn, action)
    assert effect is not None
    said = "contained by us already; another hold keeps it"
    action = actions.move(
        tx, action, State.VERIFIED, summary=said, verified_at=tx.now, handle=effect.handle, prior=effect.prior
    )
    return _after_verified(tx, action, context)


def let_go(tx: Tx, action: ActionRow) -> ActionRow:
    """An undo is done, or another hold keeps the effect: end the hold of what it took back."""
    effects.lock(tx, action)
    if action.state is State.READY:
        action = actions.move(tx, action, State.VERIFIED, summary="another incident still holds it")
    original = actions.get(tx.conn, action.undo_of or "")
    if original.state in STANDING:  # else somebody has ended it meanwhile, and there is nothing left to end
        _end_hold(tx, original, action)
    return actions.move(tx, action, State.DONE)


def _end_hold(tx: Tx, original: ActionRow, undo: ActionRow) -> None:
    if original.state is not State.REVERTING:
        original = actions.move(tx, original, State.REVERTING)
    kept = effects.others_holding(tx.conn, original)
    hold = effects.hold_of(tx.conn, original)
    over = hold is not None and hold.expires_at is not None and hold.expires_at <= tx.now
    lifted = over and undo.caller == str(ENGINE)
    effects.drop(tx, original, undo.undo_reason, to=State.LIFTED if lifted else State.REVERTED)
    if not kept and original.effect_id:
        effects.dispose(tx, original.effect_id, "released", undo.undo_reason, releasing.actor_of(undo))
        if VERBS[original.verb].on_expiry is OnExpiry.HOLD:
            incidents.set_scope(tx, undo.incident_id, str(undo.target), ScopeStatus.RESTORED, why=undo.verb)


def gave_up(tx: Tx, action: ActionRow, to: State, said: str) -> ActionRow:
    """It did not work: failed, or not effective. What it was to take back still stands."""
    if action.state is State.ACCEPTED and to is State.NOT_EFFECTIVE:
        action = actions.move(tx, action, State.CONFIRMED)
    if action.undo_of:
        original = actions.get(tx.conn, action.undo_of)
        if original.state is State.REVERTING:
            actions.move(tx, original, State.REVERT_FAILED, summary=said)
    return actions.move(tx, action, to, summary=said)


def adopt(tx: Tx, action: ActionRow, context: Context, seen: Inspection | None) -> ActionRow:
    """Nobody heard the answer, but the effect is there and ours."""
    said = f"no answer was heard; found at the target and adopted: {seen.summary if seen else ''}"
    handle = {} if action.undo_of else {"key": action.id}
    action = actions.move(tx, action, State.CONFIRMED, summary=said, handle=handle, facts={"adopted": True})
    return verified(tx, action, context, seen)


def came_late(tx: Tx, action: ActionRow, context: Context, seen: Inspection) -> ActionRow:
    """It was to be sent once more, but the call before it has come into effect after all."""
    said = f"the call before came into effect after all: {seen.summary}"
    facts = {"adopted": True}
    action = actions.move(
        tx, action, State.VERIFIED, summary=said, verified_at=tx.now, handle={"key": action.id}, facts=facts
    )
    return _after_verified(tx, action, context)


def doubt(tx: Tx, action: ActionRow, said: str) -> ActionRow:
    """Nobody can tell: park it for a person, with what is known and what may be answered."""
    action = actions.move(tx, action, State.IN_DOUBT, summary=said)
    tasks.open_task(
        tx, action.incident_id, kind="in_doubt", text=f"Did {action.verb} on {action.target_name} happen? {said}",
        asks={"happened": "str"}, run_id=action.run_id, action_id=action.id,
    )  # fmt: skip
    return action


def learn(tx: Tx, action: ActionRow, outputs: Mapping[str, Any]) -> None:
    """A look-up's verdict belongs to the incident's observable."""
    if action.verb == "look_up" and "verdict" in outputs:
        given = outputs.get("confidence", 0)
        confidence = max(0, min(100, given)) if isinstance(given, int) else 0
        said = outputs["verdict"]
        verdict = Verdict(said) if said in set(Verdict) else Verdict.UNKNOWN
        incidents.judge_observable(tx, action.incident_id, action.target.id, verdict, confidence, action.adapter)


def _after_verified(tx: Tx, action: ActionRow, context: Context, seen: Inspection | None = None) -> ActionRow:
    if action.undo_of:
        return let_go(tx, action)
    if action.renews:
        return renewal.renewed(tx, action, seen)
    status = _SCOPE_AFTER.get(action.verb)
    if status is not None:
        incidents.set_scope(tx, action.incident_id, str(action.target), status, why=action.verb)
    if VERBS[action.verb].contains:
        return effects.place(tx, action, context.owner, context.ground or action.step)
    return actions.move(tx, action, State.DONE)
