"""The worker: claims one piece of work at a time, performs it, and commits what came of it.

A message, a ring or a thread only points at a row: what is lost is found again from the rows.
"""

from __future__ import annotations

import structlog

from soar.engine import outcomes, running
from soar.engine.parts import Parts
from soar.engine.run_state import RunState
from soar.engine.steps import Ended, Job, Parked, Steps, parked
from soar.errors import StaleFence
from soar.protocol import UNSETTLED, State
from soar.store import actions, runs, work
from soar.store.rows import WorkRow
from soar.store.session import Tx

log = structlog.get_logger("soar.runner")
BREAKS = 3
"""How often a step may break inside us before it counts as failed."""


class Runner:
    """A worker: takes one piece of work at a time, as often as it is asked to."""

    def __init__(self, parts: Parts, name: str, boot: str) -> None:
        self.parts = parts
        self.name = name
        self.boot = boot
        self.steps = Steps(parts)
        self.holding = ""
        """The row that this worker holds now; its claim is lengthened while it does."""

    def work_once(self) -> bool:
        """Claim and do one piece of work; False when there is none."""
        row = self.parts.store.write(lambda tx: work.claim(tx, self.name, self.boot))
        if row is None:
            return False
        self.holding = row.id
        try:
            self._do(row)
        except StaleFence as error:
            log.warning("work_taken_over", work=row.id, reason=error.message)
        except Exception as error:  # the worker's last handler: a step that breaks must not take the worker along
            log.exception("step_broke", work=row.id, occurrence=row.occurrence)
            self._broke(row, type(error).__name__)
        finally:
            self.holding = ""
        return True

    def _broke(self, row: WorkRow, what: str) -> None:
        """A step broke inside us. It is tried again from its rows; after a few times it has failed."""
        times = int(row.notes.get("broke", 0)) + 1
        if times >= BREAKS:
            self.parts.store.write(lambda tx: self._gave_up(tx, row, f"broke {times} times inside ({what})"))
            return
        again = Parked(f"broke: {what}", seconds=float(times), notes={"broke": times})
        self.parts.store.write(lambda tx: parked(tx, row, again))

    def _gave_up(self, tx: Tx, row: WorkRow, why: str) -> None:
        """The step has failed; what it had sent, and nobody can settle now, is left to a person."""
        for action in actions.of_step(tx.conn, f"run:{row.run_id}", row.occurrence, row.attempt):
            if action.state in UNSETTLED - {State.IN_DOUBT}:
                outcomes.doubt(tx, action, why)
        running.step_ended(tx, row, Ended("failed", reason=f"{why}; the log has the trace"))

    def _do(self, row: WorkRow) -> None:
        with self.parts.store.read() as conn:
            run = runs.get(conn, row.run_id)
            playbook = runs.playbook(conn, run.playbook_digest)
        job = Job(work=row, run=run, playbook=playbook, state=RunState.from_plain(run.state))
        done = self.steps.perform(job)
        if isinstance(done, Parked):
            self.parts.store.write(lambda tx: parked(tx, row, done))
            return
        self.parts.store.write(lambda tx: running.step_ended(tx, row, done))
