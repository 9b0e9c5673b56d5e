"""What stories share: waiting, the lab asked past the product, persons, the actions of an incident."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from api.wiring import House, build
from integrations.estate.server import Lab
from soar.config import Settings
from soar.model import ENGINE, Actor
from soar.store import actions, people
from soar.store.rows import ActionRow


def until(seen: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until something is seen; the last thing seen when the time is over."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = seen()
        if found:
            return found
        time.sleep(0.02)
    return seen()


one_database = pytest.mark.parametrize("backend", ["sqlite"])
"""For a story in which nothing happens at once and nobody dies: what it tells is decided above the database, which
other stories and the tests of the store try on both."""
_DIRECT = httpx2.Client(trust_env=False)


@contextmanager
def living(settings: Settings) -> Iterator[House]:
    """A house with its workers running, closed whatever happens in it."""
    with closing(build(settings)) as house:
        house.start()
        yield house


class Estate:
    """Asks the lab itself, past the product."""

    def __init__(self, lab: Lab) -> None:
        self.url = lab.url

    def log(self, **wanted: Any) -> list[Any]:
        """The lab's own log, filtered by equality."""
        calls = _DIRECT.get(f"{self.url}/log").json()["calls"]
        return [call for call in calls if all(call.get(name) == value for name, value in wanted.items())]

    def fault(self, **fault: Any) -> None:
        """Let the next matching call meet a fault."""
        _DIRECT.post(f"{self.url}/faults", json=fault).raise_for_status()

    def act(self, verb: str, target: str, key: str) -> None:
        """Somebody else does something at the estate."""
        kind, _, ident = target.partition(":")
        body = {"target": target, "params": {kind: ident}}
        _DIRECT.post(f"{self.url}/v1/apply/{verb}", json=body, headers={"X-Soar-Key": key}).raise_for_status()


class Service:
    """A service in a process of its own, on the database that the settings name, which can be killed."""

    def __init__(self, folder: Path, settings: Settings, *, blind: bool = False) -> None:
        config = folder / "settings.json"
        config.write_text(settings.model_dump_json(), encoding="utf-8")
        child = Path(__file__).parent / "story" / "service_child.py"
        words = [sys.executable, str(child), str(config), *(["--blind"] if blind else [])]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=child.parents[2])
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "READY\n"

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self._gone()

    def stop(self) -> None:
        """SIGTERM: it ends what it is doing."""
        self.process.terminate()
        self._gone()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    def _gone(self) -> None:
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Cast:
    """The persons of a story."""

    def __init__(self, house: House) -> None:
        self.house = house

    def person(self, name: str, *roles: str) -> Actor:
        """A person with roles, as an actor."""
        made = self.house.store.write(lambda tx: people.add_person(tx, name, roles, ENGINE))
        return Actor(kind="person", id=made, name=name, roles=frozenset(roles))


def rows(house: House, incident_id: str, verb: str = "") -> dict[str, ActionRow]:
    """The incident's actions of a verb, by target id; the newest one of each target."""
    with house.store.read() as conn:
        found = actions.find(conn, incident_id=incident_id, verbs=(verb,) if verb else ())
    return {row.target.id: row for row in found}
