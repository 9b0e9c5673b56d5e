"""A playbook as a picture (SVG 1.1): every step with what it does and who is asked, in the order in which it runs.

The same playbook always gives the same bytes. Nothing in it is a script or comes from elsewhere; every text of
the playbook is escaped, and what does not fit is cut, with the whole of it in a title.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from soar.errors import Invalid, Problem
from soar.phases import Phase
from soar.playbook.model import EPOCH, EndStep, Playbook, StartStep, Step
from soar.playbook.phrases import name_of, sentence, trigger_words
from soar.playbook.pictures import progress, svg
from soar.playbook.pictures.card import Card, card
from soar.playbook.pictures.drawing import Drawing, Line
from soar.playbook.pictures.layered import place_layers
from soar.playbook.pictures.layout import owners, place
from soar.playbook.pictures.lettering import width, wrap
from soar.playbook.structure import Structure, structure

MOST_STEPS = 2_000
MARGIN = 28.0
NARROWEST = 620.0
_NAME_SIZE, _LINE_SIZE, _LEGEND_SIZE = 20.0, 12.5, 11.5
_LONGEST_DESCRIPTION = 2_000
_MEANINGS: Mapping[str, str] = {
    "then": "then", "failure": "when it fails", "undo": "takes back", "back": "and again",
}  # fmt: skip


def picture(playbook: Playbook, statuses: Mapping[str, str] | None = None) -> str:
    """The picture of a playbook whose pointers lead to steps that are there, as an SVG document.

    `statuses` are those of a run, by occurrence (soar.engine.run_state): each step then shows how far it is.
    Raises Invalid for a playbook that is too large to be drawn.
    """
    steps = [step for step in playbook.workflow.values() if not isinstance(step, StartStep | EndStep)]
    if len(steps) > MOST_STEPS:
        message = f"a playbook of more than {MOST_STEPS} steps cannot be drawn"
        raise Invalid(problems=[Problem(code="too_large", message=message, mend="Split it into several playbooks.")])
    shape = structure(playbook)
    cards = _cards(playbook, steps, shape)
    heights = {step_id: each.height for step_id, each in cards.items()}
    if shape is None:
        drawing = place_layers(playbook, heights)
    else:
        names = {step.id: name_of(step) for step in steps}
        drawing = place(shape, heights, names, _undone(steps))
    reached = None if statuses is None else progress.of_steps(playbook, statuses)
    return _document(playbook, cards, drawing, _head(playbook, shape), reached)


def _cards(playbook: Playbook, steps: list[Step], shape: Structure | None) -> dict[str, Card]:
    undone_by: dict[str, list[str]] = {}
    for undoing, target in _undone(steps):
        undone_by.setdefault(target, []).append(name_of(playbook.workflow[undoing]))
    beside = owners(shape) if shape else {step.on_failure: "" for step in steps}
    said = {step.id: _failing(playbook, step, beside, shape) for step in steps}
    return {
        step.id: card(playbook, step, undone_by=tuple(undone_by.get(step.id, ())), on_failure=said[step.id])
        for step in steps
    }


def _undone(steps: list[Step]) -> list[tuple[str, str]]:
    """Pairs of ids: a step, and one that it takes back."""
    named = {step.soar.slug: step.id for step in steps if step.soar and step.soar.slug}
    return [
        (step.id, named[slug]) for step in steps if step.soar for slug in dict.fromkeys(step.soar.undo) if slug in named
    ]


def _failing(playbook: Playbook, step: Step, beside: Mapping[str, str], shape: Structure | None) -> str:
    """What is done when a step fails, where no line beside it says so."""
    if not step.on_failure or shape is None or beside.get(step.on_failure) == step.id:
        return ""
    if step.on_failure in beside:
        return f"when it fails: as beside {name_of(playbook.workflow[beside[step.on_failure]])}"
    if shape.exception and step.on_failure == playbook.workflow_exception:
        return "when it fails: as when anything else fails"
    target = playbook.workflow[step.on_failure]
    return "when it fails: ends here" if isinstance(target, EndStep) else f"when it fails: goes on at {name_of(target)}"


def _head(playbook: Playbook, shape: Structure | None) -> list[str]:
    """What is said above the steps."""
    said = [playbook.description, *(f"{sentence(trigger_words(each))}." for each in playbook.triggers)]
    if playbook.urgency == "immediate":
        said.append("Immediate: it contains first and collects at once after.")
    if shape and shape.exception_at:
        said.append(f"When anything else fails, it goes on at {name_of(playbook.workflow[shape.exception_at])}.")
    return [each for each in said if each]


def _document(
    playbook: Playbook, cards: Mapping[str, Card], drawing: Drawing, head: list[str], reached: Mapping[str, str] | None
) -> str:
    name = "p" + hashlib.sha256(playbook.id.encode()).hexdigest()[:6]
    wide = max(drawing.right - drawing.left, NARROWEST)
    above, top = _heading(playbook, head, wide)
    legend, low = _legend(cards, drawing.lines, top + drawing.height + 24, wide)
    full_width, full_height = wide + 2 * MARGIN, top + drawing.height + 24 + low + MARGIN
    dx, dy = MARGIN - drawing.left + (wide - (drawing.right - drawing.left)) / 2, top
    kinds = {"undo": 0, "then": 1, "back": 1, "failure": 1}
    frames = sorted(drawing.frames, key=lambda each: -each.width * each.height)
    lines = sorted(drawing.lines, key=lambda each: kinds[each.way])
    parts = [
        _opening(name, full_width, full_height),
        f'<title id="{name}n">{svg.text(playbook.name)}</title>',
        f'<desc id="{name}d">{svg.text(_described(cards, drawing))}</desc>',
        svg.style(name, {each.phase for each in cards.values() if each.phase}),
        svg.definitions(name),
        '<rect class="bg" width="100%" height="100%"/>',
        above,
        f'<g transform="translate({svg.number(dx)} {svg.number(dy)})">',
        *(svg.frame(each) for each in frames),
        *(svg.line(each, name) for each in lines),
        *(svg.words(each) for each in drawing.words),
        *(
            svg.card(cards[at.step_id], at, None if reached is None else reached.get(at.step_id, ""))
            for at in drawing.cards
        ),
        "</g>",
        legend,
        "</svg>",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def _opening(name: str, wide: float, high: float) -> str:
    size = svg.number(wide), svg.number(high)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{name}" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" '
        f'height="{size[1]}" role="graphics-document img" aria-labelledby="{name}n {name}d">'
    )


def _heading(playbook: Playbook, head: list[str], wide: float) -> tuple[str, float]:
    """Name, version and purpose; and where the drawing begins below them."""
    y = MARGIN + _NAME_SIZE
    parts = []
    for said in wrap(playbook.name, _NAME_SIZE, wide, most=2, bold=True):
        parts.append(svg.label("t b", MARGIN, y, _NAME_SIZE, said))
        y += _NAME_SIZE + 6
    dated = "" if playbook.modified == EPOCH else f"version of {playbook.modified[:16].replace('T', ' ')}"
    version = " · ".join(filter(None, (playbook.slug, dated)))
    for said in (version, *head):
        for each in wrap(said, _LINE_SIZE, min(wide, 900.0), most=4):
            parts.append(svg.label("q", MARGIN, y, _LINE_SIZE, each))
            y += _LINE_SIZE + 5
        y += 2
    return "\n".join(parts), y + 12


def _legend(cards: Mapping[str, Card], lines: list[Line], top: float, room: float) -> tuple[str, float]:
    """What letters and lines mean, in rows; and how high it is."""
    met = {each.phase for each in cards.values() if not each.way}
    parts: list[str] = []
    x, y = MARGIN, top

    def add(said: str, sample: str) -> None:
        nonlocal x
        parts.append(sample + svg.label("q", x + 32, y + 12.5, _LEGEND_SIZE, said))
        x += 32 + width(said, _LEGEND_SIZE) + 22

    entries: list[tuple[str, Phase | str | None]] = [
        (phase.value.replace("-", " "), phase) for phase in Phase if phase in met
    ]
    entries += [("no phase of its own", None)] if None in met else []
    entries += [(_MEANINGS[way], way) for way in _MEANINGS if any(each.way == way for each in lines)]
    for said, which in entries:
        if x > MARGIN and x + 32 + width(said, _LEGEND_SIZE) > MARGIN + room:
            x, y = MARGIN, y + 24
        sample = svg.swatch(which, x, y) if isinstance(which, Phase | None) else _sample(which, x, y + 8.5)
        add(said, sample)
    return "\n".join(parts), y + 24 - top


def _sample(way: str, x: float, y: float) -> str:
    marks = {"failure": "l fl", "undo": "l un"}
    return f'<path class="{marks.get(way, "l")}" d="M{svg.number(x)} {svg.number(y)}h24"/>'


def _described(cards: Mapping[str, Card], drawing: Drawing) -> str:
    """The steps in their order, for those who do not see them."""
    said = "; ".join(_spoken(cards[at.step_id]) for at in drawing.cards)
    return f"A playbook of {len(cards)} steps. {said}"[:_LONGEST_DESCRIPTION]


def _spoken(each: Card) -> str:
    return ": ".join(filter(None, (each.caption, " ".join(each.title))))
