"""A drill as it is kept: one event of the phase preparation, compared with the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from api.drill import machine
from api.wiring import House
from soar.engine import drill
from soar.events import stamp
from soar.model import Actor, Event
from soar.readiness.facts import Bounds, Facts
from soar.readiness.report import Report, assess, compared, costly
from soar.store import drills, people
from soar.store.session import Tx

ESTATE, LAB = "estate", "lab"


def look(house: House) -> Report:
    """Look at the configured estate and at this house, and change nothing."""
    set_up = house.settings.drills
    bounds = Bounds(**set_up.model_dump(exclude={"key_backup"}))
    known = drill.known(house.parts, bounds)
    broken = tuple(failure.module for failure in house.registry.failures)
    facts = Facts(
        **known, broken=broken, vault=machine.vault(house), key=machine.key(house),
        clocks=machine.clocks(house),
    )  # fmt: skip
    return assess(facts)


def keep(house: House, actor: Actor, kind: str, report: Report) -> str:
    """Write the drill down as whoever asked for it; returns its id."""
    data = {
        "drill": kind, "score": report.score, "ready": report.ready,
        "areas": {each.area.value: each.points for each in report.areas}, "findings": list(costly(report.findings)),
    }  # fmt: skip

    def write(tx: Tx) -> str:
        return drills.keep(tx, actor, data, report.as_plain())

    return house.store.write(write)


def line(conn: sa.Connection, event: Event) -> dict[str, Any]:
    """A drill in a list."""
    return {
        "id": event.id, "kind": event.data["drill"], "at": event.at, "by": people.told(conn, event.actor),
        "score": event.data["score"], "ready": event.data["ready"],
    }  # fmt: skip


def told(conn: sa.Connection, event: Event) -> dict[str, Any]:
    """A drill with its report and what has changed since the last one of its kind.

    Of a report that was redacted the score, the areas' points and the keys of what was found are left.
    """
    report: Mapping[str, Any] = event.values.get("report") or {}
    return {
        **line(conn, event), "areas": report.get("areas", []), "findings": report.get("findings", []),
        "rows": report.get("rows", []), "compared": _compared(conn, event),
    }  # fmt: skip


def _compared(conn: sa.Connection, event: Event) -> dict[str, Any] | None:
    """What has changed since the last drill of the same kind; None for the first one."""
    last = drills.newest(conn, event.data["drill"], before=event.id)
    if last is None:
        return None
    return {
        "drill": last.id, "at": stamp(last.at), "score": last.data["score"],
        **compared(last.data["findings"], event.data["findings"]),
    }  # fmt: skip
