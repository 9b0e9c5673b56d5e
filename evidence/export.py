"""From the store to an evidence package: everything about one incident as it stands at one moment.

The export comes first in the record it exports: each item's chain of custody names the recipient,
the events of it are sealed, and only then is the incident read and packed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import rfc8785
import sqlalchemy as sa

from evidence import package
from evidence.collection import custody_of, from_row, handle
from evidence.package import PackageContents, PackedItem
from evidence.sealer import Sealer, proofs
from soar import timeline
from soar.errors import Conflict, NotFound, SoarError, Unavailable
from soar.events import Kind, stamp, verify_stream
from soar.ids import new_id
from soar.model import Actor, JsonObject
from soar.ports import Signer, Vault
from soar.store import actions, incidents, streams
from soar.store.session import Store, Tx
from soar.store.streams import Body
from soar.store.tables import approvals, checkpoints, evidence_items, leaves, packages, playbooks, runs, unsealed, votes

LATE = timeline.LATE
CHUNK = 1024 * 1024


def export(
    store: Store, sealer: Sealer, vault: Vault, folder: Path, incident_id: str, *, recipient: str, purpose: str,
    actor: Actor,
) -> str:  # fmt: skip
    """Build a package of an incident for somebody into `folder`; returns its id, `<id>.zip` is its name.

    Raises NotFound for the incident, Conflict where its record has a gap, Unavailable where the disk
    fails, and what `evidence.package.build` raises; a package that could not be built stays in the
    table with its problem.
    """
    export_id = new_id()
    record = {
        "id": export_id, "recipient": recipient, "purpose": purpose, "requested_by": str(actor),
        "at": stamp(store.clock.now()),
    }  # fmt: skip
    incident = store.write(lambda tx: _announce(tx, incident_id, record, actor))
    path = folder / f"{export_id}.zip"
    try:
        _make(folder)
        sealer.seal()
        with store.read() as conn:
            packed = contents(conn, incident, record, sealer.signer, store.clock.now())
        package.build(packed, vault, path, sealer.signer)
        digest, size = _digest(path)
    except BaseException as error:  # whatever ended it, the row must not say for ever that it is being built
        said = _why(error)
        store.write(lambda tx: _note(tx, export_id, status="failed", problem=said))
        if isinstance(error, OSError):
            raise Unavailable(said) from error
        raise
    store.write(lambda tx: _note(tx, export_id, status="ready", sha256=digest, record={**record, "size": size}))
    return export_id


def give_up(store: Store, folder: Path) -> int:
    """Mark what an earlier process was building as failed, and remove its half-built files; how many rows.

    Only for the process that owns the data folder, before it builds any package itself.
    """
    said = "the service ended while this was being built; build another"
    lost = packages.update().where(packages.c.status == "building").values(status="failed", problem=said)
    count = store.write(lambda tx: tx.conn.execute(lost).rowcount)
    for half in folder.glob(".*.part"):
        shutil.rmtree(half, ignore_errors=True)
    return int(count)


def find(conn: sa.Connection, package_id: str) -> Any:
    """The row of one package; raises NotFound."""
    row = conn.execute(sa.select(packages).where(packages.c.id == package_id)).first()
    if row is None:
        raise NotFound(f"no package {package_id!r}")
    return row


def contents(
    conn: sa.Connection, incident_id: str, export: JsonObject, signer: Signer, now: datetime
) -> PackageContents:
    """Everything of an incident, as far as the newest checkpoint covers it.

    `export` has id, recipient, purpose, requested_by and at. Raises NotFound without a checkpoint,
    Conflict where an event or its leaf is gone or was changed: such a record is never cut short.
    """
    incident = incidents.get(conn, incident_id)
    head = conn.execute(sa.select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()
    if head is None:
        raise NotFound("nothing has been sealed yet")
    stream = streams.incident_stream(incident.id)
    stored = streams.bodies(conn, stream)
    _whole(conn, stream, stored, head.size)
    proven = proofs(conn, stream, head.size)
    bodies = _sealed(conn, stored, proven, head.size)
    events = streams.read(conn, stream)
    found = timeline.timeline(events, now)
    own_runs = _plain(conn, sa.select(runs).where(runs.c.incident_id == incident.id).order_by(runs.c.id))
    items = conn.execute(
        sa.select(evidence_items).where(evidence_items.c.incident_id == incident.id).order_by(evidence_items.c.id)
    ).all()
    return PackageContents(
        export=export,
        incident=_incident(conn, incident),
        timeline={**found.as_plain(), "rows": timeline.rows(found), "measures": timeline.measures(events, now)},
        actions=[action.as_plain() for action in actions.find(conn, incident_id=incident.id)],
        runs=own_runs,
        approvals=_approvals(conn, incident.id),
        playbooks=_playbooks(conn, {run["playbook_digest"] for run in own_runs}),
        items=[PackedItem(stored=from_row(row), custody=custody_of(conn, row.id)) for row in items],
        streams={stream: bodies},
        proofs={ident: proven[ident] for ident in map(_id, bodies)},
        checkpoint=head.note,
        key_name=signer.key_name,
        public_key=signer.public_key,
        late=any(event.recorded_at - event.at > LATE for event in events),
        notes=("unwitnessed: no second party vouches for the checkpoint",),
    )


def _announce(tx: Tx, incident_id: str, record: Mapping[str, Any], actor: Actor) -> str:
    """Write down who gets what and why, in the chain of every item, before anything leaves."""
    incident = incidents.get(tx.conn, incident_id)
    ids = tx.conn.execute(
        sa.select(evidence_items.c.id).where(evidence_items.c.incident_id == incident.id).order_by(evidence_items.c.id)
    ).scalars()
    for item_id in ids.all():
        handle(tx, item_id, "exported", actor, record["purpose"], to=record["recipient"])
    incidents.event(
        tx, incident.id, Kind.EVIDENCE_EXPORTED, actor=actor, data={"package": record["id"]},
        values={"recipient": record["recipient"], "purpose": record["purpose"]},
    )  # fmt: skip
    tx.conn.execute(
        packages.insert().values(
            id=record["id"], incident_id=incident.id, status="building", path=f"packages/{record['id']}.zip",
            sha256="", record=dict(record), created_at=tx.now, problem="",
        )
    )  # fmt: skip
    return str(incident.id)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the folder for packages cannot be made: {error.strerror}") from error


def _note(tx: Tx, package_id: str, **columns: Any) -> None:
    tx.conn.execute(packages.update().where(packages.c.id == package_id).values(**columns))


def _why(error: BaseException) -> str:
    if isinstance(error, SoarError):
        return error.message
    if isinstance(error, OSError):
        return f"the package cannot be written: {error.strerror}"
    return f"building it broke off: {type(error).__name__}"


def _whole(conn: sa.Connection, stream: str, stored: Sequence[Body], size: int) -> None:
    """Raises Conflict unless the stream and the log up to the checkpoint are whole."""
    if problems := verify_stream(stream, stored):
        raise Conflict(f"the record of this incident is damaged: {problems[0]}; verify the log")
    counted = conn.execute(sa.select(sa.func.count()).where(leaves.c.leaf_index < size)).scalar_one()
    if counted != size:
        raise Conflict(f"the log has lost {size - counted} of the {size} leaves that were signed; verify the log")


def _sealed(conn: sa.Connection, stored: Sequence[Body], proven: Mapping[str, Any], size: int) -> list[Body]:
    """The events from the first on, up to those written after the checkpoint; raises Conflict at a gap."""
    cut = next((at for at, body in enumerate(stored) if _id(body) not in proven), len(stored))
    for position, body in enumerate(stored[cut:], cut):
        later = sa.union_all(
            sa.select(unsealed.c.event_id).where(unsealed.c.event_id == _id(body)),
            sa.select(leaves.c.event_id).where(leaves.c.event_id == _id(body), leaves.c.leaf_index >= size),
        )
        if not conn.execute(later).first():
            raise Conflict(f"event {position} of this incident is in no log and waits for none; verify the log")
    if any(_id(body) in proven for body in stored[cut:]):
        raise Conflict(f"event {cut} of this incident was sealed after one that follows it; verify the log")
    return list(stored[:cut])


def _id(body: Body) -> str:
    return str(json.loads(body[0])["id"])


def _incident(conn: sa.Connection, row: Any) -> dict[str, Any]:
    observables = [
        {"type": each.type, "value": each.value, "verdict": each.verdict.value, "confidence": each.confidence}
        for each in incidents.observables_of(conn, row.id)
    ]
    return {
        **_one(row),
        "scope": [_one(each) for each in incidents.scope_rows(conn, row.id)],
        "observables": observables,
    }


def _approvals(conn: sa.Connection, incident_id: str) -> list[dict[str, Any]]:
    rows = _plain(conn, sa.select(approvals).where(approvals.c.incident_id == incident_id).order_by(approvals.c.id))
    for row in rows:
        row["votes"] = _plain(conn, sa.select(votes).where(votes.c.approval_id == row["id"]).order_by(votes.c.id))
    return rows


def _playbooks(conn: sa.Connection, digests: set[str]) -> dict[str, bytes]:
    rows = conn.execute(sa.select(playbooks).where(playbooks.c.digest.in_(digests)))
    return {row.digest: rfc8785.dumps(row.document) for row in rows}


def _plain(conn: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [_one(row) for row in conn.execute(query)]


def _one(row: Any) -> dict[str, Any]:
    """A row as JSON: times in RFC 3339."""
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    return {name: stamp(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _digest(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size of a file."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
            size += len(chunk)
    return hashed.hexdigest(), size
