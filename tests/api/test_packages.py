"""Packages that cannot be built: they say so, and a damaged record is never cut short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.wiring import build
from evidence import export
from soar.store import streams
from soar.store.tables import events, leaves, packages
from tests.api.door import Door, unlock
from tests.api.test_errors import problem

ORDER = {"recipient": "State CERT", "purpose": "criminal complaint"}


def rows(door: Door) -> list[tuple[str, str]]:
    """Status and problem of each package."""
    with door.house.store.read() as conn:
        return [(row.status, row.problem) for row in conn.execute(sa.select(packages).order_by(packages.c.id))]


@pytest.mark.parametrize(
    ("breaks", "status", "code", "said"),
    [
        (OSError(28, "No space left on device"), 503, "unavailable", "No space left on device"),
        (MemoryError(), 500, "internal", "MemoryError"),
    ],
)
def test_a_package_that_breaks_off_is_failed_and_says_why(
    own_door: Door, monkeypatch: pytest.MonkeyPatch, breaks: BaseException, status: int, code: str, said: str
) -> None:
    def digest(path: Path) -> Any:
        raise breaks

    monkeypatch.setattr(export, "_digest", digest)
    incident = own_door.incident()
    problem(own_door.call("POST", f"/incidents/{incident}/packages", "forensic", body=ORDER), status, code)
    ((was, why),) = rows(own_door)
    assert was == "failed"
    assert said in why


def test_what_an_earlier_process_left_half_done_is_failed_and_swept_at_the_next_start(own_door: Door) -> None:
    door = own_door
    made = door.post(f"/incidents/{door.incident()}/packages", ORDER, "forensic", 201)
    door.house.store.write(lambda tx: tx.conn.execute(packages.update().values(status="building")).rowcount)
    data = door.house.settings.data
    half = data / "packages" / f".{made['id']}.zip.x.part"
    half.mkdir()
    (half / "raw").write_bytes(b"evidence")
    torn = data / "vault" / "incoming" / "0123"
    torn.write_bytes(b"half")
    door.house.close()
    again = build(door.house.settings)
    try:
        with again.store.read() as conn:
            row = export.find(conn, made["id"])
        assert (row.status, "the service ended" in row.problem) == ("failed", True)
        assert not half.exists()
        assert not torn.exists()
        assert (data / row.path).exists()
    finally:
        again.close()


def test_a_gap_in_the_record_fails_the_export_and_is_never_passed_over(own_door: Door) -> None:
    door = own_door
    incident = door.incident()
    door.house.sealer.seal()
    stream = streams.incident_stream(incident)
    with door.house.store.engine.begin() as conn:
        unlock(conn)
        first = conn.execute(sa.select(events.c.id).where(events.c.stream == stream, events.c.seq == 1)).scalar_one()
        conn.execute(leaves.update().where(leaves.c.event_id == first).values(event_id="another"))
    said = problem(door.call("POST", f"/incidents/{incident}/packages", "forensic", body=ORDER), 409, "conflict")
    assert "in no log" in said["detail"]
    with door.house.store.engine.begin() as conn:
        conn.execute(leaves.delete().where(leaves.c.event_id == "another"))
    said = problem(door.call("POST", f"/incidents/{incident}/packages", "forensic", body=ORDER), 409, "conflict")
    assert "has lost 1 of the" in said["detail"]
    assert [status for status, _ in rows(door)] == ["failed", "failed"]


def test_an_event_that_is_gone_from_an_incident_fails_its_export(own_door: Door) -> None:
    door = own_door
    incident = door.incident()
    with door.house.store.engine.begin() as conn:
        unlock(conn)
        gone = events.c.stream == streams.incident_stream(incident), events.c.seq == 1
        conn.execute(sa.text("PRAGMA foreign_keys = OFF"))
        found = conn.execute(sa.select(events.c.id).where(*gone)).scalar_one()
        conn.execute(sa.text("DELETE FROM event_values WHERE event_id = :id"), {"id": found})
        conn.execute(sa.text("DELETE FROM unsealed WHERE event_id = :id"), {"id": found})
        conn.execute(events.delete().where(*gone))
    said = problem(door.call("POST", f"/incidents/{incident}/packages", "forensic", body=ORDER), 409, "conflict")
    assert "damaged" in said["detail"]
