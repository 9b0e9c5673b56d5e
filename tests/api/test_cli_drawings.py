"""What is drawn in the terminal: text made harmless, the phase chart, the tree of a plan."""

from __future__ import annotations

import io
import unicodedata
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from api.cli import clean
from api.cli.chart import LETTERS, chart, duration
from api.cli.plan_tree import tree
from soar.events import stamp
from soar.phases import Phase

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def drawn(what: RenderableType, *, colour: bool = False, width: int = 200) -> str:
    said = io.StringIO()
    console = Console(file=said, width=width, force_terminal=colour, color_system="standard" if colour else None)
    console.print(what)
    return said.getvalue()


# --- text from outside ----------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=80))
def test_no_text_keeps_anything_that_a_terminal_obeys(value: str) -> None:
    said = clean.text(value)
    bad = [each for each in said if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") and each not in "\n\t"]
    assert bad == []
    assert clean.text(said) == said
    assert "\n" not in clean.line(value)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_ordinary_text_stays_as_it_is(value: str) -> None:
    assert clean.text(value) == value


@given(st.sampled_from("=+-@\t\r"), st.text(st.characters(), max_size=20))
def test_no_cell_begins_like_a_formula(first: str, rest: str) -> None:
    assert not clean.cell(first + rest).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_letters_of_every_script_and_joined_emoji_stay() -> None:
    value = "Größe 東京 नमस्ते 👩\u200d💻"
    assert clean.text(value) == value


# --- the chart ------------------------------------------------------------------------------------------


def stay(phase: Phase, start: float, end: float | None, seconds: float = 0) -> dict[str, Any]:
    """An interval in minutes after START."""
    return {
        "phase": phase.value,
        "start": stamp(START + timedelta(minutes=start)),
        "end": None if end is None else stamp(START + timedelta(minutes=end)),
        "seconds": seconds if end is None else (end - start) * 60,
    }


def view(**lanes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"lanes": [{"key": key, "intervals": stays} for key, stays in lanes.items()]}


def test_a_lane_is_a_row_and_each_phase_a_block_as_long_as_it_lasted() -> None:
    line = view(incident=[stay(Phase.DETECTION, 0, 30), stay(Phase.CONTAINMENT, 30, 60), stay(Phase.RECOVERY, 60, 120)])
    first, ruler, labels, legend, *_ = drawn(chart(line, 71)).splitlines()
    label, bar = first.split()
    assert label == "incident"
    assert bar == "D" * 15 + "C" * 15 + "R" * 30 + "."
    assert ruler.strip("-| ") == ""
    assert labels.split() == ["2026-11-23", "09:00:00Z", "+1h", "+1h30m", "+2h"]
    assert legend.split() == ["D", "detection", "C", "containment", "R", "recovery"]


def test_phases_at_the_same_time_take_rows_of_their_own() -> None:
    line = view(host=[stay(Phase.CONTAINMENT, 0, 60), stay(Phase.ERADICATION, 30, 60)])
    first, second, *_ = drawn(chart(line, 60)).splitlines()
    assert set(first) == set("hostC. ")
    assert set(second) == set("E. ")
    assert first.index("C") < second.index("E")


def test_what_still_lasts_ends_in_an_arrow_where_now_is() -> None:
    line = view(incident=[stay(Phase.DETECTION, 0, 10), stay(Phase.CONTAINMENT, 10, None, seconds=600)])
    said = drawn(chart(line, 60))
    assert "C>" in said.splitlines()[0]
    assert "> still lasts" in said


def test_the_view_of_the_api_is_drawn_as_the_timeline_in_it() -> None:
    line = view(incident=[stay(Phase.DETECTION, 0, 10)])
    assert drawn(chart({"timeline": line, "rows": [], "measures": {}}, 60)) == drawn(chart(line, 60))
    assert "no phases yet" in drawn(chart(view(), 60))


def test_without_colour_it_is_plain_ascii_and_with_colour_still_lettered() -> None:
    line = view(incident=[stay(phase, number, number + 1) for number, phase in enumerate(LETTERS)])
    plain = drawn(chart(line, 80))
    assert plain.isascii()
    assert "\x1b" not in plain
    coloured = drawn(chart(line, 80), colour=True)
    assert "\x1b[" in coloured
    assert all(letter in coloured for letter, _ in LETTERS.values())


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Phase)), st.floats(0, 5000), st.floats(0, 5000), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    st.integers(40, 160),
)
def test_whatever_happened_no_line_is_too_wide_and_no_phase_is_lost(
    stays: list[tuple[Phase, float, float, bool]], width: int
) -> None:
    line = view(
        incident=[
            stay(phase, start, None if lasts else start + length, length * 60) for phase, start, length, lasts in stays
        ]
    )
    said = drawn(chart(line, width), width=300)
    assert max(len(each) for each in said.splitlines()) <= width
    bars = "".join(takewhile(lambda each: "|-" not in each, said.splitlines()))  # what stands above the ruler
    alone = {phase for phase, *_ in stays if not any(other[3] for other in stays if other[0] is phase)}
    assert all(LETTERS[phase][0] in bars for phase in alone)


