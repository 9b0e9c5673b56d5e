"""Writes the events of an incident as they happen, for the tests of the timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from soar.model import Event
from soar.timeline import Timeline, timeline
from soar.verbs import VERBS

OPENED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
W1, W2 = "host:ws-0147", "host:ws-0148"


class Story:
    """Writes events as they happen; minutes count from the opening."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def say(
        self, kind: str, minute: float, *, actor: str = "engine:soar", written: float | None = None, **data: Any
    ) -> Story:
        number = len(self.events)
        at, recorded = (OPENED + timedelta(minutes=m) for m in (minute, minute if written is None else written))
        self.events.append(
            Event(
                id=f"e{number:03}", stream="incident:1", seq=number, kind=kind, at=at, recorded_at=recorded,
                actor=actor, data=data, values={},
            )
        )  # fmt: skip
        return self

    def opened(self, *scopes: str) -> Story:
        self.say("incident.opened", 0, actor="source:siem", incident="1")
        for scope in scopes:
            self.say("scope.added", 0, scope=scope, status="affected")
        return self

    def act(self, action: str, verb: str, target: str, *moves: tuple[float, str], **more: Any) -> Story:
        known = VERBS.get(verb)
        for minute, state in moves:
            given = {"action": action, "verb": verb, "target": target, "phase": known.phase.value if known else ""}
            self.say("action.moved", minute, state=state, **(given | more))
        return self

    def told(self, until: float = 600) -> Timeline:
        return timeline(self.events, OPENED + timedelta(minutes=until))


def lanes(line: Timeline) -> dict[str, list[tuple[str, float, float | None]]]:
    def minute(time: datetime | None) -> float | None:
        return None if time is None else (time - OPENED).total_seconds() / 60

    return {
        lane.key: [(i.phase.value, minute(i.start) or 0.0, minute(i.end)) for i in lane.intervals]
        for lane in line.lanes
    }


def two_hosts() -> Story:
    """Ransomware on two hosts: cut both, clean, release one, the other was a mistake, close."""
    story = Story().opened(W1)
    story.say("incident.determined", 1).say("incident.declared", 2, actor="person:ann")
    story.act("c", "collect_evidence", W1, (1, "calling"), (4, "done"))
    story.act("i1", "isolate_host", W1, (2, "calling"), (3, "accepted"), (6, "verified"), (6, "active"))
    story.say("scope.added", 5, scope=W2, status="affected")
    story.act("i2", "isolate_host", W2, (8, "calling"), (9, "verified"), (9, "active"))
    story.act("n", "notify", "team:soc", (10, "calling"), (10, "done"))
    story.act("b", "block_ip", "observable:ipv4-addr:203.0.113.9", (10, "calling"), (10, "verified"), (10, "active"))
    story.act("k", "kill_process", W1, (20, "calling"), (21, "done"))
    story.act("v", "verify_clean", W1, (30, "calling"), (40, "done"))
    story.act("u1", "isolate_host", W1, (50, "calling"), (51, "verified"), undo_of="i1", recovered=True)
    story.act("u2", "isolate_host", W2, (52, "calling"), (53, "verified"), undo_of="i2", recovered=False)
    story.act("i3", "isolate_host", W1, (60, "calling"), (61, "verified"))
    return story.say("incident.closed", 90, actor="person:ann")
