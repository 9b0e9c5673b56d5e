"""Where the drills touch the engine's own seams: one place to read what a cell relies on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from soar.engine import calls, due, prepare
from soar.engine.parts import Parts
from soar.engine.runner import Runner
from soar.protocol import Recovery
from soar.store import work
from soar.store.session import Store
from tests import wires

CLAIM = 1.0
"""Seconds that a claim holds in the drills."""


def runner(of: Parts, name: str, boot: str) -> Runner:
    """One worker, with claims of a second."""
    return Runner(of, work.Owner(name, boot, timedelta(seconds=CLAIM)))


def sweep(of: Parts) -> None:
    """Free the claims that nobody lengthens."""
    due.sweep(of)


def fire_due(of: Parts) -> int:
    """Fire the timers that are due."""
    return due.fire_due(of)


def take_over(of: Parts) -> None:
    """What a process does that owns the database alone, when it starts: every claim is a dead one's."""
    if of.store.embedded:
        of.store.write(work.reclaim)


def read_only(store: Store) -> None:
    """From here on every write is refused by the database itself."""
    refuse = "PRAGMA query_only=ON" if store.embedded else "SET TRANSACTION READ ONLY"
    wires.at_begin(store, lambda raw: raw.execute(refuse))


def stop_growing(store: Store, *, while_there_is: Path) -> None:
    """The database may not become larger than it is while this file stands (SQLite, `max_page_count`)."""

    def limit(raw: Any) -> None:
        pages = raw.execute("PRAGMA page_count").fetchone()[0] if while_there_is.exists() else 1_000_000
        raw.execute(f"PRAGMA max_page_count={pages}")

    wires.at_begin(store, limit)


def _always_repeat() -> None:
    vars(calls)["recover"] = lambda *_, **__: Recovery.REPEAT


def _no_fence() -> None:
    vars(work)["check_fence"] = lambda *_: work.FRESH
    vars(prepare)["check_fence"] = lambda *_: work.FRESH


BREAK: Mapping[str, Callable[[], None]] = {"always_repeat": _always_repeat, "no_fence": _no_fence}
"""Engines that are broken on purpose: the matrix must find them out."""
