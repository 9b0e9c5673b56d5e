"""Time that does not jump with the wall clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from soar import clock
from soar.clock import Anchor, SystemClock


class Wall(datetime):
    """A wall clock that somebody sets."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + cls.ahead


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> type[Wall]:
    Wall.ahead = timedelta()
    monkeypatch.setattr(clock, "datetime", Wall)
    return Wall


@pytest.mark.parametrize("days", [30, -30])
def test_a_jump_of_the_wall_clock_is_reported_once_and_not_followed(wall: type[Wall], days: int) -> None:
    ours = SystemClock()
    before = ours.now()
    wall.ahead = timedelta(days=days)
    assert abs((ours.now() - before).total_seconds()) < 1
    step = ours.step()
    assert step is not None
    assert abs(step.seconds - days * 86400) < 1
    assert ours.step() is None


def test_small_corrections_are_no_news(wall: type[Wall]) -> None:
    ours = SystemClock()
    wall.ahead = timedelta(seconds=4)
    assert ours.step() is None


def test_a_restart_within_one_boot_goes_on_with_the_time_it_had(wall: type[Wall]) -> None:
    first = SystemClock()
    stored = first.anchor.as_plain()
    wall.ahead = timedelta(days=10)
    again = SystemClock(Anchor.from_plain(stored))
    assert abs((again.now() - first.now()).total_seconds()) < 1


def test_another_boot_begins_with_the_wall_clock(wall: type[Wall]) -> None:
    other = Anchor("another-boot", 5.0, datetime(2020, 1, 1, tzinfo=UTC))
    assert abs((SystemClock(other).now() - wall.now()).total_seconds()) < 1


def test_nodes_go_by_the_database_servers_time_whatever_their_own_clocks_say(wall: type[Wall]) -> None:
    truth = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    wall.ahead = timedelta(hours=3)
    one = SystemClock(Anchor.measured(lambda: truth))
    wall.ahead = timedelta(days=-9)
    two = SystemClock(Anchor.measured(lambda: truth.astimezone(timezone(timedelta(hours=13)))))
    assert abs((one.now() - truth).total_seconds()) < 1
    assert abs((one.now() - two.now()).total_seconds()) < 1
    assert two.now().tzinfo is UTC
    assert two.step() is None


def test_the_quickest_answer_of_a_slow_server_counts_as_of_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, delays = datetime(2026, 3, 1, tzinfo=UTC), iter([4.0, 1.0, 2.0])
    boot = [100.0]
    monkeypatch.setattr(clock, "boot_seconds", lambda: boot[0])

    def ask() -> datetime:
        took = next(delays)
        boot[0] += took
        return truth + timedelta(seconds=boot[0] - 100.0 - took / 2)

    anchor = Anchor.measured(ask)
    assert anchor.boot_seconds == 104.5
    assert SystemClock(anchor).now() == truth + timedelta(seconds=7)


@pytest.mark.parametrize("jumps", [[10] * 10, [3600, -3600]])
def test_each_jump_over_five_seconds_is_told_once(wall: type[Wall], jumps: list[int]) -> None:
    ours = SystemClock()
    told = []
    for jump in jumps:
        wall.ahead += timedelta(seconds=jump)
        step = ours.step()
        told.append(round(step.seconds) if step else 0)
    assert told == jumps
    assert ours.step() is None
