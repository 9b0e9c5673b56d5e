"""Direct actions: what a person (or a timer) asks for outside any playbook runs as a playbook of one step.

So it has everything that a playbook's step has: the plan, the guards, the approval bound to its
digest, the wait as a row, the events.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from soar.engine import approving, effects, planning, releasing, renewal, running
from soar.errors import Conflict, Refused
from soar.model import ENGINE, Actor
from soar.playbook.model import Playbook, Soar, one_step
from soar.store import actions, runs
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.tables import work
from soar.verbs import VERBS, OnExpiry


def undo(tx: Tx, action_id: str, *, reason: str, why: str, by: Actor = ENGINE) -> str:
    """Begin to take one action back; returns the run. Raises Refused while the release gate is closed."""
    original = actions.get(tx.conn, action_id)
    if original.effect_id:
        renewal.lock(tx, original.effect_id)
    if renewal.being_ended(tx.conn, original):
        raise Conflict("a release of this is under way already")
    gated = releasing.verdict(tx.conn, original, reason, by_hand=by.kind != ENGINE.kind)
    if not gated.allowed:
        raise Refused("the release gate is closed: " + "; ".join(gated.missing), missing=list(gated.missing))
    step = Soar(
        slug="release", undo=(planning.DIRECT + action_id,), reason=reason,
        approval=approving.STANDARD if gated.needs_approval else None,
    )  # fmt: skip
    playbook: Playbook = one_step("direct-release", f"Release {original.target_name}", step)
    return running.start_run(tx, original.incident_id, playbook, {}, by=by, why=why, automatic=by.kind != "person")


def renew(tx: Tx, action_id: str, *, seconds: float, why: str, by: Actor) -> str | None:
    """Keep a containment for so many seconds from now on: a new review date, or a new lease.

    A lease is renewed at its target too: returns the run that does it. A review date is not: None.
    Raises Conflict for what does not stand, is being ended, or is being renewed already.
    """
    original = actions.get(tx.conn, action_id)
    hold = effects.hold_of(tx.conn, original)
    if hold is None or original.state not in renewal.STANDS:
        raise Conflict(f"there is nothing to renew: the action is {original.state.value}")
    renewal.lock(tx, hold.effect_id)
    if renewal.under_way(tx.conn, original):
        raise Conflict("a renewal of this is under way already")
    if renewal.being_ended(tx.conn, original):
        raise Conflict("a release of this is under way")
    if VERBS[original.verb].on_expiry is not OnExpiry.LIFT:
        renewal.extend(tx, original, seconds, by, why)
        return None
    return _again(tx, original, "renew", int(seconds), why, by)


def repair(tx: Tx, original: ActionRow, hold: Any) -> str:
    """Bring back what is gone from its target, for the time that it has left; returns the run."""
    return _again(tx, original, "repair", renewal.remaining(hold, tx.now), "gone from its target", ENGINE)


def _again(tx: Tx, original: ActionRow, word: str, lease: int, why: str, by: Actor) -> str:
    """The same verb once more, as a run of one step whose action is fixed now and names what it renews."""
    params = dict(original.params)
    if lease and "duration" in VERBS[original.verb].params:
        params["duration"] = lease
    step = Soar(slug=word, verb=original.verb, with_=params, lease=lease)
    playbook = one_step(f"direct-{word}", f"{word.capitalize()} {original.verb} on {original.target_name}", step)
    run_id = running.start_run(tx, original.incident_id, playbook, {}, by=by, why=why, automatic=by.kind != "person")
    plan = planning.StepPlan(
        actions=(
            planning.Planned(
                verb=original.verb, target=original.target, target_name=original.target_name,
                adapter=original.adapter, params=params, lease=lease, review=0, renews=original.id,
            ),
        )
    )  # fmt: skip
    first = tx.conn.execute(sa.select(work).where(work.c.run_id == run_id)).one()
    caller = str(ENGINE) if by.kind != "person" else f"{by.kind}:{by.id}"
    planning.insert(
        tx, plan, run=runs.get(tx.conn, run_id), step_path=first.occurrence, step=word, generation=first.attempt,
        caller=caller,
    )  # fmt: skip
    return run_id
