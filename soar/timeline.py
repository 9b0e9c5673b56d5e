"""The phase timeline: which phase each lane was in, from when to when, and what moved it.

A pure function of events. Lanes are `incident` and one for each scope row (`host:ws-0147`).
Intervals overlap and phases are entered again: SP 800-61r3 has no one-way ladder.

What is relied on (other keys are ignored, and so is an event that lacks these). Each word may stand in an
event's data or, where it may have to be redacted, in its values; of a redacted target or scope only the
incident's lane is left.

- `incident.opened`, `incident.closed`, `incident.determined`, `incident.declared`: nothing but the time
- `scope.added` {scope: "host:<id>", status}, `scope.changed` {scope, status}
- `action.moved` {action, verb, state, target: "host:<id>", phase, lane?: [scope, ..], reason?, undo_of?,
  recovered?}; `lane` names the scope rows that the action is for, where that is not its target
- every event: one recorded more than 60 s after it happened is *late*

Rules. `incident.opened` and `scope.added` open detection in their lane. The call of an action opens its
phase in its lanes and in the incident's, where that phase is not open. That ends the other open
intervals, save those with an action still in flight, which end with their last one. Detection never
takes a lane back, and a read opens no later phase in a lane that nothing was done in; notify, tickets
and manual tasks, refused and satisfied actions move nothing; an undo is recovery where it says
`recovered`, and moves nothing otherwise. An act that stands without a call (recorded by hand, or one
more hold on what stands already) opens its phase too. `incident.closed` ends everything and opens post-
incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from soar.events import Kind, stamp
from soar.model import Event, ScopeStatus
from soar.phases import WORDS, Phase
from soar.verbs import VERBS, Risk

INCIDENT = "incident"
LATE = timedelta(seconds=60)
IN_FLIGHT = frozenset({"calling", "accepted", "confirmed", "reverting"})
_DONE = frozenset({"verified", "active", "done"})
_PROVEN = frozenset({"verified", "active", "satisfied"})
_DISPROVEN = frozenset({"drifted", "not_effective", "in_doubt"})
_CONTAINED = frozenset({ScopeStatus.CONTAINED, ScopeStatus.ERADICATED, ScopeStatus.RESTORED})
_WORDS_ONLY = frozenset({"notify", "open_ticket", "update_ticket", "manual"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One stay of a lane in a phase; `end` None while it lasts. `moved_by` and `why` say who entered it."""

    phase: Phase
    start: datetime
    end: datetime | None
    moved_by: str
    why: str
    event_id: str
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The intervals of the incident or of one scope row, in the order in which they were entered."""

    key: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All lanes, the incident's first. `current` is the phase that the incident's lane entered last."""

    lanes: tuple[Lane, ...]
    current: Phase
    opened_at: datetime | None
    closed_at: datetime | None
    now: datetime

    def as_plain(self) -> Mapping[str, Any]:
        """The timeline as JSON-ready data; `seconds` of an open interval count up to now."""
        return {
            "current": self.current.value,
            "opened_at": _text(self.opened_at),
            "closed_at": _text(self.closed_at),
            "lanes": [
                {"key": lane.key, "intervals": [self._plain(interval) for interval in lane.intervals]}
                for lane in self.lanes
            ],
        }

    def _plain(self, interval: Interval) -> dict[str, Any]:
        words = WORDS[interval.phase]
        return {
            "phase": interval.phase.value,
            "r2": words.r2,
            "csf": list(words.csf),
            "start": stamp(interval.start),
            "end": _text(interval.end),
            "seconds": self.seconds(interval),
            "moved_by": interval.moved_by,
            "why": interval.why,
            "event_id": interval.event_id,
            "late": interval.late,
        }

    def seconds(self, interval: Interval) -> float:
        """How long the interval lasted, or has lasted; never below zero."""
        return max(0.0, ((interval.end or self.now) - interval.start).total_seconds())


def timeline(events: Iterable[Event], now: datetime) -> Timeline:
    """Fold the events of one incident, in any order, into its lanes."""
    fold = _Fold()
    for event in in_order(events):
        fold.take(event)
    lanes = tuple(
        Lane(key=key, intervals=tuple(stay.interval for stay in stays)) for key, stays in fold.lanes.items() if stays
    )
    stays = fold.lanes[INCIDENT]
    current = stays[-1].interval.phase if stays else Phase.PREPARATION
    return Timeline(lanes=lanes, current=current, opened_at=fold.opened_at, closed_at=fold.closed_at, now=now)


def in_order(events: Iterable[Event]) -> list[Event]:
    """Events as they happened: late entries stand where they belong, each event once."""
    once = {event.id: event for event in events}
    return sorted(once.values(), key=lambda event: (event.at, event.recorded_at, event.seq, event.id))


