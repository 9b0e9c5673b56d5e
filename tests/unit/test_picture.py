"""A playbook can be drawn: whole, without crossings, for everybody, and whatever it is called."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.cli.chart import LETTERS
from playbooks import shipped
from soar import strict_json
from soar.errors import Invalid
from soar.phases import Phase
from soar.playbook.cacao import cacao_form
from soar.playbook.model import ActionStep, EndStep, IfStep, Playbook, StartStep, Step
from soar.playbook.phrases import expression_words
from soar.playbook.pictures.card import WIDTH, card
from soar.playbook.pictures.drawing import Drawing, Line, Placed
from soar.playbook.pictures.layered import place_layers
from soar.playbook.pictures.layout import place
from soar.playbook.pictures.lettering import clean, width, wrap
from soar.playbook.pictures.palette import BANDS, DARK, LIGHT, STATUS
from soar.playbook.pictures.picture import picture
from soar.playbook.pictures.progress import of_steps
from soar.playbook.structure import structure
from soar.playbook.yaml.yaml_form import load
from tests.unit.playbook_shapes import foreign, graphs, structured

HOST = next(each for each in shipped() if each.stem == "compromised-host")
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title></svg><script>alert(1)</script><!--]]>&\"'\x00\x1b[31m\u202e\ud83d\ude00"


@pytest.fixture(scope="module")
def host() -> Playbook:
    return load(HOST.read_bytes())


def texts(said: str) -> str:
    """Everything that can be read in a picture."""
    return " ".join(text.strip() for text in ET.fromstring(said).itertext())


def titles(said: str) -> list[str]:
    """What is said of each step, in tab order."""
    return [each.findtext(f"{SVG}title") or "" for each in ET.fromstring(said).iter(f"{SVG}g") if each.get("tabindex")]


def drawn(playbook: Playbook) -> tuple[Drawing, dict[str, float]]:
    """The structured drawing, and how high each card is."""
    heights = {
        step.id: card(playbook, step).height
        for step in playbook.workflow.values()
        if not isinstance(step, StartStep | EndStep)
    }
    shape = structure(playbook)
    if shape is None:
        return place_layers(playbook, heights), heights
    slugs = {step.soar.slug: step.id for step in playbook.workflow.values() if step.soar and step.soar.slug}
    undone = [(step.id, slugs[name]) for step in playbook.workflow.values() if step.soar for name in step.soar.undo]
    return place(shape, heights, dict.fromkeys(heights, "x"), undone), heights


# --- what it says -----------------------------------------------------------------------------------


def test_every_step_says_what_it_does_to_what_who_is_asked_and_what_it_takes_back(host: Playbook) -> None:
    said = {title.partition(".")[0]: title for title in titles(picture(host))}
    assert "Isolate host" in said["isolate"]
    for words in ("for each host in $hosts", "review within 1d", "taken back by release", "phase: containment"):
        assert words in said["isolate"], words
    assert "All of these, or none" in said["contain · Cut off host and account"]
    assert (
        "one person (asset owner or responder) within 10m; on silence asks again"
        in said["contain · Cut off host and account"]
    )
    assert "ends after 7d" in said["block"]
    assert "cannot be taken back; destroys connections, memory, processes" in said["kill"]
    assert "Take back isolate, disable" in said["release"]
    assert "If $scan.malware_found is true" in said["found"]
    assert "answer within 4h else asks again" in said["confirm"]


def test_the_steps_come_in_the_order_in_which_they_are_read(host: Playbook) -> None:
    names = [title.lower().partition(".")[0].partition(" ")[0] for title in titles(picture(host))]
    order = ["contain", "isolate", "disable", "revoke", "collect", "scan", "block", "found", "kill", "clean"]
    assert [name for name in names if name in order] == order


def test_above_the_steps_stands_when_it_starts_in_plain_words(host: Playbook) -> None:
    assert "Is proposed when the alert's severity id is at least 4 and any of the alert's techniques" in texts(
        picture(host)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__scan__found__:value = true", "$scan.found is true"),
        ("alert:a.b_c >= 4 AND NOT EXISTS alert:x", "the alert's a b c is at least 4 and there is not the alert's x"),
        (
            "alert:a NOT = 'low' OR alert:b NOT IN (1, 2)",
            "the alert's a is not 'low' or the alert's b is not one of (1, 2)",
        ),
        ("alert:t[*] IN ('AND >', 'b')", "any of the alert's t is one of ('AND >', 'b')"),
        ("operator decides", "operator decides"),
    ],
)
def test_conditions_are_told_in_words_and_texts_in_them_stay(text: str, words: str) -> None:
    assert expression_words(text) == words


def test_a_legend_names_the_phases_and_lines_that_occur_and_no_other(host: Playbook) -> None:
    said = texts(picture(host))
    for words in ("containment", "recovery", "when it fails", "takes back"):
        assert re.search(rf"\b{words}\b", said)
    assert "and again" not in said
    assert not re.search(r"\bP\b", said)


def test_a_run_shows_on_each_step_how_far_it_is(host: Playbook) -> None:
    statuses = {"contain": "running", "contain/0/isolate": "succeeded", "contain/1/disable": "failed",
                "handlers/not_contained/1-notify": "succeeded"}  # fmt: skip
    said = picture(host, statuses)
    known = {title.partition(".")[0]: title for title in titles(said)}
    assert known["isolate"].endswith("Status: succeeded")
    assert known["disable"].endswith("Status: failed")
    assert "Status" not in known["release"]
    assert said.count('class="off"') == len(titles(said)) - len(statuses)


def test_of_several_visits_the_one_that_needs_a_person_counts() -> None:
    text = """
