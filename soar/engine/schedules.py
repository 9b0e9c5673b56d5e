"""Runs that begin by the clock: a timer for each schedule of each current playbook, set anew when it fires.

What fell into a time when nobody was running begins once, when somebody is again; what was missed more
often than once is not made up for. A run by the clock has an incident of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from soar.engine import binding, running
from soar.engine.parts import Parts
from soar.errors import Invalid, NotFound, Refused
from soar.model import ENGINE, Severity
from soar.playbook import schedules
from soar.playbook.model import Playbook, Schedule
from soar.store import incidents, runs, tasks, work
from soar.store.session import Tx
from soar.store.tables import due

TIMER = "schedule"


def arm(tx: Tx) -> None:
    """Set the timers of the current playbooks, and drop those of schedules that are there no more.

    A timer that is set already stays as it is, so that what it was set for is not missed by a restart.
    """
    wanted = {
        _ref(playbook, index): schedule
        for playbook in runs.current_playbooks(tx.conn)
        for index, schedule in enumerate(playbook.schedules)
    }
    armed = tx.conn.execute(sa.select(due.c.ref, due.c.data).where(due.c.kind == TIMER, due.c.state == "armed")).all()
    standing = {row.ref for row in armed if row.ref in wanted and row.data == _said(wanted[row.ref])}
    for ref in {row.ref for row in armed} - standing:
        work.disarm(tx, TIMER, ref)
    for ref, schedule in wanted.items():
        if ref not in standing:
            _set(tx, ref, schedule, tx.now)


def fire(parts: Parts, tx: Tx, ref: str) -> None:
    """The time of a schedule has come: open an incident, begin the run, set the timer for the next time."""
    slug, _, index = ref.rpartition("|")
    try:
        playbook = runs.current_playbook(tx.conn, slug)
    except NotFound:
        return
    if int(index) >= len(playbook.schedules):
        return
    schedule = playbook.schedules[int(index)]
    _set(tx, ref, schedule, tx.now)
    why = f"scheduled: {schedule.cron} ({schedule.timezone})"
    where = incidents.open_new(tx, f"{playbook.name} (by the clock)", Severity.INFORMATIONAL, ENGINE, why)
    try:
        parts.gate.admit(playbook, tx.now)
        inputs = binding.initial_inputs(playbook, incidents.facts(tx.conn, where), schedule.inputs)
    except (Invalid, Refused) as error:
        text = f"{playbook.name} could not begin by the clock: {error}. Start it by hand, or say why not."
        tasks.open_task(tx, where, kind="not_started", text=text, asks={"decision": "str"})
        return
    running.start_run(tx, where, playbook, inputs, by=ENGINE, why=why, automatic=True)


def _ref(playbook: Playbook, index: int) -> str:
    return f"{playbook.known_as}|{index}"


def _set(tx: Tx, ref: str, schedule: Schedule, after: datetime) -> None:
    work.arm(tx, schedules.next_after(schedule, after), TIMER, ref, data=_said(schedule))


def _said(schedule: Schedule) -> Mapping[str, Any]:
    return {"cron": schedule.cron, "timezone": schedule.timezone}
