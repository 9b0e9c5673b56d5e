"""One cell of the matrix, from the outside: a fresh database, one worker that meets its fault, one that comes after."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from soar.protocol import GOOD, State
from soar.store.rows import ActionRow
from tests.crash import drills
from tests.crash.expectations import Row
from tests.crash.nursery import Child, Nursery
from tests.crash.oracle import Books, findings
from tests.crash.target import Target
from tests.servers import Postgres

FROZEN = 1.3
"""Seconds for which a worker stays frozen at least: its claim is of one second."""
_RUN = {State.IN_DOUBT: "running", State.CANCELLED: "cancelled"}


def _until(seen: Callable[[], Any], seconds: float) -> Any:
    """Wait until something is seen; what was seen last when the time is over."""
    ends = time.monotonic() + seconds
    while not (found := seen()) and time.monotonic() < ends:
        time.sleep(0.02)
    return found


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where cells are played: target, nursery, database, and the faults that the engine itself is given."""

    name: str
    target: Target
    nursery: Nursery
    folder: Path
    template: Path
    postgres: Postgres | None = None
    broker: Callable[[str], str] | None = None
    broken: str = ""

    def database(self, cell: str) -> str:
        """A fresh database for a cell; returns its URL."""
        (self.folder / cell).mkdir()
        if self.postgres is not None:
            return self.postgres.create(cell, "soar_template")
        shutil.copy(self.template, self.folder / cell / "soar.db")
        return f"sqlite:///{self.folder / cell / 'soar.db'}"

    def spec(self, cell: str, url: str, column: str) -> dict[str, Any]:
        """What every child of a cell is told."""
        return {
            "url": url, "cell": cell, "column": column, "socket": str(self.target.path),
            "folder": str(self.folder / cell), "broken": self.broken, "node": self.broker is not None,
            "broker": self.broker(cell) if self.broker else "",
        }  # fmt: skip

    def forget(self, cell: str) -> None:
        """Remove what a cell leaves behind."""
        if self.postgres is not None:
            self.postgres.drop(cell)
        shutil.rmtree(self.folder / cell)


