"""Containments and questions as rows, as many as a test wants, without a run behind each of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from soar.ids import new_id
from soar.model import ENGINE, Severity
from soar.store import incidents, tasks, work
from soar.store.session import Store, Tx
from soar.store.tables import actions, approvals, effects, holds

BLANK: dict[str, Any] = {
    "command_index": 0, "generation": 1, "adapter": "lab", "repeat_class": "B", "digest": "", "prior": {}, "handle": {},
    "outputs": {}, "guards": [], "lease_seconds": 0, "review_seconds": 86400, "caller": "person:drill",
}  # fmt: skip


def opened(store: Store, count: int) -> list[str]:
    """So many incidents."""
    return store.write(lambda tx: [incidents.open_new(tx, f"drill {n}", Severity.HIGH, ENGINE, "drill")
                                   for n in range(count)])  # fmt: skip


def contained(tx: Tx, incident: str, host: str, at: datetime, verb: str = "isolate_host") -> tuple[str, str]:
    """One containment that stands, with its hold; at that time its review (or lease) is over. Action and hold."""
    action, effect, hold = new_id(), new_id(), new_id()
    lifts = verb.startswith("block_")
    target = f"observable:ipv4-addr:{host}" if lifts else f"host:{host}"
    params: dict[str, Any] = {"ip": host, "duration": 3600} if lifts else {"host": host}
    tx.conn.execute(
        actions.insert().values(
            **BLANK, id=action, origin=f"drill:{action}", step_path="drill", target=target, target_name=host, verb=verb,
            params=params, state="active", incident_id=incident, effect_id=effect, created_at=tx.now, called_at=tx.now,
            verified_at=tx.now,
        )
    )  # fmt: skip
    tx.conn.execute(
        effects.insert().values(
            id=effect, adapter="lab", verb=verb, target=target, params_digest="", state="active", since=tx.now,
            verified_at=tx.now, action_id=action, handle={"key": action}, prior={"present": False}, generation=1,
            expires_at=at if lifts else None,
        )
    )  # fmt: skip
    tx.conn.execute(
        holds.insert().values(
            id=hold, effect_id=effect, incident_id=incident, action_id=action, owner="alice", reason="drill",
            review_at=None if lifts else at, expires_at=at if lifts else None, placed_at=tx.now, overdue=False,
        )
    )  # fmt: skip
    work.arm(tx, at, "lease" if lifts else "review", hold, 1)
    return action, hold


def asked(tx: Tx, incident: str, at: datetime) -> str:
    """An open question that is overdue at that time."""
    return tasks.open_task(
        tx, incident, kind="manual", text="which?", asks={"which": "str"}, within=(at - tx.now).total_seconds()
    )


def approval(tx: Tx, incident: str, at: datetime) -> str:
    """An open approval that is escalated at that time."""
    key = new_id()
    tx.conn.execute(
        approvals.insert().values(
            id=key, incident_id=incident, subject="drill", digest="0" * 64, digests=[], any_of=["responder"],
            persons=1, on_timeout="escalate", status="open", asked_by="drill", asked_at=tx.now, expires_at=at,
            escalations=0,
        )
    )  # fmt: skip
    work.arm(tx, at, "approval", key, 0, {"within": 86400})
    return key
