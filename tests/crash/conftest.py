"""The theatre of the crash drills: one target, one nursery, the real servers, and a stage for each set-up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from api.migrate import migrate
from tests.conftest import missing_real_part
from tests.crash.cells import Stage
from tests.crash.nursery import Nursery
from tests.crash.target import Target
from tests.servers import MissingServer, Postgres, Redis, postgres, redis

SETUPS = ("sqlite", "postgres", "celery")


@dataclass(slots=True)
class Theatre:
    """What all stages share."""

    embedded: Stage
    database: Postgres
    broker: Redis

    def stage(self, name: str, *, broken: str = "", folder: Path) -> Stage:
        """A stage of one set-up. `broken` names a fault of the engine itself, that drills must find out."""
        folder.mkdir(exist_ok=True)
        stage = replace(self.embedded, name=name, folder=folder, broken=broken)
        if name == "sqlite":
            return stage
        return replace(stage, postgres=self.database, broker=self._brokers() if name == "celery" else None)

    def _brokers(self) -> Callable[[str], str]:
        """Each cell has a queue of its own: a database of the one Redis."""
        numbers: defaultdict[str, int] = defaultdict(count().__next__)
        return lambda cell: self.broker.url(numbers[cell] % 1000)


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """The servers, the target and the nursery, started once."""
    folder = tmp_path_factory.mktemp("crash")
    template = folder / "template.db"
    migrate(f"sqlite:///{template}")
    target, nursery = Target(folder / "target.sock"), Nursery(folder)
    # What is killed here are workers, never the database server: it need not wait for the disk.
    quick = {"fsync": "off", "max_connections": "300", "autovacuum": "off"}
    try:
        with postgres(settings=quick) as database, redis(options=["--databases", "1000"]) as broker:
            migrate(database.create("soar_template"))
            yield Theatre(Stage("sqlite", target, nursery, folder, template), database, broker)
    except MissingServer as missing:
        missing_real_part(str(missing))
    finally:
        nursery.close()
        target.stop()
