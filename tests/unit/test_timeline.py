"""Stories of the phase timeline."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from soar.phases import WORDS, Phase
from soar.timeline import measures, rows, timeline
from tests.unit.incident_story import OPENED, W1, W2, Story, lanes, two_hosts


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


def test_a_doubt_that_is_settled_later_takes_nothing_back() -> None:
    story = Story().opened(W1).act("i", "isolate_host", W1, (1, "calling"), (2, "in_doubt"))
    story.act("k", "kill_process", W1, (3, "calling"), (4, "done")).act("i", "isolate_host", W1, (5, "confirmed"))
    assert lanes(story.told())[W1] == [("detection", 0, 1), ("containment", 1, 3), ("eradication", 3, None)]


def test_a_look_before_the_opening_and_the_opening_are_one_detection() -> None:
    story = Story().act("c", "collect_evidence", W1, (-1, "calling"), (2, "done")).opened()
    assert lanes(story.told()) == {"incident": [("detection", -1, None)]}


def test_words_that_may_be_redacted_are_read_from_the_values_while_they_stand() -> None:
    whole = two_hosts()
    private = ("scope", "target", "reason")
    split = [
        replace(
            event,
            data={name: word for name, word in event.data.items() if name not in private},
            values={name: word for name, word in event.data.items() if name in private},
        )
        for event in whole.events
    ]
    assert timeline(split, OPENED) == timeline(whole.events, OPENED)
    assert measures(split, OPENED) == measures(whole.events, OPENED)
    redacted = timeline([replace(event, values={}) for event in split], OPENED)
    assert [(i.phase, i.start, i.end) for i in redacted.lanes[0].intervals] == [
        (i.phase, i.start, i.end) for i in whole.told().lanes[0].intervals
    ]
    assert len(redacted.lanes) == 1


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
    assert lanes(line)["incident"] == [("containment", -5, None), ("detection", 0, None)]
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


def test_a_row_that_is_affected_again_waits_again() -> None:
    story = Story().opened(W1).say("scope.changed", 5, scope=W1, status="contained")
    assert measures(story.events, OPENED)["time_to_contain"] == 300
    story.say("scope.changed", 8, scope=W1, status="affected")
    assert measures(story.events, OPENED)["time_to_contain"] is None


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


def test_looking_at_a_host_that_was_never_touched_moves_nothing_there() -> None:
    """A clean check and a watch are eradication and recovery only where something was contained or removed."""
    story = Story().opened(W1, W2)
    story.act("a", "isolate_host", W1, (1, "calling"), (2, "active"))
    for number, verb in enumerate(("verify_clean", "watch")):
        for lane in (W1, W2):
            story.act(f"{verb}-{lane}", verb, lane, (5 + number, "calling"), (6 + number, "done"))
    phases = {lane.key: [each.phase.value for each in lane.intervals] for lane in story.told().lanes}
    assert phases[W1] == ["detection", "containment", "eradication", "recovery"]
    assert phases[W2] == ["detection"]