id: loops
variables: {go: {type: bool}}
steps:
  - while: $go = true
    max: 9
    id: loop
    steps:
      - {id: say, do: notify, with: {team: a, text: b}}
      - if: $go = true
        then: [{do: notify, with: {team: a, text: c}}]
  - if: $go = true
    then: [{do: notify, with: {team: a, text: d}}]
"""
    playbook = load(text)
    found = of_steps(playbook, {"loop/1/say": "succeeded", "loop/2/say": "failed", "loop/3/say#2": "succeeded",
                                "loop/1/2-if/then/1-notify": "running", "2-if/then/1-notify": "skipped",
                                "gone/away": "failed"})  # fmt: skip
    by_path = {playbook.workflow[each].label: status for each, status in found.items()}
    assert by_path == {"loop/steps/say": "failed", "loop/steps/2-if/then/1-notify": "running",
                       "2-if/then/1-notify": "skipped"}  # fmt: skip


# --- how it stands ------------------------------------------------------------------------------------


@given(structured())
@settings(max_examples=70)
def test_in_a_structured_playbook_no_line_crosses_another_and_none_runs_through_a_card(playbook: Playbook) -> None:
    drawing, heights = drawn(playbook)
    lines = [(line, each) for line in drawing.lines for each in pieces(line)]
    for (one, first), (other, second) in itertools.combinations(lines, 2):
        if one.way != "undo" or other.way != "undo":
            assert not cross(first, second), (one, other)
        if one.way != other.way:
            assert not overlap(first, second), (one, other)
    for at in drawing.cards:
        for line, (x1, y1, x2, y2) in lines:
            inside = x1 < at.x + WIDTH - 1 and x2 > at.x + 1 and y1 < at.y + heights[at.step_id] - 1 and y2 > at.y + 1
            assert not inside, (at, line)


@given(structured() | graphs())
@settings(max_examples=80)
def test_every_step_is_drawn_once_and_no_card_covers_another(playbook: Playbook) -> None:
    drawing, heights = drawn(playbook)
    assert sorted(each.step_id for each in drawing.cards) == sorted(heights)
    for one, other in itertools.combinations(drawing.cards, 2):
        assert apart(one, other, heights), (one, other)
    for each in drawing.cards:
        assert drawing.left - 0.1 <= each.x
        assert each.x + WIDTH <= drawing.right + 0.1
        assert each.y + heights[each.step_id] <= drawing.height + 0.1
    ET.fromstring(picture(playbook))


@given(graphs())
def test_a_playbook_without_structure_has_a_line_for_every_pointer(playbook: Playbook) -> None:
    if structure(playbook) is None:
        drawing, _ = drawn(playbook)
        steps = playbook.workflow.values()
        pointers = {
            (step.id, head, head == step.on_failure) for step in steps for head in (*step.following, *step.heads)
        }
        assert len(drawing.lines) >= len(pointers)


def pieces(line: Line) -> Iterator[tuple[float, float, float, float]]:
    for (x1, y1), (x2, y2) in itertools.pairwise(line.points):
        assert x1 == x2 or y1 == y2
        yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def cross(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """One runs across and the other down, and they meet in the middle of both."""
    for (x1, y1, x2, y2), (u1, v1, u2, v2) in ((one, other), (other, one)):
        if y1 == y2 and u1 == u2 and x1 + 0.1 < u1 < x2 - 0.1 and v1 + 0.1 < y1 < v2 - 0.1:
            return True
    return False


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """They lie upon one another for a while."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = one, other
    if x1 == x2 == u1 == u2:
        return min(y2, v2) - max(y1, v1) > 0.1
    return y1 == y2 == v1 == v2 and min(x2, u2) - max(x1, u1) > 0.1


