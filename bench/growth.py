"""The items about what lies there already: a million events, a hundred thousand past or waiting runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.contest import Field, child, hold
from bench.figure import Figure, NotMeasured
from bench.intake import UNIT, posting
from bench.result import Result, beside
from bench.served import ALERTS, config, running

SMALL, LARGE = (100, 1_000), (100_000, 1_000_000)
"""Past runs and stored events."""


def _filled(ground: Field, room: Path, name: str, what: str, runs: int, events: int) -> Path:
    folder = room / name
    folder.mkdir()
    told = child("fill", "--folder", folder, "--what", what, "--runs", runs, "--events", events)
    counts = ", ".join(f"{int(count):,} {each}" for each, count in told.more.items())
    ground.say(f"filled {name} in {told.rate:.0f} s: {counts}")
    return folder


def _steps(ground: Field, folder: Path) -> Callable[[], Figure]:
    return lambda: child("engine", "--folder", folder, "--seconds", ground.seconds)


def growth(ground: Field, share: float) -> list[Result]:
    """Steps and alerts per second over a large past beside a small one. `share`: of the large past, 1 for all."""
    steps: dict[str, Any] = {"id": "growth.steps", "title": "steps/s over a long past", "unit": "steps/s"}
    posts: dict[str, Any] = {"id": "growth.alerts", "title": "alerts/s over a long past, 8 clients", "unit": UNIT}
    runs, events = (int(each * share) for each in LARGE)
    words: dict[str, Any] = {"peer": f"the same over {SMALL[1]:,} events and {SMALL[0]} runs", "goal": 0.83}
    words["note"] = f"ours: over {events:,} events and {runs:,} past runs"
    with ground.room() as room:
        try:
            small, large = (
                _filled(ground, room, "small", "past", *SMALL),
                _filled(ground, room, "large", "past", runs, events),
            )
        except NotMeasured as reason:
            ground.say(f"growth: not measured: {reason}")
            return [beside(reason, reason, **each, **words) for each in (steps, posts)]
        many, few = hold(
            ground, {"soar, steps, long past": _steps(ground, large), "soar, steps, short past": _steps(ground, small)}
        ).values()
        results = [beside(many, few, **steps, **words)]
        files = [config(room / name, folder) for name, folder in (("a", large), ("b", small))]
        with (
            running(room, "served", "serve", "--config", files[0]) as over_large,
            running(room, "served", "serve", "--config", files[1]) as over_small,
        ):
            many, few = hold(
                ground,
                {
                    "soar, alerts, long past": posting(ground, over_large, ALERTS, 8),
                    "soar, alerts, short past": posting(ground, over_small, ALERTS, 8),
                },
            ).values()
            results.append(beside(many, few, **posts, **words))
    return results


def parked(ground: Field, share: float) -> list[Result]:
    """Steps per second while very many runs wait for approvals, beside an empty database."""
    runs = int(LARGE[0] * share)
    with ground.room() as room:
        empty = room / "empty"
        empty.mkdir()
        waiting: Callable[[], Figure]
        try:
            folder = _filled(ground, room, "waiting", "parked", runs, runs)
            waiting = _steps(ground, folder)
        except NotMeasured as reason:
            waiting = _not_measured(reason)
        full, alone = hold(
            ground, {"soar, runs parked": waiting, "soar, nothing parked": _steps(ground, empty)}
        ).values()
    what = f"{runs:,} runs parked on approvals"
    words: dict[str, Any] = {"title": f"steps/s beside {what}", "peer": "the same on an empty database"}
    results = [beside(full, alone, id="parked.steps", unit="steps/s", goal=0.9, **words)]
    for name, unit, goal, pick in (("memory", "MB", 0.9, _mb), ("threads", "threads", 1.0, _threads)):
        words = {"title": f"{name} beside {what}", "peer": "the same on an empty database", "unit": unit, "goal": goal}
        results.append(replace(beside(pick(full), pick(alone), id=f"parked.{name}", **words), better="lower"))
    return results


def _not_measured(reason: NotMeasured) -> Callable[[], Figure]:
    def measure() -> Figure:
        raise reason

    return measure


def _mb(figure: Figure | NotMeasured) -> Figure | NotMeasured:
    return figure if isinstance(figure, NotMeasured) else Figure(figure.mb or 0.0)


def _threads(figure: Figure | NotMeasured) -> Figure | NotMeasured:
    return figure if isinstance(figure, NotMeasured) else Figure(figure.more["threads"])
