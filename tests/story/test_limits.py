"""Under load and under limits: the urgent overtakes, the kill switch stops, canaries go first, caps yield in steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.wiring import House, build
from soar.config import CapSettings, GuardSettings, ProtectionSettings, Settings
from soar.engine import breakglass, running
from soar.model import ENGINE, Actor, Applied, Call, Entity, EntityKind, Inspection, JsonObject, ScopeStatus, Severity
from soar.playbook.model import Soar, one_step
from soar.ports import Capability, NotSent, Problem, Repeat, Sink
from soar.protocol import State
from soar.store import incidents, runs
from soar.store.session import Tx
from soar.store.tables import runs as run_table
from soar.store.tables import switches
from tests.stage import Cast, rows, until

LOW, CRITICAL = Severity.LOW, Severity.CRITICAL


class Silent:
    """A system that only remembers when it was called and what for; `broken` targets refuse to be reached."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.name = "silent"
        self.verbs: Mapping[str, Capability] = {
            "notify": Capability(repeat=Repeat.STATE, inspects=False),
            "isolate_host": Capability(repeat=Repeat.STATE),
        }
        self.seconds = seconds
        self.broken: set[str] = set()
        self.sent: list[tuple[float, Call]] = []
        self.busy = self.most = 0
        self.lock = threading.Lock()

    def inspect(self, call: Call) -> Inspection:
        done = any(each.key == call.key for _, each in self.sent) and call.target.id not in self.broken
        return Inspection(present=done, state={}, ours=call.key if done else None)

    def apply(self, call: Call, sink: Sink) -> Applied:
        with self.lock:
            self.sent.append((time.monotonic(), call))
            self.busy += 1
            self.most = max(self.most, self.busy)
        time.sleep(self.seconds)
        with self.lock:
            self.busy -= 1
        return Applied()

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:
        raise NotSent("nothing is taken back here")

    def check(self) -> Sequence[Problem]:
        return []

    @property
    def targets(self) -> list[str]:
        return [call.target.id for _, call in self.sent]


@pytest.fixture
def silent() -> Silent:
    return Silent()


def built(tmp_path: Path, silent: Silent, limits: Mapping[str, Any] | None = None, **guards: Any) -> House:
    """A house that knows nothing but the silent system; its workers do not run yet."""
    soft = ProtectionSettings(tags=("protected",))
    adapters = {"silent": {"kind": "example", "path": str(tmp_path / "list.json"), "limits": dict(limits or {})}}
    settings = Settings(
        data=tmp_path / "data", adapters=adapters,
        guards=GuardSettings(soft=soft, same_day_issuer="bootstrap", evidence_box=0, **guards),
    )  # fmt: skip
    house = build(settings)
    house.parts.adapters["silent"] = silent  # type: ignore[index]
    return house


@pytest.fixture
def house(tmp_path: Path, silent: Silent) -> Iterator[House]:
    made = built(tmp_path, silent)
    yield made
    made.close()


def incident(house: House, severity: Severity) -> str:
    return house.store.write(lambda tx: incidents.open_new(tx, "drill", severity, ENGINE, "drill"))


def notify(team: str) -> Soar:
    return Soar(slug="tell", verb="notify", with_={"team": team, "text": "drill"})