def rows(line: Timeline) -> list[dict[str, Any]]:
    """The timeline as flat rows for tables and CSV; times in UTC, `left` None while it lasts."""
    return [
        {
            "lane": lane.key,
            "phase": interval.phase.value,
            "entered": stamp(interval.start),
            "left": _text(interval.end),
            "seconds": line.seconds(interval),
            "moved_by": interval.moved_by,
            "why": interval.why,
            "late": interval.late,
        }
        for lane in line.lanes
        for interval in lane.intervals
    ]


def measures(events: Sequence[Event], now: datetime) -> dict[str, Any]:
    """Named moments of one incident, and the seconds between its opening and each of them.

    `contained_at` is when the last affected scope row was verified contained, None while one is
    not. A row is contained once a containment that stands is verified on it (or was found already
    true); drift takes that back. `time_to_*` count from `incident.opened` and are None while open;
    an act from before the opening counts 0. `open_seconds` runs until the closing or now.
    """
    ordered = in_order(events)
    moments = {
        "opened_at": _first(ordered, Kind.INCIDENT_OPENED),
        "determined_at": _first(ordered, Kind.INCIDENT_DETERMINED),
        "declared_at": _first(ordered, Kind.INCIDENT_DECLARED),
        "first_call_at": next((e.at for e in ordered if _state(e) == "calling" and _changes(e)), None),
        "closed_at": _closed(ordered),
    }
    affected, contained = _containment(ordered)
    times = [contained.get(scope) for scope in affected]
    known = [time for time in times if time is not None]
    moments["contained_at"] = max(known) if known and len(known) == len(times) else None
    opened = moments["opened_at"]
    between = {
        f"time_to_{word}": _between(opened, moments[moment])
        for word, moment in (
            ("determine", "determined_at"),
            ("declare", "declared_at"),
            ("first_call", "first_call_at"),
            ("contain", "contained_at"),
            ("close", "closed_at"),
        )
    }
    return {
        **{name: _text(time) for name, time in moments.items()},
        **between,
        "open_seconds": _between(opened, moments["closed_at"] or now),
        "affected": len(affected),
        "contained": len(known),
        "late_entries": sum(1 for event in ordered if _late(event)),
    }


@dataclass(slots=True)
class _Stay:
    """An interval while it is built: which actions hold it open, and whether the lane has moved on."""

    interval: Interval
    actions: set[str] = field(default_factory=set)
    leaving: bool = False

    @property
    def open(self) -> bool:
        return self.interval.end is None

    def close(self, at: datetime) -> None:
        self.interval = replace(self.interval, end=at)


class _Fold:
    """The lanes so far. `begun` holds the actions whose phase was entered already."""

    def __init__(self) -> None:
        self.lanes: dict[str, list[_Stay]] = {INCIDENT: []}
        self.begun: set[str] = set()
        self.opened_at: datetime | None = None
        self.closed_at: datetime | None = None

    def take(self, event: Event) -> None:
        match event.kind:
            case Kind.INCIDENT_OPENED:
                self.opened_at = self.opened_at or event.at
                if self._stay(INCIDENT, Phase.DETECTION) is None:
                    self._enter(INCIDENT, Phase.DETECTION, event, "incident opened")
            case Kind.SCOPE_ADDED:
                self._scope(event)
            case Kind.ACTION_MOVED:
                self._action(event)
            case Kind.INCIDENT_CLOSED:
                self._close(event)

    def _scope(self, event: Event) -> None:
        scope = _word(event, "scope")
        if scope and scope not in self.lanes:
            self.lanes[scope] = []
            self._enter(scope, Phase.DETECTION, event, f"in scope as {_word(event, 'status') or 'suspected'}")

    def _close(self, event: Event) -> None:
        self.closed_at = event.at
        for stays in self.lanes.values():
            for stay in stays:
                if stay.open:
                    stay.close(event.at)
        self._enter(INCIDENT, Phase.POST_INCIDENT, event, "incident closed")

    def _action(self, event: Event) -> None:
        action, state = _word(event, "action"), _state(event)
        if not action:
            return
        phase = _phase(event)
        starts = state in ("calling", "reverting") or (action not in self.begun and state in IN_FLIGHT | _DONE)
        if phase is not None and starts:
            self.begun.add(action)
            for lane in dict.fromkeys([*_lanes(event), INCIDENT]):
                if lane in self.lanes:
                    self._begin(lane, phase, event, action)
        if state not in IN_FLIGHT:
            self._end(action, event.at)

    def _begin(self, lane: str, phase: Phase, event: Event, action: str) -> None:
        stay = self._stay(lane, phase)
        if stay is None:
            if phase is Phase.DETECTION and any(other.open for other in self.lanes[lane]):
                return
            if (
                phase is not Phase.DETECTION
                and _reads(event)
                and all(other.interval.phase is Phase.DETECTION for other in self.lanes[lane])
            ):
                return
            stay = self._enter(lane, phase, event, _why(event))
        stay.actions.add(action)

    def _enter(self, lane: str, phase: Phase, event: Event, why: str) -> _Stay:
        """Open a phase; what else is open ends, now or with its last action in flight."""
        for other in self.lanes[lane]:
            if other.open and other.interval.phase is not phase and phase is not Phase.DETECTION:
                other.leaving = True
                if not other.actions:
                    other.close(event.at)
        stay = _Stay(
            Interval(
                phase=phase, start=event.at, end=None, moved_by=event.actor,
                why=why, event_id=event.id, late=_late(event),
            )
        )  # fmt: skip
        self.lanes[lane].append(stay)
        return stay

    def _end(self, action: str, at: datetime) -> None:
        for stays in self.lanes.values():
            for stay in stays:
                if stay.open and action in stay.actions:
                    stay.actions.discard(action)
                    if stay.leaving and not stay.actions:
                        stay.close(at)

    def _stay(self, lane: str, phase: Phase) -> _Stay | None:
        return next((stay for stay in self.lanes[lane] if stay.open and stay.interval.phase is phase), None)


