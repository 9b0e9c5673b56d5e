"""Laws of the phase timeline, for any events."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soar.model import Event
from soar.phases import Phase
from soar.timeline import measures, timeline
from soar.verbs import VERBS
from tests.unit.incident_story import OPENED, W1, W2, Story

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
                undo: dict[str, Any] = draw(
                    st.sampled_from(({}, {}, {"undo_of": "x", "recovered": True}, {"undo_of": "x"}))
                )
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
            if not VERBS[verb].reads:
                assert any(one <= begin and end <= other for one, other in spans)