@dataclass(slots=True)
class Cell:
    """One cell: what is wanted, what came, and everything that does not fit."""

    stage: Stage
    row: Row
    column: str
    wanted: str
    came: str = ""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    serial: int = 0
    _children: list[Child] = field(default_factory=list)

    @property
    def id(self) -> str:
        """A name that is fit for a file and a database."""
        column = self.column.replace("+", " seen").replace("-", " blind")
        return "_".join(f"{self.stage.name} {self.row.id} {column} {self.serial or ''}".lower().split())

    def play(self) -> Cell:
        """Play it to its end and judge it."""
        began = time.monotonic()
        url = self.stage.database(self.id)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        try:
            self._play(url, engine)
        except (AssertionError, queue.Empty) as error:
            self.wrong.append(f"a worker broke: {error!r}")
        finally:
            for child in self._children:
                child.slay()
            self.seconds = time.monotonic() - began
            self.stage.forget(self.id)
        return self

    def _play(self, url: str, engine: sa.Engine) -> None:
        if self.column.endswith("-"):
            self.stage.target.fault(self.id, "inspect", "", *["unreadable"] * 20)  # after the prior state was seen
        if self.row.target:
            self.stage.target.fault(self.id, "revert" if self.row.story == "undo" else "apply", self.row.target)
        first = self._fork(url, begin=self.row.story, fault=self._fault(), seconds=1.5 if self._pauses else 15.0)
        if self.stage.broker is not None:
            self._by_nodes(url, engine)
        elif self.row.freezes:
            self._frozen(url, first)
        else:
            self._first(first)
            if self.row.between is not None:
                self._between(engine)
            if self.row.kills or self._pauses:
                self._second(url)
        self._judge(engine)

    @property
    def _pauses(self) -> bool:
        return self.row.act == "pause"

    def _fault(self) -> Mapping[str, Any] | None:
        return {"at": self.row.at, "act": self.row.act} if self.row.at else None

    def _fork(self, url: str, **more: Any) -> Child:
        child = self.stage.nursery.fork(self.stage.spec(self.id, url, self.column.rstrip("-")) | more)
        self._children.append(child)
        return child

    def _first(self, child: Child) -> None:
        """The first worker: it dies at its fault, or lives to the end; one whose target hangs is killed meanwhile."""
        if self.row.target.startswith("hang"):
            self._called()
            child.signal(signal.SIGKILL)
        child.until("ended")
        if self.row.kills != child.killed:
            self.wrong.append("the fault was never met" if self.row.kills else "the first worker was killed")
        if not child.killed:
            self._heard(child, settles=not self._pauses)
        if self._pauses and self.stage.target.log(self.id):
            self.wrong.append("something was sent while the run was paused")
        if self.row.act == "read_only" and self.stage.target.log(self.id):
            self.wrong.append("something was sent without a stored intent")

    def _called(self) -> None:
        """Wait until the call is under way."""
        if not _until(lambda: self.stage.target.log(self.id), 10):
            self.wrong.append("the target was never called")

    def _second(self, url: str) -> None:
        child = self._fork(url, recover=True, resume=self._pauses)
        child.until("ended")
        self._heard(child, settles=True)

    def _frozen(self, url: str, first: Child) -> None:
        """The first worker is frozen past its claim, a second takes over, then the first goes on.

        Without a point it is frozen from outside, while its call is under way.
        """
        if not self.row.at:
            self._called()
            first.signal(signal.SIGSTOP)
        if not first.until("stopped"):
            self.wrong.append("the fault was never met")
            return
        froze = time.monotonic()
        self._second(url)
        time.sleep(max(0.0, FROZEN - (time.monotonic() - froze)))
        before = len(self.stage.target.log(self.id))
        first.signal(signal.SIGCONT)
        first.until("ended")
        log = self._heard(first, settles=True)
        self.refused = sum("taken over" in entry for entry in log)
        if not self.refused:
            self.wrong.append("the worker that was frozen was not told that its work was taken over")
        if len(self.stage.target.log(self.id)) != before:
            self.wrong.append("the worker that was frozen sent something")

    def _by_nodes(self, url: str, engine: sa.Engine) -> None:
        """The first node begins; its hand meets the fault, and the node makes a new one, or another node comes."""
        folder = self.stage.folder / self.id
        _until((folder / "begun").exists, 20)
        if self.row.target.startswith("hang") or self.row.act == "freeze":
            self._called()
            hand = self.stage.target.log(self.id)[0].pid
            os.kill(hand, signal.SIGSTOP if self.row.freezes else signal.SIGKILL)
        elif self.row.at:
            hand = int(_until(lambda: _text(folder / "met"), 10) or 0)
            if not hand:
                self.wrong.append("the fault was never met")
                return
        if self.row.freezes:
            self._fork(url)
            froze = time.monotonic()
            self._settles(engine)
            time.sleep(max(0.0, FROZEN - (time.monotonic() - froze)))
            before = len(self.stage.target.log(self.id))
            os.kill(hand, signal.SIGCONT)
            self.refused = int(bool(_until(lambda: "taken over" in _text(folder / "log"), 3)))
            if not self.refused:
                self.wrong.append("the worker that was frozen was not told that its work was taken over")
            if len(self.stage.target.log(self.id)) != before:
                self.wrong.append("the worker that was frozen sent something")
        if self._pauses:
            time.sleep(1.0)
            if self.stage.target.log(self.id):
                self.wrong.append("something was sent while the run was paused")
            self._fork(url, node=False, resume=True, seconds=0.0).until("ended")
        self._settles(engine)
        for child in self._children:
            child.slay()

    def _settles(self, engine: sa.Engine) -> None:
        def settled() -> bool:
            with engine.connect() as conn:
                return drills.settled(conn)

        if not _until(settled, 30):
            self.wrong.append("the nodes did not come to an end")

    def _heard(self, child: Child, *, settles: bool) -> list[str]:
        said = child.said()
        if settles and not said["settled"]:
            self.wrong.append(f"a worker did not come to an end: {said['why']}")
        return list(said["log"])

    def _between(self, engine: sa.Engine) -> None:
        """What the first worker left is consistent already, and is what the row says."""
        books = Books.of(engine, self.stage.target, self.id)
        action = self._action(books)
        stored = action.state.value if action else ""
        if stored in ("planned", "ready") and not self.row.between:
            stored = ""
        wanted = self.row.between
        if stored != wanted:
            self.wrong.append(f"between the workers the action is {stored!r}, not {wanted!r}")
        self.wrong += [f"between the workers: {one}" for one in findings(books, running=True)]

    def _judge(self, engine: sa.Engine) -> None:
        books = Books.of(engine, self.stage.target, self.id)
        action = self._action(books)
        if action is None:
            self.came = "none"
        else:
            self.came = f"{action.state.value} {len(books.sent(action.id))} {books.changed(action.id)}"
            self._judge_run(books, action)
        if self.came not in self.wanted.split(" or "):
            self.wrong.append(
                f"wanted {self.wanted!r}, came {self.came!r}" + (f" ({action.summary})" if action else "")
            )
        self.wrong += findings(books)

    def _judge_run(self, books: Books, action: ActionRow) -> None:
        wanted = "succeeded" if action.state in GOOD else _RUN.get(action.state, "failed")
        (run,) = [run for run in books.runs if run.id == action.run_id]
        if run.status != wanted:
            self.wrong.append(f"the run is {run.status}, not {wanted}: {run.reason}")
        after = [row for row in books.rows if row.verb == drills.NEXT]
        if self.row.story == "act" and (wanted == "succeeded") != (len(after) == 1 and after[0].state is State.DONE):
            self.wrong.append(f"the next step is {[row.state.value for row in after]}")

    def _action(self, books: Books) -> ActionRow | None:
        verb = drills.verb_under_test(self.row.story, self.column.rstrip("-"))
        found = [row for row in books.rows if row.verb == verb]
        if len(found) > 1:
            self.wrong.append(f"there are {len(found)} actions of {verb}")
        return found[0] if found else None
