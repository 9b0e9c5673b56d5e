"""When a playbook begins by the clock: cron's five fields in a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from soar.errors import Problem
from soar.playbook.model import Playbook, Schedule
from soar.playbook.places import Places, nearest
from soar.strict_text import shown

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST_CRON = 200


def next_after(schedule: Schedule, moment: datetime) -> datetime:
    """The first time of the schedule after a moment, in UTC.

    Where clocks are put forward the time that is left out counts as the first one after it; where they
    are put back it counts once. Raises ValueError for a schedule that `problems` would have named.
    """
    return next(CronSim(schedule.cron, moment.astimezone(_zone(schedule.timezone)))).astimezone(UTC)


def problems(playbook: Playbook, places: Places) -> Iterator[Problem]:
    """What is wrong with the schedules of a playbook."""
    for index, schedule in enumerate(playbook.schedules):
        at = f"/schedules/{index}"
        try:
            _zone(schedule.timezone)
        except ValueError:
            message = f"{shown(schedule.timezone)} is no time zone"
            yield places.problem("bad_timezone", message, f"{at}/timezone", "Write one as in Europe/Vienna or UTC.")
        if not _ever(schedule.cron):
            mend = "Write minute, hour, day, month, weekday, as in 0 3 * * 1; the day must exist."
            yield places.problem("bad_cron", f"{shown(schedule.cron)} is no schedule", f"{at}/cron", mend)
        yield from _inputs(playbook, schedule, places, at)


def _inputs(playbook: Playbook, schedule: Schedule, places: Places, at: str) -> Iterator[Problem]:
    for name in schedule.inputs:
        if name not in playbook.variables:
            mend = nearest(name, playbook.variables, "Declare it in variables.")
            message = f"the playbook has no variable {shown(name)}"
            yield places.problem("unknown_variable", message, f"{at}/inputs/{name}#key", mend)
    for name, variable in playbook.variables.items():
        # By the clock there is no alert and no incident from which a value could come.
        if variable.required and variable.default is None and name not in schedule.inputs:
            message = f"a run that begins by the clock has no value for {name}"
            yield places.problem("missing_input", message, at, f"Add it to inputs, or give {name} a default.")


def _ever(cron: str) -> bool:
    """Whether it is a schedule, and such a time exists."""
    if len(cron) > LONGEST_CRON or len(cron.split()) != 5:
        return False
    try:
        return bool(next(CronSim(cron, _SOME_DAY)))
    except (CronSimError, StopIteration):
        return False


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):  # a folder of zones, or a name that no file may have
        raise ValueError(name) from None
