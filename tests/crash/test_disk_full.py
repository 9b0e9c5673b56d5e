"""A full disk: without a stored intent nothing is sent, and once there is room the work goes on by itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.crash.conftest import Theatre
from tests.crash.drills import VERB
from tests.crash.oracle import Books, findings

ENDS = {"R": "done", "A": "active", "B": "active", "C": "done", "C+": "active"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A disk of 8 MiB where it can be mounted; else a folder, and a database that may not grow."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    small = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield place, "tmpfs" if small else "pages"
    finally:
        if small:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("column", ENDS)
def test_with_a_full_disk_nothing_is_sent_and_with_room_again_it_is_done_once(
    theatre: Theatre, disk: tuple[Path, str], column: str
) -> None:
    place, kind = disk
    print(f"the disk is full by: {kind}")
    cell = f"full_{kind}_{VERB[column]}"
    stage = replace(theatre.embedded, folder=place)
    url = stage.database(cell)
    filler = place / cell / "filler"
    fault = {"at": "claimed", "act": "fill"}
    child = stage.nursery.fork(stage.spec(cell, url, column) | {"begin": "act", "disk": kind, "fault": fault})
    ends = time.monotonic() + 10
    while not filler.exists() and time.monotonic() < ends:
        time.sleep(0.01)
    time.sleep(0.7)
    assert child.status is None
    assert stage.target.log(cell) == []
    filler.unlink()
    freed = time.monotonic()
    child.until("ended")
    said = child.said()
    assert said["settled"], said["why"]
    assert time.monotonic() - freed < 10
    assert any("cannot be written" in entry for entry in said["log"]), "the disk was never full"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    books = Books.of(engine, stage.target, cell)
    assert findings(books) == []
    (action,) = [row for row in books.rows if row.verb == VERB[column]]
    assert (action.state.value, len(books.sent(action.id))) == (ENDS[column], 1)
