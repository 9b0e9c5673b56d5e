"""Time that does not jump with the wall clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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
