"""A worker that is frozen past its claim may neither act nor write; two incidents hold one host through any crash."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from soar.protocol import State
from tests.crash.cells import Cell, Stage
from tests.crash.conftest import Theatre
from tests.crash.expectations import MATRIX
from tests.crash.oracle import Books, findings
from tests.crash.test_crash_matrix import play

FREEZES = tuple(row for row in MATRIX if row.freezes)


def freeze(theatre: Theatre, folder: Path, times: int) -> None:
    """Freeze workers at K1 to K4, on both databases in turn, and judge each by its row of the matrix."""
    seed = random.randrange(2**32)
    print(f"freezes: {times}, seed {seed}")
    chance = random.Random(seed)
    cells = []
    for number in range(times):
        name = ("sqlite", "postgres")[number % 2]
        stage = theatre.stage(name, folder=folder / str(number))
        row = FREEZES[number % len(FREEZES)]
        column = chance.choice(sorted(row.ends))
        cells.append(Cell(stage, row, column, row.ends[column], serial=number + 1))
    played = play(cells)
    assert {cell.id: cell.wrong for cell in played if cell.wrong} == {}
    refused = sum(bool(cell.refused) for cell in played)
    print(f"stale workers refused: {refused} of {times}")
    assert refused == times


def test_a_worker_frozen_past_its_claim_can_neither_send_nor_write(theatre: Theatre, tmp_path: Path) -> None:
    freeze(theatre, tmp_path, 10)


@pytest.mark.long
def test_forty_workers_frozen_past_their_claims_can_neither_send_nor_write(theatre: Theatre, tmp_path: Path) -> None:
    freeze(theatre, tmp_path, 40)


@pytest.mark.parametrize("setup", ["sqlite", "postgres"])
def test_of_two_incidents_that_hold_one_host_one_lets_go_and_it_stays_contained_whatever_crashes(
    theatre: Theatre, tmp_path: Path, setup: str
) -> None:
    stage = theatre.stage(setup, folder=tmp_path / "cells")
    passed, wrong = two_incidents(stage, 0)
    assert wrong == []
    print(f"{setup}: {passed} places to crash at")
    assert passed > 10
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda nth: two_incidents(stage, nth), range(1, passed + 1)))
    assert {nth: wrong for nth, (_, wrong) in enumerate(ends, 1) if wrong} == {}


def two_incidents(stage: Stage, nth: int) -> tuple[int, list[str]]:
    """The story, crashed at the nth place and told on; how many places it has (0 after a crash), what is wrong."""
    cell = f"{stage.name}_two_{nth}"
    url = stage.database(cell)
    spec = stage.spec(cell, url, "B") | {"tell": "two_incidents"}
    passed = 0
    wrong: list[str] = []
    child = stage.nursery.fork(spec | {"fault": {"at": "*", "nth": nth, "act": "kill"}})
    child.until("ended")
    if child.killed:
        child = stage.nursery.fork(spec | {"recover": True})
        child.until("ended")
        child.said()
    else:
        passed = int(child.said()["passed"])
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    books = Books.of(engine, stage.target, cell)
    wrong += findings(books)
    held = [row.state for row in books.rows if row.verb == "isolate_host"]
    if held != [State.REVERTED, State.ACTIVE]:
        wrong.append(f"the containments are {held}")
    if stage.target.holder(cell, "isolate_host", "host:ws-0160") is None:
        wrong.append("the host was let go although another incident holds it")
    calls = [call.op for call in books.calls if call.changed]
    if calls != ["apply"]:
        wrong.append(f"what changed at the target: {calls}")
    stage.forget(cell)
    return passed, wrong
