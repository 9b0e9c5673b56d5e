"""Direct actions: what a person (or a timer) asks for outside any playbook runs as a playbook of one step.

So it has everything that a playbook's step has: the plan, the guards, the approval bound to its
digest, the wait as a row, the events.
"""

from __future__ import annotations

from soar.engine import approving, planning, releasing, running
from soar.errors import Conflict, Refused
from soar.model import ENGINE, Actor
from soar.playbook.model import Playbook, Soar, one_step
from soar.protocol import UNSENT, UNSETTLED
from soar.store import actions
from soar.store.session import Tx


def undo(tx: Tx, action_id: str, *, reason: str, why: str, by: Actor = ENGINE) -> str:
    """Begin to take one action back; returns the run. Raises Refused while the release gate is closed."""
    original = actions.get(tx.conn, action_id)
    if releasing.undone_by(tx.conn, action_id, UNSETTLED | UNSENT):
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
