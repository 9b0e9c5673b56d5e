"""One working process of a node: takes ready rows, one after another. It knows rows, not messages.

It is told that there is work (`answer`), and when it has heard nothing for two seconds it looks by
itself: so a lost message, a broker that is away or forgot everything costs two seconds and no more.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
import structlog

from api.engine import AWAY, Engine, beat, say_living
from soar.engine.runner import Runner
from soar.store.tables import work

log = structlog.get_logger("soar.hand")
QUIET_SECONDS = 2.0
"""After so long without a message the hand looks for itself."""
AGAIN_SECONDS = 1.0
"""How long it waits when the database is away."""
_CELL = 8


class Board:
    """A page of memory that a node and its hands share across their forks: stop, who is ready, what was dropped.

    Each process writes to cells of its own alone, so no lock is needed that a killed one could keep.
    """

    def __init__(self, hands: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, _CELL * (2 + 2 * hands + 1))).cast("Q")
        self._ready, self._dropped = self._cells[2 : 2 + hands], self._cells[2 + hands :]

    @property
    def stopping(self) -> bool:
        return bool(self._cells[0])

    def stop(self) -> None:
        """Nobody is to take more work."""
        self._cells[0] = 1

    def ready(self, hand: int) -> None:
        """This hand is built and works."""
        self._ready[hand] = 1

    def first_time_all_ready(self) -> bool:
        """True once, when every hand works. For one hand to ask."""
        if self._cells[1] or not all(self._ready):
            return False
        self._cells[1] = 1
        return True

    def drop(self, hand: int = -1) -> None:
        """One more message that nobody could make anything of, seen by a hand, or by the node itself (-1)."""
        self._dropped[hand] += 1

    @property
    def dropped(self) -> int:
        return sum(self._dropped)


class Hand:
    """What one child of a node does. Its engine is built after the fork, in a thread of its own, until that works."""

    def __init__(self, number: int, board: Board, move_in: Callable[[], Engine], announce: Callable[[], None]) -> None:
        self.number = number
        self._board = board
        self._announce = announce
        self._move_in = move_in
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._runner: Runner | None = None
        self._heard = 0.0

    def start(self) -> None:
        """Begin to build and to look."""
        threading.Thread(target=self._live, name="hand", daemon=True).start()

    def answer(self, hint: str) -> None:
        """Somebody says that there is work. A hint that names no row is dropped and counted; nothing is raised."""
        engine = self._engine
        if engine is None:
            return  # it will look by itself once it is built
        try:
            with engine.store.read() as conn:
                known = conn.execute(sa.select(work.c.id).where(work.c.id == hint)).first()
            if known is None:
                self._board.drop(self.number)
                return
            self.drain()
        except AWAY as error:
            log.warning("work_failed", hand=self.number, reason=str(error).partition("\n")[0])

    def drain(self) -> None:
        """Do what is ready, one row at a time, until there is none, or it is time to stop."""
        runner = self._runner
        with self._lock:
            while runner is not None and not self.stopping and runner.work_once():
                pass
            self._heard = time.monotonic()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set() or self._board.stopping

    def ask_to_stop(self) -> None:
        """Take no more work; for a signal handler."""
        self._stop.set()

    def leave(self) -> None:
        """Take no more work, let the step that runs end, and let go of everything."""
        self._stop.set()
        with self._lock:
            engine, self._engine, self._runner = self._engine, None, None
            if engine is not None:
                engine.close()

    def _live(self) -> None:
        """Build, then look now and then. A hand whose looking breaks is worth nothing: the node makes a new one."""
        try:
            while not self.stopping and not self._moved_in():
                self._stop.wait(AGAIN_SECONDS)
            while not self.stopping:
                if self.number == 0 and self._board.first_time_all_ready():
                    self._announce()
                quiet = time.monotonic() - self._heard
                if quiet >= QUIET_SECONDS:
                    self._look()
                else:
                    self._stop.wait(min(QUIET_SECONDS - quiet, 0.1))
        except BaseException:
            log.exception("hand_broke", hand=self.number)
            sys.stderr.flush()
            if not self.stopping:
                os._exit(1)
            raise

    def _look(self) -> None:
        """Work that nobody told us of; what a dead thread of ours should do is for a new process to do."""
        assert self._engine is not None
        if self._engine.silent():
            log.error("threads_ended", hand=self.number, threads=self._engine.silent())
            os._exit(1)
        try:
            self.drain()
        except AWAY as error:
            log.warning("work_failed", hand=self.number, reason=str(error).partition("\n")[0])
            self._stop.wait(AGAIN_SECONDS)

    def _moved_in(self) -> bool:
        try:
            engine = self._move_in()
        except (*AWAY, OSError) as error:
            log.warning("cannot_begin", hand=self.number, reason=str(error).partition("\n")[0])
            return False
        engine.start()
        runner = engine.runner(f"hand-{self.number}")
        runner.stopping = lambda: self.stopping
        engine.thread("heart", lambda: beat(engine, [runner]))
        if self.number == 0:
            engine.thread("node", lambda: say_living(engine, lambda: self._board.dropped))
        self._engine, self._runner = engine, runner
        self._board.ready(self.number)
        return True