def start(house: House, where: str, count: int, team: str) -> list[str]:
    """So many runs of one step, a hundred in a commit."""
    book = one_step("tell", "Tell", notify(team))

    def some(tx: Tx, number: int) -> list[str]:
        return [running.start_run(tx, where, book, {}, by=ENGINE, why="drill", automatic=True) for _ in range(number)]

    sizes = [100] * (count // 100) + ([count % 100] if count % 100 else [])
    return [run for size in sizes for run in house.store.write(partial(some, number=size))]


@pytest.mark.alone
def test_twenty_critical_runs_overtake_two_thousand_low_ones(house: House, silent: Silent) -> None:
    low, critical = incident(house, LOW), incident(house, CRITICAL)
    start(house, low, 2000, "low")
    house.start()
    assert until(lambda: len(silent.sent) > 20), "the queue is being worked off"
    before = len(silent.sent)
    arrived = time.monotonic()
    start(house, critical, 20, "critical")
    assert until(lambda: silent.targets.count("critical") == 20)
    waits = sorted(at - arrived for at, call in list(silent.sent) if call.target.id == "critical")
    print(f"\n20 critical runs behind {2000 - before} low ones: p95 {waits[18]:.3f} s, worst {waits[-1]:.3f} s")
    assert waits[18] < 2.0
    assert silent.targets.count("low") < 2000, "nobody had to wait for the low ones"


@pytest.mark.alone
def test_nothing_is_sent_later_than_a_second_after_the_kill_switch(house: House, silent: Silent) -> None:
    silent.seconds = 0.02
    where = incident(house, LOW)
    started = start(house, where, 100, "soc")
    house.start()
    assert until(lambda: len(silent.sent) >= 10)

    def throw(tx: Tx) -> None:
        tx.conn.execute(switches.insert().values(name="*", set_by="ann", reason="stop", set_at=tx.now))

    house.store.write(throw)
    thrown = time.monotonic()

    def over() -> bool:
        with house.store.read() as conn:
            return all(runs.get(conn, run).status != "running" for run in started)

    assert until(over)
    late = [at - thrown for at, _ in silent.sent if at - thrown > 1.0]
    print(f"\n100 runs in flight, {len(silent.sent)} sent, last {max(at for at, _ in silent.sent) - thrown:+.3f} s")
    assert not late
    assert len(silent.sent) < 100


def many_hosts(house: House, by: Actor, count: int) -> str:
    """An incident with so many hosts in scope."""

    def write(tx: Tx) -> str:
        made = incidents.open_new(tx, "drill", Severity.HIGH, by, "drill")
        for number in range(count):
            host = Entity(kind=EntityKind.HOST, id=f"ws-{number}", name=f"ws-{number}", source="drill")
            incidents.add_scope(tx, made, host, ScopeStatus.AFFECTED, tx.now)
        return made

    return house.store.write(write)


def isolate(house: House, where: str, by: Actor, first: int, count: int) -> str:
    """Isolate these hosts in one step; returns the run."""
    step = Soar(slug="isolate", verb="isolate_host", with_={"host": "$host"}, review=3600, partial_ok=True)
    hosts = [f"ws-{number}" for number in range(first, first + count)]
    book = one_step("isolate", "Isolate", replace(step, for_each="$hosts", as_="host"))

    def write(tx: Tx) -> str:
        return running.start_run(tx, where, book, {"hosts": hosts}, by=by, why="drill", automatic=False)

    return house.store.write(write)


def ended(house: House, run: str) -> Any:
    def over() -> Any:
        with house.store.read() as conn:
            row = conn.execute(sa.select(run_table).where(run_table.c.id == run)).one()
            return row if row.status != "running" else None

    return until(over)


def test_a_canary_that_fails_spares_the_rest(tmp_path: Path, silent: Silent) -> None:
    house = built(tmp_path, silent, canary={"isolate_host": 1})
    try:
        house.start()
        ann = Cast(house).person("ann", "responder")
        where = many_hosts(house, ann, 5)
        silent.broken = {"ws-0"}
        assert ended(house, isolate(house, where, ann, 0, 5)).status == "failed"
        assert silent.targets == ["ws-0"]
        states = {name: row.state for name, row in rows(house, where, "isolate_host").items()}
        assert set(states.values()) == {State.NOT_EFFECTIVE, State.CANCELLED}
        assert "canary" in rows(house, where, "isolate_host")["ws-4"].summary
        silent.broken = set()
        assert ended(house, isolate(house, where, ann, 1, 4)).status == "succeeded"
        assert silent.targets == ["ws-0", "ws-1", "ws-2", "ws-3", "ws-4"]
    finally:
        house.close()


def test_a_cap_stops_the_third_host_and_break_glass_widens_it_step_by_step(tmp_path: Path, silent: Silent) -> None:
    house = built(tmp_path, silent, caps={"isolate_host": CapSettings(per_incident=2)})
    try:
        house.start()
        cast = Cast(house)
        ann, com = cast.person("ann", "responder"), cast.person("com", "commander")
        where = many_hosts(house, ann, 9)
        ended(house, isolate(house, where, ann, 0, 4))
        assert len(silent.sent) == 2
        glass = house.store.write(lambda tx: breakglass.ask(tx, where, ann, "the plant is burning"))
        house.store.write(lambda tx: breakglass.approve(tx, glass, com, "yes"))
        ended(house, isolate(house, where, ann, 4, 1))
        assert silent.targets[2:] == ["ws-4"], "the first beyond the cap is the canary"
        ended(house, isolate(house, where, ann, 5, 1))
        assert len(silent.sent) == 4
        house.store.write(lambda tx: breakglass.end(tx, glass, ann, "contained"))
        ended(house, isolate(house, where, ann, 6, 2))
        assert len(silent.sent) == 4, "it is over: the cap holds again"
    finally:
        house.close()


def test_a_slow_system_never_gets_more_calls_than_it_takes(tmp_path: Path, silent: Silent) -> None:
    house = built(tmp_path, silent, limits={"rate": 40, "burst": 2, "concurrency": 2})
    try:
        silent.seconds = 0.03
        where = incident(house, LOW)
        started = start(house, where, 30, "soc")
        house.start()
        assert until(lambda: len(silent.sent) == 30)
        assert all(ended(house, run).status == "succeeded" for run in started), "who waited was not forgotten"
        seconds = silent.sent[-1][0] - silent.sent[0][0]
        print(f"\n30 calls at 40 a second, two at a time: {seconds:.2f} s, at most {silent.most} at a time")
        assert silent.most <= 2
        assert seconds >= (30 - 2 - 1) / 40 - 0.1
    finally:
        house.close()
