"""The worker: claims one piece of work at a time, performs it, and commits what came of it.

A message, a ring or a thread only points at a row: what is lost is found again from the rows. The
commit that ends a step also stores the intent of the branch's next call, where nothing waits: its
target was looked at before. That look is a guess; what the commit finds otherwise it does otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from soar.engine import approving, conductor, outcomes, points, running
from soar.engine.entering import Entered, Glance
from soar.engine.job import Done, Ended, Job, Parked, parked
from soar.engine.parts import Parts
from soar.engine.points import Point
from soar.engine.running import Known
from soar.engine.signals import Decision, Perform
from soar.engine.steps import Steps
from soar.errors import StaleFence, Unavailable
from soar.events import Kind
from soar.protocol import UNSENT, UNSETTLED, State
from soar.store import actions, incidents, runs, tasks, work
from soar.store.rows import WorkRow
from soar.store.session import Tx
from soar.store.work import Owner

log = structlog.get_logger("soar.runner")
BREAKS = 3
"""How often a step may break inside us, or take its worker with it, before it is given up."""


@dataclass(frozen=True, slots=True)
class _Next:
    """The branch's next step, claimed already, and entered if it was looked at before."""

    job: Job
    entered: Entered | None


class Runner:
    """A worker: takes one piece of work at a time, as often as it is asked to."""

    def __init__(self, parts: Parts, owner: Owner, stopping: Callable[[], bool] = lambda: False) -> None:
        self.parts = parts
        self.stopping = stopping
        """Asked before each step: True ends a branch after the step that is under way."""
        self.owner = owner
        self.steps = Steps(parts)
        self.holding = ""
        """The row that this worker holds now; its claim is lengthened while it does."""
        self._unsure = False
        """A claim may be left over, because the database could not be written."""

    def work_once(self) -> bool:
        """Claim work, go on along its branch, and then with whatever is ready; False when there was none."""
        points.reached(Point.CLAIMING)
        unsure, self._unsure = self._unsure, True
        row = self.parts.store.write(partial(self._claim, unsure=unsure))
        self._unsure = False
        if row is None:
            return False
        following: _Next | WorkRow | None = row
        while following is not None:
            if isinstance(following, WorkRow):
                points.reached(Point.CLAIMED)
            following = self._guarded(following)
        return True

    def _claim(self, tx: Tx, unsure: bool) -> WorkRow | None:
        if unsure:
            work.let_go(tx, self.owner)
        return work.claim(tx, self.owner)

    def _guarded(self, what: _Next | WorkRow) -> _Next | WorkRow | None:
        """One step, whatever happens in it."""
        row = what if isinstance(what, WorkRow) else what.job.work
        self.holding = row.id
        try:
            return self._do(row) if isinstance(what, WorkRow) else self._perform(what.job, what.entered)
        except StaleFence as error:
            log.warning("work_taken_over", work=row.id, reason=error.message)
        except Unavailable:
            self._unsure = True
            raise
        except Exception as error:  # the worker's last handler: a step that breaks must not take the worker along
            log.exception("step_broke", work=row.id, occurrence=row.occurrence)
            self._unsure = True
            self._broke(row, type(error).__name__)
            self._unsure = False
        finally:
            self.holding = ""
        return None

    def _do(self, row: WorkRow) -> _Next | WorkRow | None:
        with self.parts.store.read() as conn:
            job = Job(work=row, known=Known.of(conn, runs.get(conn, row.run_id)))
        if row.losses >= BREAKS:
            self._quarantine(job)
            return None
        if job.run.status == "paused":
            return self._commit(job, self.steps.settle_paused(job))
        return self._perform(job, None)

    def _perform(self, job: Job, entered: Entered | None) -> _Next | WorkRow | None:
        return self._commit(job, self.steps.perform(job, entered))

    def _commit(self, job: Job, done: Done) -> _Next | WorkRow | None:
        """What the step came to, the run's new state, and the next step's intent, in one commit.

        Where the branch goes no further, the best of what is ready is claimed instead.
        """
        guess, glanced = self._look_ahead(job, done.expected) if isinstance(done.expected, Ended) else (None, None)
        going_on = None if self.stopping() else self.owner

        def write(tx: Tx) -> _Next | WorkRow | None:
            standing = work.check_fence(tx, job.work)
            came = done.write(tx)
            points.reached(Point.OUTCOME_WRITTEN)
            if isinstance(came, Parked):
                parked(tx, job.work, came)
                return work.claim(tx, going_on) if going_on else None
            same = guess if came == done.expected else None
            taken = running.step_ended(tx, job.work, came, job.known, standing, going_on, same)
            if taken is None:
                return work.claim(tx, going_on) if going_on else None
            following = Job(work=taken[0], known=taken[1])
            return _Next(following, self.steps.entering.enter_after(tx, following, glanced) if glanced else None)

        following = self.parts.store.write(write)
        points.reached(Point.OUTCOME_STORED)
        return following

    def _look_ahead(self, job: Job, done: Ended) -> tuple[Decision | None, Glance | None]:
        """What follows from this end, if that can be said now; and a glance at the target of the step that follows.

        What the conductor says holds only where no condition was asked: the outcome may change what
        conditions speak of.
        """
        facts = running.Facts()
        guess = conductor.feed(job.playbook, job.state, running.ended(job.work, done), facts)
        if facts.asked:
            return None, None
        first = next((todo for todo in guess.todo if isinstance(todo, Perform)), None)
        if first is None or first.kind != "action" or first.attempt > 1:
            return guess, None
        row = WorkRow(
            id="", run_id=job.run.id, occurrence=first.occurrence, attempt=first.attempt, kind=first.kind,
            step_id=first.step_id, branch=first.branch, fence=0, priority=0, losses=0, notes={},
        )  # fmt: skip
        following = Job(work=row, known=Known(job.run, job.playbook, guess.state, 0))
        return guess, self.steps.entering.glance(following) if following.soar.verb != "watch" else None

    # --- steps that break ------------------------------------------------------------------------

    def _broke(self, row: WorkRow, what: str) -> None:
        """A step broke inside us. It is tried again from its rows; after a few times it has failed."""
        times = int(row.notes.get("broke", 0)) + 1
        if times >= BREAKS:
            self.parts.store.write(lambda tx: self._gave_up(tx, row, f"broke {times} times inside ({what})"))
            return
        again = Parked(f"broke: {what}", seconds=times * self.parts.poll_seconds, notes={"broke": times})
        self.parts.store.write(lambda tx: parked(tx, row, again))

    def _quarantine(self, job: Job) -> None:
        """A step that took its worker with it again and again is not performed any more; a person is told."""
        row = job.work
        why = f"its worker was lost {row.losses} times while it held this step"
        log.error("step_quarantined", work=row.id, run=row.run_id, losses=row.losses)

        def write(tx: Tx) -> None:
            incidents.event(
                tx, job.run.incident_id, Kind.STEP_QUARANTINED,
                data={"run": row.run_id, "occurrence": row.occurrence, "losses": row.losses},
            )  # fmt: skip
            text = f"step {row.occurrence} of {job.playbook.name} is quarantined: {why}"
            tasks.open_task(
                tx, job.run.incident_id, kind="quarantined", text=text, asks={"why": "str"}, run_id=row.run_id
            )
            self._gave_up(tx, row, why)

        self.parts.store.write(write)

    def _gave_up(self, tx: Tx, row: WorkRow, why: str) -> None:
        """The step has failed; what it had sent, and nobody can settle now, is left to a person."""
        standing = work.check_fence(tx, row)
        for action in actions.of_step(tx.conn, f"run:{row.run_id}", row.occurrence, row.attempt):
            if action.state in UNSETTLED - {State.IN_DOUBT}:
                outcomes.doubt(tx, action, why)
            elif action.state in UNSENT:
                actions.move(tx, action, State.CANCELLED, summary=why)
        approving.withdraw(tx, row.id, why)
        known = Known.of(tx.conn, runs.get(tx.conn, row.run_id))
        running.step_ended(tx, row, Ended("failed", reason=f"{why}; the log has the trace"), known, standing)