def apart(one: Placed, other: Placed, heights: dict[str, float]) -> bool:
    return (
        one.x + WIDTH <= other.x + 0.1
        or other.x + WIDTH <= one.x + 0.1
        or one.y + heights[one.step_id] <= other.y + 0.1
        or other.y + heights[other.step_id] <= one.y + 0.1
    )


# --- for everybody, from anybody -------------------------------------------------------------------------


def test_the_same_playbook_gives_the_same_bytes(host: Playbook) -> None:
    assert picture(host) == picture(load(HOST.read_bytes()))


@given(st.text(max_size=60) | st.just(HOSTILE * 20))
@settings(max_examples=60)
def test_no_text_of_a_playbook_becomes_anything_but_text(text: str) -> None:
    command = {"type": "manual", "command": text}
    step = ActionStep(id="action--1", name=text, on_success="end--1", commands=(command,), on_failure="action--2",
                      agent="x")  # fmt: skip
    other = ActionStep(id="action--2", name=text, on_success="end--1", commands=({"type": text},))
    workflow: dict[str, Step] = {
        "start--0": StartStep(id="start--0", on_completion="action--1"), "action--1": step, "action--2": other,
        "end--1": EndStep(id="end--1"),
    }  # fmt: skip
    said = picture(foreign(workflow, description=text, agent_definitions={"x": {"name": text}}))
    root = ET.fromstring(said)
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text",
    }  # fmt: skip
    for each in root.iter():
        assert not any(name.lower().startswith("on") or "href" in name for name in each.attrib)
        assert all("url(" not in value or value.startswith("url(#p") for value in each.attrib.values())
    assert "@import" not in said
    assert "\x1b" not in said


def test_a_long_text_is_cut_on_the_card_and_whole_in_its_title() -> None:
    text = "word " * 200
    said = picture(load(f"id: x\nsteps:\n  - {{id: a, do: notify, with: {{team: t, text: '{text}'}}}}\n"))
    assert text.strip() in titles(said)[0]
    assert max(map(len, (each.text or "" for each in ET.fromstring(said).iter(f"{SVG}text")))) < 80
    assert "…" in texts(said)


@given(st.text(max_size=200), st.floats(40, 400), st.integers(1, 4), st.booleans())
def test_wrapped_lines_fit_and_lose_nothing_unless_they_say_so(text: str, room: float, most: int, bold: bool) -> None:
    lines = wrap(text, 11.0, room, most=most, bold=bold)
    assert len(lines) <= most
    assert all(width(line, 11.0, bold=bold) <= room + 1e-6 for line in lines)
    if not (lines and lines[-1].endswith("…")):
        assert "".join("".join(lines).split()) == "".join(clean(text).split())


def test_it_is_named_described_and_reached_with_the_keyboard(host: Playbook) -> None:
    root = ET.fromstring(picture(host))
    named = [root.find(f"{SVG}title"), root.find(f"{SVG}desc")]
    assert root.get("role") == "graphics-document img"
    assert root.get("aria-labelledby") == " ".join(each.get("id", "") for each in named if each is not None)
    assert root.findtext(f"{SVG}title") == host.name
    assert "isolate: Isolate host" in (root.findtext(f"{SVG}desc") or "")
    steps = [each for each in root.iter(f"{SVG}g") if each.get("tabindex") == "0"]
    assert len(steps) == sum(not isinstance(step, StartStep | EndStep) for step in host.workflow.values())
    assert all(each.get("role") == "graphics-symbol img" and each.findtext(f"{SVG}title") for each in steps)


def channel(value: int) -> float:
    return value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4


def linear(colour: str) -> list[float]:
    digits = colour[1:] if len(colour) == 7 else "".join(each * 2 for each in colour[1:])
    return [channel(int(digits[at : at + 2], 16)) for at in (0, 2, 4)]