def _phase(event: Event) -> Phase | None:
    """The phase that an action's event stands for; None for what takes the phase it is in."""
    data = event.data
    if _word(event, "verb") in _WORDS_ONLY:
        return None
    if data.get("undo_of") or _state(event) == "reverting":
        return Phase.RECOVERY if data.get("recovered") is True else None
    try:
        return Phase(_word(event, "phase"))
    except ValueError:
        return None


def _lanes(event: Event) -> list[str]:
    named = event.data.get("lane")
    if isinstance(named, list | tuple) and named:
        return [lane for lane in named if isinstance(lane, str)]
    return [_word(event, "target")]


def _why(event: Event) -> str:
    done = f"{_word(event, 'verb')} on {_word(event, 'target')}"
    if event.data.get("undo_of") or _state(event) == "reverting":
        done = f"undo of {done}, recovered"
    reason = _word(event, "reason")
    return f"{done}: {reason}" if reason else done


def _word(event: Event, name: str) -> str:
    value = event.data.get(name, event.values.get(name))
    return value if isinstance(value, str) else ""


def _state(event: Event) -> str:
    return _word(event, "state") if event.kind == Kind.ACTION_MOVED else ""


def _late(event: Event) -> bool:
    return event.recorded_at - event.at > LATE


def _text(time: datetime | None) -> str | None:
    return None if time is None else stamp(time)


def _first(ordered: Iterable[Event], kind: Kind) -> datetime | None:
    return next((event.at for event in ordered if event.kind == kind), None)


def _closed(ordered: Sequence[Event]) -> datetime | None:
    return _first(reversed(ordered), Kind.INCIDENT_CLOSED)


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


def _changes(event: Event) -> bool:
    """The action changes the estate, by what the vocabulary says of its verb."""
    verb = VERBS.get(_word(event, "verb"))
    return verb is not None and verb.risk not in (Risk.READ, Risk.LOW)


def _reads(event: Event) -> bool:
    """The action only looks: a clean check of a host that was never touched eradicates nothing there."""
    verb = VERBS.get(_word(event, "verb"))
    return verb is not None and verb.reads


def _containment(ordered: Iterable[Event]) -> tuple[list[str], dict[str, datetime]]:
    """The scope rows that are affected, and since when each contained one is."""
    status: dict[str, str] = {}
    proofs: dict[str, dict[str, datetime]] = {}
    for event in ordered:
        if event.kind in (Kind.SCOPE_ADDED, Kind.SCOPE_CHANGED):
            scope, said = _word(event, "scope"), _word(event, "status")
            status[scope] = said
            if said in _CONTAINED:
                proofs.setdefault(scope, {}).setdefault("", event.at)
            else:
                proofs.get(scope, {}).pop("", None)
        elif _contains(event):
            by = proofs.setdefault(_word(event, "target"), {})
            if _state(event) in _PROVEN:
                by.setdefault(_word(event, "action"), event.at)
            elif _state(event) in _DISPROVEN:
                by.pop(_word(event, "action"), None)
    affected = [scope for scope, said in status.items() if said in _CONTAINED | {ScopeStatus.AFFECTED}]
    return affected, {scope: min(by.values()) for scope, by in proofs.items() if by}


def _contains(event: Event) -> bool:
    verb = VERBS.get(_word(event, "verb")) if event.kind == Kind.ACTION_MOVED else None
    if verb is None or event.data.get("undo_of"):
        return False
    return verb.contains and verb.phase is Phase.CONTAINMENT
