"""Stories and laws of the phase timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.model import Event
from soar.phases import WORDS, Phase
from soar.timeline import Timeline, measures, rows, timeline
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


def test_the_golden_timeline_of_two_hosts() -> None:
    line = two_hosts().told()
    assert lanes(line) == {
        "incident": [
            ("detection", 0, 4),  # the collection ran on while containment had begun
            ("containment", 2, 20),
            ("eradication", 20, 50),
            ("recovery", 50, 60),
            ("containment", 60, 90),  # a hit during the watch: contained again
            ("post-incident", 90, None),
        ],
        W1: [
            ("detection", 0, 4), ("containment", 2, 20), ("eradication", 20, 50), ("recovery", 50, 60),
            ("containment", 60, 90),
        ],
        W2: [("detection", 5, 8), ("containment", 8, 90)],
    }  # fmt: skip
    assert line.current is Phase.POST_INCIDENT
    assert line.opened_at == OPENED
    assert line.closed_at == OPENED + timedelta(minutes=90)


def test_the_timeline_says_who_moved_it_why_and_in_both_editions_words() -> None:
    plain = two_hosts().told(100).as_plain()
    first, second, *_, last = plain["lanes"][0]["intervals"]
    assert (first["moved_by"], first["why"]) == ("source:siem", "incident opened")
    assert (second["moved_by"], second["why"]) == ("engine:soar", "isolate_host on host:ws-0147")
    assert (second["r2"], second["csf"]) == (WORDS[Phase.CONTAINMENT].r2, ["RS"])
    assert (second["seconds"], second["end"]) == (18 * 60, "2026-11-23T09:20:00.000000Z")
    assert (last["seconds"], last["end"], last["csf"]) == (600, None, ["ID.IM"])
    assert plain["lanes"][0]["intervals"][3]["why"] == "undo of isolate_host on host:ws-0147, recovered"


def test_rows_are_flat_and_complete() -> None:
    line = two_hosts().told()
    table = rows(line)
    assert len(table) == sum(len(lane.intervals) for lane in line.lanes)
    assert table[1] == {
        "lane": "incident", "phase": "containment", "entered": "2026-11-23T09:02:00.000000Z",
        "left": "2026-11-23T09:20:00.000000Z", "seconds": 1080.0, "moved_by": "engine:soar",
        "why": "isolate_host on host:ws-0147", "late": False,
    }  # fmt: skip


def test_an_incident_without_events_is_in_preparation() -> None:
    empty = timeline([], OPENED)
    assert (empty.lanes, empty.current, empty.opened_at) == ((), Phase.PREPARATION, None)


def test_a_host_that_joins_later_does_not_take_the_incident_back() -> None:
    story = Story().opened(W1).act("i", "isolate_host", W1, (2, "calling"), (3, "active"))
    line = story.say("scope.added", 5, scope=W2, status="suspected").told()
    assert line.current is Phase.CONTAINMENT
    assert lanes(line)[W2] == [("detection", 5, None)]


@pytest.mark.parametrize("verb", ["collect_evidence", "scan", "look_up"])
def test_reads_never_take_a_lane_back_to_detection(verb: str) -> None:
    story = Story().opened(W1).act("i", "isolate_host", W1, (2, "calling"), (3, "active"))
    before = lanes(story.told())
    assert lanes(story.act("r", verb, W1, (5, "calling"), (6, "done")).told()) == before


@pytest.mark.parametrize(
    "state", ["refused", "satisfied", "denied", "skipped", "waiting", "lapsed", "planned", "failed"]
)
def test_what_was_not_done_moves_nothing(state: str) -> None:
    story = Story().opened(W1)
    before = lanes(story.told())
    assert lanes(story.act("i", "isolate_host", W1, (2, state)).told()) == before


@pytest.mark.parametrize("verb", ["notify", "open_ticket", "update_ticket", "manual"])
def test_words_and_manual_tasks_take_the_phase_they_are_in(verb: str) -> None:
    story = Story().opened(W1)
    before = lanes(story.told())
    assert lanes(story.act("n", verb, W1, (2, "calling"), (3, "done"), phase="recovery").told()) == before


@pytest.mark.parametrize(("recovered", "moves"), [(True, True), (False, False), (None, False), ("yes", False)])
def test_only_an_undo_of_what_recovered_is_recovery(recovered: Any, moves: bool) -> None:
    story = Story().opened(W1).act("i", "isolate_host", W1, (1, "calling"), (2, "active"))
    story.act("u", "isolate_host", W1, (5, "calling"), (6, "verified"), undo_of="i", recovered=recovered)
    assert (story.told().current is Phase.RECOVERY) is moves


def test_a_hold_that_reverts_by_its_own_row_is_recovery_only_when_recovered() -> None:
    story = Story().opened(W1).act("i", "isolate_host", W1, (1, "calling"), (2, "active"))
    assert story.act("i", "isolate_host", W1, (5, "reverting"), (6, "reverted")).told().current is Phase.CONTAINMENT
    story.act("i", "isolate_host", W1, (7, "reverting"), (9, "reverted"), recovered=True)
    assert lanes(story.told())[W1][-1] == ("recovery", 7, None)


def test_expiry_moves_nothing() -> None:
    story = Story().opened(W1).act("b", "block_ip", "observable:x", (1, "calling"), (2, "active"))
    before = lanes(story.told())
    assert lanes(story.act("b", "block_ip", "observable:x", (60, "lifted")).told()) == before


def test_phases_overlap_while_an_action_is_in_flight_and_end_with_the_last() -> None:
    story = Story().opened(W1)
    story.act("a", "isolate_host", W1, (1, "calling"), (2, "accepted"), (30, "verified"))
    story.act("b", "disable_account", "account:x", (1, "calling"), (40, "in_doubt"), lane=[W1])
    story.act("k", "kill_process", W1, (10, "calling"), (11, "done"))
    assert lanes(story.told())[W1] == [("detection", 0, 1), ("containment", 1, 40), ("eradication", 10, None)]


def test_an_act_without_its_lane_is_in_the_incidents_alone() -> None:
    line = Story().opened(W1).act("b", "block_ip", "observable:x", (1, "calling"), (2, "active")).told()
    assert lanes(line) == {"incident": [("detection", 0, 1), ("containment", 1, None)], W1: [("detection", 0, None)]}


def test_a_cable_pulled_before_the_opening_is_a_late_entry_in_its_place() -> None:
    story = Story().opened(W1)
    told = {"action": "m", "verb": "isolate_host", "target": W1, "phase": "containment", "state": "active"}
    story.say("action.moved", -5, actor="person:ann", written=30, reason="cable pulled", **told)
    line = story.told()
    first = line.lanes[0].intervals[0]
    assert (first.phase, first.late, first.moved_by) == (Phase.CONTAINMENT, True, "person:ann")
    assert first.why == "isolate_host on host:ws-0147: cable pulled"
    assert not line.lanes[0].intervals[1].late
    assert measures(story.events, OPENED)["late_entries"] == 1


@pytest.mark.parametrize(("seconds", "late"), [(60, False), (61, True)])
def test_an_entry_is_late_after_sixty_seconds(seconds: float, late: bool) -> None:
    line = Story().say("incident.opened", 0, written=seconds / 60).told()
    assert line.lanes[0].intervals[0].late is late


def test_work_after_the_closing_enters_its_phase_again() -> None:
    story = two_hosts().act("u3", "isolate_host", W1, (99, "calling"), (99, "verified"), undo_of="i3", recovered=True)
    assert lanes(story.told())["incident"][-2:] == [("post-incident", 90, 99), ("recovery", 99, None)]


@pytest.mark.parametrize(
    "data",
    [
        {}, {"action": 3, "state": "calling"}, {"action": "a", "state": ["calling"]},
        {"action": "a", "state": "calling", "phase": "lunch", "target": W1},
        {"action": "a", "state": "calling", "phase": None}, {"action": "a", "state": "calling", "lane": [3, None, "x"]},
    ],
)  # fmt: skip
def test_an_event_without_what_it_needs_moves_nothing(data: dict[str, Any]) -> None:
    story = Story().opened(W1)
    before = lanes(story.told())
    story.say("action.moved", 1, **data).say("scope.added", 1, scope=7)
    assert lanes(story.told()) == before
    assert measures(story.events, OPENED)["affected"] == 1


def test_time_to_contain_waits_for_the_last_affected_row() -> None:
    story = Story().opened(W1, W2).say("scope.added", 1, scope="host:maybe", status="suspected")
    story.act("i1", "isolate_host", W1, (2, "calling"), (4, "confirmed"), (5, "verified"), (5, "active"))
    found = measures(story.events, OPENED)
    assert (found["time_to_contain"], found["contained_at"], found["affected"], found["contained"]) == (
        None,
        None,
        2,
        1,
    )
    assert found["time_to_first_call"] == 120
    story.act("i2", "isolate_host", W2, (9, "calling"), (12, "satisfied"))
    assert measures(story.events, OPENED)["time_to_contain"] == 12 * 60
    story.act("i2", "isolate_host", W2, (20, "drifted"))
    assert measures(story.events, OPENED)["time_to_contain"] is None
    story.act("i2", "isolate_host", W2, (25, "verified"))
    assert measures(story.events, OPENED)["contained_at"] == "2026-11-23T09:25:00.000000Z"
    story.say("scope.changed", 30, scope="host:maybe", status="affected")
    assert measures(story.events, OPENED)["time_to_contain"] is None
    story.say("scope.changed", 31, scope="host:maybe", status="cleared")
    assert measures(story.events, OPENED)["time_to_contain"] == 25 * 60


def test_measures_are_named_moments() -> None:
    found = measures(two_hosts().events, OPENED + timedelta(hours=9))
    assert {name: found[name] for name in found if name.startswith("time_to") or name == "open_seconds"} == {
        "time_to_determine": 60, "time_to_declare": 120, "time_to_first_call": 120, "time_to_contain": 540,
        "time_to_close": 5400, "open_seconds": 5400,
    }  # fmt: skip
    still = measures(Story().opened(W1).events, OPENED + timedelta(hours=1))
    assert (still["time_to_close"], still["closed_at"], still["open_seconds"]) == (None, None, 3600)
    assert measures([], OPENED)["open_seconds"] is None


def test_an_undo_contains_nothing() -> None:
    story = (
        Story().opened(W1).act("u", "isolate_host", W1, (1, "calling"), (2, "verified"), undo_of="i", recovered=True)
    )
    assert measures(story.events, OPENED)["contained"] == 0


STATES = (
    "calling",
    "accepted",
    "confirmed",
    "verified",
    "active",
    "done",
    "failed",
    "in_doubt",
    "reverting",
    "reverted",
)
VERB_NAMES = ("isolate_host", "kill_process", "collect_evidence", "watch", "block_ip", "rebuild_host", "restore_backup")
minutes = st.integers(0, 30)


@st.composite
def stories(draw: st.DrawFn) -> list[Event]:
    story = Story().opened(W1)
    for number in range(draw(st.integers(0, 14))):
        minute = draw(minutes)
        match draw(st.sampled_from(("move", "move", "move", "scope", "close"))):
            case "move":
                undo = draw(st.sampled_from(({}, {}, {"undo_of": "x", "recovered": True}, {"undo_of": "x"})))
                action, verb = f"a{draw(st.integers(0, 3))}", draw(st.sampled_from(VERB_NAMES))
                target = draw(st.sampled_from((W1, W2, "observable:x")))
                story.act(action, verb, target, (minute, draw(st.sampled_from(STATES))), **undo)
            case "scope":
                story.say("scope.added", minute, scope=W2, status="affected")
            case _:
                story.say("incident.closed", minute + 10 * (number % 3))
    return story.events


END = OPENED + timedelta(minutes=90)


@given(stories())
def test_no_interval_ends_before_it_starts_and_starts_are_in_order(events: list[Event]) -> None:
    for lane in timeline(events, END).lanes:
        assert all(i.end is None or i.end >= i.start for i in lane.intervals)
        assert all(one.start <= next_one.start for one, next_one in pairwise(lane.intervals))
        still = [i.phase for i in lane.intervals if i.end is None]
        assert len(still) == len(set(still))


@given(stories(), st.randoms(use_true_random=False))
def test_the_order_in_which_events_are_read_changes_nothing(events: list[Event], random: Any) -> None:
    shuffled = list(events) + events[:2]
    random.shuffle(shuffled)
    assert timeline(shuffled, END) == timeline(events, END)
    assert measures(shuffled, END) == measures(events, END)


@given(stories(), st.lists(minutes, max_size=4))
def test_messages_change_nothing(events: list[Event], times: list[int]) -> None:
    story = Story()
    story.events = list(events)
    for number, minute in enumerate(times):
        story.act(f"n{number}", "notify", "team:soc", (minute, "calling"), (minute + 2, "done"))
    assert timeline(story.events, END) == timeline(events, END)


@given(stories(), st.integers(0, 16))
def test_what_was_entered_stays_entered_when_more_happens(events: list[Event], cut: int) -> None:
    def entered(some: list[Event]) -> dict[str, list[tuple[Phase, datetime, str]]]:
        return {
            lane.key: [(i.phase, i.start, i.event_id) for i in lane.intervals] for lane in timeline(some, END).lanes
        }

    ordered = sorted(events, key=lambda event: (event.at, event.recorded_at, event.seq))
    before, after = entered(ordered[:cut]), entered(ordered)
    assert all(after[key][: len(intervals)] == intervals for key, intervals in before.items())


@given(stories())
def test_the_incidents_lane_has_no_gap_and_holds_every_call(events: list[Event]) -> None:
    line = timeline(events, END)
    spans = [(i.start, i.end or END) for i in line.lanes[0].intervals]
    reached = spans[0][1]
    for start, end in spans[1:]:
        assert start <= reached
        reached = max(reached, end)
    calls = [e.at for e in events if e.data.get("state") == "calling" and e.data.get("undo_of") is None]
    assert all(spans[0][0] <= at <= reached for at in calls)


@given(st.lists(st.tuples(st.sampled_from(VERB_NAMES), minutes, st.integers(0, 9)), max_size=6))
def test_each_action_lies_within_an_interval_of_its_phase_or_a_later_one(acts: list[tuple[str, int, int]]) -> None:
    story = Story().opened(W1)
    for number, (verb, start, lasting) in enumerate(acts):
        story.act(f"a{number}", verb, W1, (start, "calling"), (start + lasting, "done"))
    for verb, start, lasting in acts:
        begin, end = OPENED + timedelta(minutes=start), OPENED + timedelta(minutes=start + lasting)
        for lane in story.told().lanes:
            spans = [(i.start, i.end or END) for i in lane.intervals if i.phase is VERBS[verb].phase]
            if VERBS[verb].phase is not Phase.DETECTION:
                assert any(one <= begin and end <= other for one, other in spans)
