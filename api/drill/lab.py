"""A drill in the lab: every playbook runs to its end in a house and an estate of its own, which are thrown away.

No thread is started: one worker does what can be done now, persons answer at once, and when nothing
is left to do the house's clock goes on to the next moment at which something is. So a watch of three
days takes a second. Nothing outside is reached: the only system connected is the simulated estate.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from api.drill import cases
from api.drill.trainees import Trainees
from api.wiring import House, build
from integrations.estate.server import Lab, spawn
from soar.clock import SystemClock
from soar.config import GuardSettings, ProtectionSettings, Settings
from soar.engine import drill, effects, running
from soar.engine.due import fire_due
from soar.engine.run_state import UNDER_WAY
from soar.engine.runner import Runner
from soar.errors import Conflict, SoarError, Unavailable
from soar.playbook.model import Playbook
from soar.protocol import State
from soar.readiness.report import Report, report
from soar.readiness.score import LAB_WEIGHTS, Area, Finding, Level
from soar.store import runs, streams
from soar.store.tables import due
from soar.store.tables import runs as run_table
from soar.timeline import timeline
from soar.verbs import VERBS, OnExpiry

LONGEST = 60.0
"""Seconds that one playbook may take."""
FARTHEST = timedelta(days=90)
"""How far the clock may go on in one playbook."""
_WAKES = ("wake", "step_delay", "step_retry", "step_timeout")
_UNSETTLED = frozenset({State.IN_DOUBT, State.NOT_EFFECTIVE, State.REVERT_FAILED, State.DRIFTED})
_alone = threading.Lock()


class LabSettings(Settings):
    """Settings that come from here alone: nothing of the environment leads a drill to a real system."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        return (init_settings,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """How one playbook did. `seconds` it took, `simulated` those that its clock went on beside.

    `status` is the run's, or "not started". `stands` are containments that are left, `open_ended`
    those of them that nobody will look at again, `unsettled` those that nobody knows to be true.
    """

    playbook: str
    status: str
    seconds: float
    simulated: float = 0.0
    phases: tuple[str, ...] = ()
    approvals: int = 0
    answers: int = 0
    stands: tuple[str, ...] = ()
    open_ended: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()
    reason: str = ""

    @property
    def expected(self) -> bool:
        return self.status == "succeeded"

    def as_plain(self) -> dict[str, Any]:
        """The result as JSON-ready data."""
        return {
            "playbook": self.playbook, "expected": self.expected, "status": self.status,
            "seconds": round(self.seconds, 2), "simulated_seconds": round(self.simulated),
            "phases": list(self.phases), "approvals": self.approvals, "answers": self.answers,
            "stands": list(self.stands), "reason": self.reason,
        }  # fmt: skip


def practise(books: Sequence[Playbook], stop: threading.Event | None = None) -> Report:
    """Run every playbook in the lab, one after another.

    Raises Conflict while another drill in the lab is under way in this process, Unavailable when the
    lab cannot be started or `stop` is set.
    """
    if not _alone.acquire(blocking=False):
        raise Conflict("a drill in the lab is under way already; wait for its end")
    try:
        done = [one(book, books, stop or threading.Event()) for book in books]
    finally:
        _alone.release()
    findings = [finding for each in done for finding in judge(each)]
    return report(findings, LAB_WEIGHTS, rows=[each.as_plain() for each in done])


def one(book: Playbook, library: Iterable[Playbook], stop: threading.Event) -> Drilled:
    """Run one playbook in a house of its own, in which the others are known too."""
    began = time.monotonic()
    with _house() as house:
        for each in library:
            house.store.write(lambda tx, each=each: runs.save_playbook(tx, each))  # type: ignore[misc]
        try:
            found = _Practice(house, book, stop).play()
        except SoarError as error:
            if stop.is_set():
                raise
            found = Drilled(playbook=book.slug, status="not started", seconds=0, reason=str(error))
    return replace(found, seconds=time.monotonic() - began)


@contextmanager
def _house() -> Iterator[House]:
    """A house over an estate, both in a temporary folder, that nobody else knows of."""
    with (
        tempfile.TemporaryDirectory(prefix="soar-drill-") as folder,
        _spawn(Path(folder) / "lab") as lab,
        closing(build(_settings(Path(folder), lab.url))) as house,
    ):
        yield house


def _spawn(folder: Path) -> Lab:
    try:
        return spawn(folder)
    except (RuntimeError, OSError) as error:
        raise Unavailable(f"the lab did not start: {error}") from error


def _settings(folder: Path, url: str) -> LabSettings:
    guards = GuardSettings(
        hard=ProtectionSettings(names=("soar*",)), soft=ProtectionSettings(tags=("protected",)),
        same_day_issuer="bootstrap",
    )  # fmt: skip
    return LabSettings(
        data=folder / "data", origin="drill.soar.invalid", workers=1, guards=guards,
        adapters={"lab": {"kind": "lab", "url": url, "timeout": 5}},
    )  # fmt: skip


class _Practice:
    """One playbook, from the alert to the end of its run."""

    def __init__(self, house: House, book: Playbook, stop: threading.Event) -> None:
        assert isinstance(house.store.clock, SystemClock)
        self.house, self.book, self.stop = house, book, stop
        self.clock: SystemClock = house.store.clock
        self.runner: Runner = house.runner("drill")
        most = max((need.persons for need in drill.needs(book)), default=1)
        self.trainees = Trainees.assemble(house, max(3, most))
        self.ends = time.monotonic() + LONGEST
        self.gone = timedelta()

    def play(self) -> Drilled:
        """The whole way. Raises what starting the run raises."""
        incident = cases.open_incident(self.house, self.book)
        self._work()  # what starts by itself goes first, as it would
        run_id = self._own_run(incident) or self._start(incident)
        while self._status(run_id) in UNDER_WAY and time.monotonic() < self.ends:
            if self.stop.is_set():
                raise Unavailable("the drill was ended with the service")
            if not (self._work() or self.trainees.act() or self._go_on()):
                break
        return self._result(incident, run_id)

    def _start(self, incident: str) -> str:
        given = cases.inputs(self.house, self.book, incident)
        return self.house.store.write(
            lambda tx: running.start_run(
                tx, incident, self.book, given, by=self.trainees.starter, why="drill", automatic=False
            )
        )

    def _own_run(self, incident: str) -> str | None:
        mine = sa.select(run_table.c.id).where(
            run_table.c.incident_id == incident, run_table.c.playbook_digest == self.book.digest
        )
        with self.house.store.read() as conn:
            found: str | None = conn.execute(mine.order_by(run_table.c.id)).scalar()
        return found

    def _status(self, run_id: str) -> str:
        with self.house.store.read() as conn:
            return str(runs.get(conn, run_id).status)

    def _work(self) -> bool:
        """Do everything that can be done now; False when there was nothing."""
        worked = False
        while time.monotonic() < self.ends and (self.runner.work_once() or fire_due(self.house.parts)):
            worked = True
        return worked

    def _go_on(self) -> bool:
        """Let the clock go on to when the next step is due; False when none is, or it is too far off."""
        waiting = sa.select(sa.func.min(due.c.at)).where(due.c.state == "armed", due.c.kind.in_(_WAKES))
        with self.house.store.read() as conn:
            at = conn.execute(waiting).scalar()
        if at is None:
            return False
        ahead = max(at - self.clock.now(), timedelta()) + timedelta(milliseconds=1)
        self.gone += ahead
        if self.gone > FARTHEST:
            return False
        self.clock.anchor = replace(self.clock.anchor, wall=self.clock.anchor.wall + ahead)
        return True

    def _result(self, incident: str, run_id: str) -> Drilled:
        with self.house.store.read() as conn:
            run = runs.get(conn, run_id)
            told = timeline(streams.read(conn, streams.incident_stream(incident)), self.clock.now())
            register = effects.register(conn, incident_id=incident)
        entered = [interval.phase.value for lane in told.lanes for interval in lane.intervals]
        over = run.status not in UNDER_WAY
        late = "" if over else "it did not end: nothing was left to do, or its time was over"
        return Drilled(
            playbook=self.book.slug, status=run.status if over else "not ended", seconds=0,
            simulated=self.gone.total_seconds(), phases=tuple(dict.fromkeys(entered)),
            approvals=self.trainees.approved, answers=self.trainees.answered,
            stands=tuple(_named(entry) for entry in register),
            open_ended=tuple(_named(entry) for entry in register if _open_ended(entry)),
            unsettled=tuple(_named(entry) for entry in register if entry["state"] in _UNSETTLED),
            reason=run.reason or late,
        )  # fmt: skip


def _named(entry: dict[str, Any]) -> str:
    return f"{entry['verb']} {entry['target']}"


def _open_ended(entry: dict[str, Any]) -> bool:
    """It stands, no time ends it, and nobody will be asked about it."""
    held = VERBS[entry["verb"]].on_expiry is OnExpiry.HOLD
    asked = entry["expires_at"] is not None or any(hold["review_at"] for hold in entry["holds"])
    return held and not asked and entry["state"] not in _UNSETTLED


def judge(done: Drilled) -> Iterator[Finding]:
    """What is wrong with how a playbook did."""
    if not done.expected:
        yield Finding(
            area=Area.RUNS, level=Level.RED, code="not_as_expected", subject=done.playbook,
            what=f"{done.playbook}: {done.status}" + (f" ({done.reason})" if done.reason else ""),
            why="With everything connected and every person at hand it does not come to its end.",
            mend="Read the reason, mend the playbook, and rehearse it.",
        )  # fmt: skip
    for code, level, names, what in (
        ("unsettled", Level.RED, done.unsettled, "nobody knows whether it is so"),
        ("open_ended", Level.AMBER, done.open_ended, "nobody will be asked about it again"),
    ):
        for name in names:
            yield Finding(
                area=Area.LEFTOVERS, level=level, code=code, subject=f"{done.playbook}:{name}",
                what=f"{done.playbook} leaves {name}: {what}",
                why="What stands without end or owner is found when somebody complains.",
                mend="Undo it in the playbook, or give it a lease or a review.",
            )  # fmt: skip
