"""Playbooks that begin by the clock, once for each time, whatever was switched off meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from api.wiring import House
from soar.config import Settings
from soar.engine import schedules
from soar.playbook.yaml.yaml_form import load
from soar.store import runs, tasks
from soar.store.session import Tx
from soar.store.tables import due
from soar.store.tables import incidents as incident_table
from soar.store.tables import runs as run_table
from tests.stage import living, one_database, until

pytestmark = one_database
NIGHTLY = """id: nightly
name: Nightly look
schedules:
  - {cron: "0 3 * * *", timezone: Europe/Vienna, inputs: {team: night-shift}}
variables:
  team: {type: str, default: on-call}
steps:
  - {id: tell, do: notify, with: {team: $team, text: Another day}}
"""


def armed(house: House) -> list[Any]:
    with house.store.read() as conn:
        query = sa.select(due).where(due.c.kind == schedules.TIMER, due.c.state == "armed")
        return list(conn.execute(query).all())


def come(house: House) -> None:
    """The time of every schedule has come."""
    ago = house.store.clock.now() - timedelta(minutes=1)
    house.store.write(lambda tx: tx.conn.execute(due.update().where(due.c.kind == schedules.TIMER).values(at=ago)))
    house.store.write(lambda tx: tx.ring(""))


def ended(house: House) -> list[Any]:
    with house.store.read() as conn:
        return [row for row in conn.execute(run_table.select()).all() if row.status == "succeeded"]


def test_a_playbook_begins_by_the_clock_once_and_the_next_time_is_set(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text(NIGHTLY, encoding="utf-8")
    mine = settings.model_copy(update={"playbooks": (file,)})
    with living(mine) as house:
        (timer,) = armed(house)
        at = timer.at.replace(tzinfo=UTC) if timer.at.tzinfo is None else timer.at
        assert (at.astimezone(ZoneInfo("Europe/Vienna")).hour, at.minute) == (3, 0)
        assert timedelta() < at - datetime.now(UTC) <= timedelta(hours=25)
        come(house)
        (run,) = until(lambda: ended(house))
        assert run.automatic
        assert run.inputs == {"team": "night-shift"}
        assert "0 3 * * *" in run.why
        (following,) = armed(house)
        assert following.id != timer.id
        with house.store.read() as conn:
            (where,) = conn.execute(incident_table.select()).all()
        assert "Nightly look" in where.title
    with living(mine) as house:
        assert [row.id for row in armed(house)] == [following.id]
    with living(settings) as house:
        assert len(armed(house)) == 1  # the playbook is still the current one of its name


def test_a_schedule_that_the_next_version_has_no_more_is_dropped(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text(NIGHTLY, encoding="utf-8")
    with living(settings.model_copy(update={"playbooks": (file,)})) as house:
        assert len(armed(house)) == 1
    head, _, tail = NIGHTLY.partition("schedules:")
    file.write_text(head + tail.partition("}}\n")[2], encoding="utf-8")
    with living(settings.model_copy(update={"playbooks": (file,)})) as house:
        assert armed(house) == []


def test_what_may_not_begin_asks_a_person_in_its_incident(settings: Settings) -> None:
    revoked = load(NIGHTLY.replace("id: nightly", "id: nightly\nrevoked: true").encode())

    def write(tx: Tx) -> None:
        runs.save_playbook(tx, revoked)
        schedules.arm(tx)

    with living(settings) as house:
        house.store.write(write)
        come(house)

        def asked() -> Any:
            with house.store.read() as conn:
                return tasks.find(conn, kind="not_started", status="open")

        (task,) = until(asked)
        assert "revoked" in task.text
        with house.store.read() as conn:
            assert not conn.execute(run_table.select()).all()
        (following,) = armed(house)
        assert following.state == "armed"