def test_a_hostile_lane_is_drawn_clean_and_short() -> None:
    line = {"lanes": [{"key": "host:\x1b[31m" + "x" * 200, "intervals": [stay(Phase.DETECTION, 0, 1)]}]}
    said = drawn(chart(line, 80))
    assert "\x1b" not in said
    assert said.startswith("host:xxx")
    assert max(len(each) for each in said.splitlines()) <= 80


def test_spans_are_said_in_two_units() -> None:
    said = [duration(seconds) for seconds in (0, 0.44, 12, 59.6, 60, 7500, 86400, 266400)]
    assert said == ["0.0s", "0.4s", "12s", "1m", "1m", "2h05m", "1d", "3d02h"]


# --- the plan ----------------------------------------------------------------------------------------------


def action(verb: str, target: str, **more: Any) -> dict[str, Any]:
    return {
        "verb": verb, "target": target, "target_name": target.partition(":")[2], "adapter": "lab", "class": "B",
        "state": {"present": False, "summary": "not isolated"}, "change": f"would {verb}", "guards": [],
        "refused": False, "needs_approval": False, "needs_evidence": [], "undo": "release_host", "lease": 0,
        "review": 86400, "destroys": ["connections"], "approval": None, **more,
    }  # fmt: skip


PLAN = {
    "playbook": "compromised-host", "digest": "abc", "urgency": "immediate", "on_exception": [],
    "steps": [
        {"step": "contain", "kind": "parallel", "together": True, "branches": [{"when": "0", "steps": [
            {"step": "isolate", "kind": "action", "verb": "isolate_host", "problems": [], "known_after": [],
             "left_out": [], "actions": [
                action("isolate_host", "host:ws-1", needs_approval=True,
                       guards=[{"guard": "approval", "verdict": "ask", "reason": "0 of 1 persons approved"}],
                       approval={"any_of": ["responder"], "persons": 1, "within": 600, "why": []}),
                action("isolate_host", "host:dc-1", refused=True, change="nothing: refused",
                       guards=[{"guard": "protection", "verdict": "refuse", "reason": "protected: tag [red]dc"}]),
             ]},
        ]}], "on_failure": [{"step": "collect", "kind": "continue"}]},
        {"step": "scan", "kind": "action", "verb": "scan", "actions": [], "left_out": [], "known_after": ["collect"],
         "problems": []},
        {"step": "found", "kind": "if", "condition": "__scan__malware_found__:value = true",
         "branches": [{"when": "true", "steps": [
            {"step": "ask", "kind": "manual", "text": "Is it \x1b[31mback?", "asks": {}}]}]},
        {"step": "block", "kind": "action", "verb": "block_indicators", "actions": [], "problems": ["no adapter"],
         "known_after": [], "left_out": [{"observable": "domain-name:x.example", "why": "held unknown",
                                          "known_after": ["look"]}]},
    ],
}  # fmt: skip


def test_a_plan_says_of_each_action_what_there_is_and_what_would_be() -> None:
    said = drawn(tree(PLAN))
    for words in (
        "contain  at the same time, all or none",
        "host:ws-1 through lab",
        "now: not isolated; change: would isolate_host; undo: release_host; review after: 1d; destroys: connections",
        "guards: asks one person of responder within 10m: 0 of 1 persons approved",
        "guards: refused: protected: tag [red]dc",
        "goes on at collect",
        "known after collect",
        "if $scan.malware_found = true",
        "a person is asked: Is it back?",
        "cannot be planned: no adapter",
        "left out: domain-name:x.example: held unknown (known after look)",
    ):
        assert words in said, words
    assert "\x1b" not in said
