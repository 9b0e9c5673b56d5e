"""The service dies in the middle of a call. What it does when it comes back is the whole point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.wiring import build
from soar.clock import SystemClock
from soar.config import Settings
from soar.engine import running
from soar.model import ENGINE, Entity, EntityKind, ScopeStatus, Severity
from soar.playbook.model import Soar, one_step
from soar.protocol import State
from soar.store import actions, incidents
from soar.store.session import Store
from tests.stage import Estate, Service, one_database, until

MALWARE = "C:\\Users\\j.doe\\Downloads\\invoice_7781.scr"


def begin(settings: Settings) -> str:
    """An incident with one host, and a run that will quarantine a file there, stored and not yet worked on."""
    house = build(settings)
    host = Entity(kind=EntityKind.HOST, id="ws-0147", name="ws-0147", source="lab:inventory")
    book = one_step(
        "clean", "Clean", Soar(slug="clean", verb="quarantine_file", with_={"host": "ws-0147", "path": MALWARE})
    )

    def write(tx: Any) -> str:
        incident = incidents.open_new(tx, "malware", Severity.HIGH, ENGINE, "drill")
        incidents.add_scope(tx, incident, host, ScopeStatus.AFFECTED, tx.now)
        running.start_run(tx, incident, book, {}, by=ENGINE, why="drill", automatic=True)
        return incident

    incident = house.store.write(write)
    house.close()
    return incident


def outcome(store: Store, incident: str) -> tuple[State, str]:
    with store.read() as conn:
        row = actions.find(conn, incident_id=incident, verbs=("quarantine_file",))[-1]
    return row.state, row.id


def crash_and_return(tmp_path: Path, settings: Settings, estate: Estate, *, blind: bool) -> tuple[State, list[Any]]:
    """Kill the service while the lab hangs (it acted, and never answers); start it again; let it end."""
    incident = begin(settings)
    estate.fault(verb="quarantine_file", phase="apply", fault="hang_after", seconds=60)
    with Service(tmp_path, settings) as first:
        assert until(lambda: estate.log(verb="quarantine_file", method="apply", changed=True))
        first.kill()
    store = Store(settings.url, SystemClock())
    with Service(tmp_path, settings, blind=blind) as again:
        assert until(lambda: outcome(store, incident)[0] is State.ACTIVE)
        again.stop()
    state, key = outcome(store, incident)
    store.close()
    return state, estate.log(key=key, method="apply")


def test_it_asks_the_target_and_adopts_what_it_finds(tmp_path: Path, settings: Settings, estate: Estate) -> None:
    state, applied = crash_and_return(tmp_path, settings, estate, blind=False)
    assert state is State.ACTIVE
    assert len(applied) == 1


@one_database
def test_without_asking_the_same_story_ends_with_two_calls(tmp_path: Path, settings: Settings, estate: Estate) -> None:
    _, applied = crash_and_return(tmp_path, settings, estate, blind=True)
    with pytest.raises(AssertionError):
        assert len(applied) == 1
