"""Rows K0 to K13, each class, each set-up: whatever dies wherever, every cell ends as it is specified."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.crash.cells import Cell, Stage
from tests.crash.conftest import SETUPS, Theatre
from tests.crash.expectations import COLUMNS, MATRIX

AT_ONCE = 8
"""Cells that are played at the same time: most of a cell is waiting for a claim to run out."""


def play(cells: Sequence[Cell]) -> list[Cell]:
    """Play cells, several at once, the slow ones first; all of them come back, judged."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(Cell.play, sorted(cells, key=lambda cell: not cell.row.freezes)))


def draw(cells: Sequence[Cell]) -> str:
    """The matrix as a table: the end of each cell, `!` where it is not as specified."""
    by = {(cell.stage.name, cell.row.id, cell.column): cell for cell in cells}
    lines = ["crash matrix: state, calls, effects; `!` is not as specified"]
    for setup in dict.fromkeys(cell.stage.name for cell in cells):
        mine = [cell for cell in cells if cell.stage.name == setup]
        slowest = max(cell.seconds for cell in mine)
        lines.append(f"\n{setup}: {len(mine)} cells, {sum(bool(c.wrong) for c in mine)} wrong, slowest {slowest:.1f} s")
        lines.append(f"{'':<20}" + "".join(f"{column:<20}" for column in COLUMNS))
        for row in MATRIX:
            texts = [
                ("! " if cell.wrong else "") + cell.came if (cell := by.get((setup, row.id, column))) else ""
                for column in COLUMNS
            ]
            if any(texts):
                lines.append(f"{row.id:<20}" + "".join(f"{text:<20}" for text in texts))
        lines += [f"! {cell.row.id} {cell.column}: {wrong}" for cell in mine for wrong in cell.wrong]
    return "\n".join(lines)


SHORT = {"celery": ("B", "C")}
"""Where a cell costs the start of a whole node, the short form plays these columns; the long form plays all."""


def all_end_as_specified(stage: Stage, columns: Collection[str]) -> None:
    cells = [Cell(stage, row, column, end) for row in MATRIX for column, end in row.ends.items() if column in columns]
    began = time.monotonic()
    played = play(cells)
    table = f"{draw(played)}\n{time.monotonic() - began:.1f} s"
    print(table)
    built = ROOT / "build"
    built.mkdir(exist_ok=True)
    (built / f"crash-matrix-{stage.name}.txt").write_text(f"{table}\n")
    assert {cell.id: cell.wrong for cell in played if cell.wrong} == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("setup", SETUPS)
def test_whatever_dies_wherever_every_cell_ends_as_specified(theatre: Theatre, setup: str, tmp_path: Path) -> None:
    all_end_as_specified(theatre.stage(setup, folder=tmp_path / "cells"), SHORT.get(setup, COLUMNS))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("setup", SHORT)
def test_every_class_ends_as_specified(theatre: Theatre, setup: str, tmp_path: Path) -> None:
    all_end_as_specified(theatre.stage(setup, folder=tmp_path / "cells"), COLUMNS)


@pytest.mark.parametrize(
    ("broken", "row", "column", "finds"),
    [
        ("always_repeat", "K4", "C", "unsafe to repeat"),
        ("always_repeat", "K2", "C+", "wanted 'in_doubt 0 0'"),
        ("no_fence", "K10 answered", "B", "not told that its work was taken over"),
    ],
)
def test_an_engine_that_is_broken_on_purpose_is_found_out(
    theatre: Theatre, tmp_path: Path, broken: str, row: str, column: str, finds: str
) -> None:
    stage = theatre.stage("sqlite", broken=broken, folder=tmp_path / "cells")
    (wanted,) = [each for each in MATRIX if each.id == row]
    cell = Cell(stage, wanted, column, wanted.ends[column]).play()
    assert any(finds in wrong for wrong in cell.wrong), cell.wrong
