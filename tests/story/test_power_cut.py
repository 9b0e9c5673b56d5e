"""The service dies in the middle of a call. What it does when it comes back is the whole point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.wiring import build
from soar.config import Settings
from soar.engine import running
from soar.model import ENGINE, Entity, EntityKind, ScopeStatus, Severity
from soar.playbook.model import Soar, one_step
from soar.protocol import State
from soar.store import actions, incidents
from tests.stage import Estate, until

MALWARE = "C:\\Users\\j.doe\\Downloads\\invoice_7781.scr"
CHILD = Path(__file__).with_name("service_child.py")


class Service:
    """A service that can be killed."""

    def __init__(self, folder: Path, settings: Settings, *, blind: bool = False) -> None:
        config = folder / "settings.json"
        config.write_text(settings.model_dump_json(), encoding="utf-8")
        words = [sys.executable, str(CHILD), str(config), *(["--blind"] if blind else [])]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=CHILD.parents[2])
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "READY\n"

    def kill(self) -> None:
        self.process.kill()
        self._gone()

    def stop(self) -> None:
        self.process.terminate()
        self._gone()

    def _gone(self) -> None:
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()


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


def outcome(settings: Settings, incident: str) -> tuple[State, str]:
    house = build(settings)
    with house.store.read() as conn:
        row = actions.find(conn, incident_id=incident, verbs=("quarantine_file",))[-1]
    house.close()
    return row.state, row.id


def crash_and_return(tmp_path: Path, settings: Settings, estate: Estate, *, blind: bool) -> tuple[State, list[Any]]:
    """Kill the service while the lab hangs (it acted, and never answers); start it again; let it end."""
    incident = begin(settings)
    estate.fault(verb="quarantine_file", phase="apply", fault="hang_after", seconds=60)
    first = Service(tmp_path, settings)
    assert until(lambda: estate.log(verb="quarantine_file", method="apply", changed=True))
    first.kill()
    again = Service(tmp_path, settings, blind=blind)
    until(lambda: estate.log(verb="quarantine_file", method="apply")[1:], 3.0 if not blind else 10.0)
    again.stop()
    state, key = outcome(settings, incident)
    return state, estate.log(key=key, method="apply")


def test_it_asks_the_target_and_adopts_what_it_finds(tmp_path: Path, settings: Settings, estate: Estate) -> None:
    state, applied = crash_and_return(tmp_path, settings, estate, blind=False)
    assert state is State.ACTIVE
    assert len(applied) == 1


def test_without_asking_the_same_story_ends_with_two_calls(tmp_path: Path, settings: Settings, estate: Estate) -> None:
    _, applied = crash_and_return(tmp_path, settings, estate, blind=True)
    with pytest.raises(AssertionError):
        assert len(applied) == 1