def luminance(colour: str) -> float:
    return sum(part * share for part, share in zip(linear(colour), (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("of", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_their_ground(of: dict[str, str]) -> None:
    for ink, ground in (("ink", "card"), ("soft", "card"), ("ink", "way"), ("soft", "way"), ("soft", "ground"),
                        ("ink", "ground"), ("ink", "frame"), ("fail", "side")):  # fmt: skip
        assert contrast(of[ink], of[ground]) >= 4.5, (ink, ground)
    for line, ground in (("line", "ground"), ("line", "frame"), ("edge", "card"), ("edge", "frame"), ("undo", "ground"),
                         ("fail", "ground"), ("fail", "frame"), ("line", "side"), ("ink", "none")):  # fmt: skip
        assert contrast(of[line], of[ground]) >= 3, (line, ground)


def test_letters_and_statuses_can_be_read_on_their_colours() -> None:
    assert all(contrast(band.ink, band.ground) >= 4.5 for band in BANDS.values())
    assert all(contrast(*colours) >= 4.5 for colours in STATUS.values())


SIGHTS = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""How colours look to whom a kind of cone is missing (Machado, Oliveira and Fernandes 2009, severity 1)."""


def lab(colour: str, sight: str) -> list[float]:
    """CIE L*a*b* of a colour as seen."""
    seen = [sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in SIGHTS[sight]]
    r, g, b = (min(1.0, max(0.0, each)) for each in seen)
    x, y, z = (
        0.4124 * r + 0.3576 * g + 0.1805 * b,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        0.0193 * r + 0.1192 * g + 0.9505 * b,
    )
    fx, fy, fz = (
        each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in (x / 0.9505, y, z / 1.089)
    )
    return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)]


@pytest.mark.parametrize("sight", SIGHTS)
def test_phases_are_told_apart_whatever_colours_somebody_sees(sight: str) -> None:
    for one, other in itertools.combinations(BANDS.values(), 2):
        far = sum((a - b) ** 2 for a, b in zip(lab(one.ground, sight), lab(other.ground, sight), strict=True)) ** 0.5
        assert far >= 15, (one, other, far)


def test_the_letters_are_those_of_the_terminal() -> None:
    assert {phase: BANDS[phase].letter for phase in Phase} == {phase: letter for phase, (letter, _) in LETTERS.items()}


# --- real ones, large ones -------------------------------------------------------------------------------


def test_real_foreign_playbooks_are_drawn_whole(samples: Path) -> None:
    count = 0
    for file in sorted(samples.glob("cacao/playbooks-*/*.json")):
        try:
            playbook = cacao_form.from_document(strict_json.parse(file.read_bytes()))
        except Invalid:
            continue
        steps = [step for step in playbook.workflow.values() if not isinstance(step, StartStep | EndStep)]
        assert len(titles(picture(playbook))) == len(steps), file.name
        count += 1
    assert count >= 10


def large(steps: int) -> Playbook:
    body = {"id": "large", "variables": {"go": {"type": "bool"}}, "steps": [
        {"if": "$go = true", "then": [{"do": "notify", "with": {"team": "a", "text": "b " * 30}}], "else": [
            {"id": f"i{number}", "do": "isolate_host", "with": {"host": "h"}, "review": "1d"}]}
        for number in range(steps // 3)
    ]}  # fmt: skip
    return load(json.dumps(body))


@pytest.mark.alone
def test_a_playbook_of_200_steps_is_drawn_at_once() -> None:
    for playbook in (large(201), tangled(200, back=20)):
        began = time.perf_counter()
        picture(playbook)
        took = (time.perf_counter() - began) * 1_000
        print(f"a picture of {len(playbook.workflow)} steps: {took:.0f} ms")
        assert took < 300


def tangled(steps: int, back: int = 2_000) -> Playbook:
    """Each step leads to the next, and on failure to one that is up to `back` steps above: no structure."""
    ids = [f"action--{number}" for number in range(steps)]
    workflow: dict[str, Step] = {"start--0": StartStep(id="start--0", on_completion=ids[0])}
    for number, each in enumerate(ids):
        following = ids[number + 1] if number + 1 < steps else "end--0"
        workflow[each] = ActionStep(id=each, name=each, commands=({"type": "manual", "command": "x"},),
                                    on_success=following, on_failure=ids[max(number // 2, number - back)])  # fmt: skip
    workflow["action--1"] = IfStep(id="action--1", condition="x", on_true="action--2", on_success="action--2")
    workflow["end--0"] = EndStep(id="end--0")
    return foreign(workflow)


def test_what_is_too_large_to_be_drawn_is_refused_and_says_so() -> None:
    with pytest.raises(Invalid, match="2000 steps"):
        picture(tangled(2_100))
    with pytest.raises(Invalid, match="too many lines"):
        picture(tangled(1_900))
