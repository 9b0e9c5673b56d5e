"""Writes a drawing as SVG: one file without scripts and without anything from elsewhere, for light and dark."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from xml.sax.saxutils import escape

from soar.phases import Phase
from soar.playbook.pictures.card import (
    BAND,
    CAPTION_SIZE,
    CAPTION_STEP,
    ICON,
    MARGIN,
    ROW_SIZE,
    ROW_STEP,
    TITLE_SIZE,
    TITLE_STEP,
    WIDTH,
    Card,
)
from soar.playbook.pictures.drawing import Frame, Line, Placed, Words
from soar.playbook.pictures.lettering import clean, width, wrap
from soar.playbook.pictures.palette import BANDS, DARK, ICONS, LIGHT, STATUS

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
_CORNER = 7.0
_SMALL = 11.5


def text(said: str) -> str:
    """Text from outside, as it may stand in XML, in elements and in attributes alike."""
    return escape(clean(said), {'"': "&quot;"})


def number(value: float) -> str:
    """A length with at most one decimal."""
    return f"{round(value, 1) + 0:.1f}".removesuffix(".0")


def style(name: str, phases: Collection[Phase]) -> str:
    """The rules of one picture with these phases; `name` keeps them from others on the same page."""
    light = _colours(name, LIGHT)
    dark = _colours(name, DARK)
    bands = "".join(
        f".{name} .{phase.value}{{fill:{band.ground}}}.{name} .{phase.value}-t{{fill:{band.ink}}}"
        for phase, band in BANDS.items()
        if phase in phases
    )
    fixed = (
        f".{name} text{{font-family:{_FONT}}}.{name} .m{{text-anchor:middle}}.{name} .b{{font-weight:700}}"
        f".{name} .i{{fill:none;stroke-width:1.4;stroke-linecap:round;stroke-linejoin:round}}"
        f".{name} .l{{fill:none;stroke-width:1.6;stroke-linejoin:round}}"
        f".{name} .fl{{stroke-dasharray:6 4}}.{name} .un{{stroke-width:1.3;stroke-dasharray:1.5 3}}"
        f".{name} .hv{{stroke-width:5;stroke-linecap:round}}"
        f".{name} .off{{opacity:.8}}.{name} .off .o{{stroke-dasharray:3 3}}"
        f".{name} g:focus{{outline:none}}.{name} g:focus .o{{stroke-width:3.5}}"
    )
    return f"<style>{fixed}{bands}{light}@media(prefers-color-scheme: dark){{{dark}}}</style>"


def _colours(name: str, of: Mapping[str, str]) -> str:
    rules = {
        ".bg": f"fill:{of['ground']}",
        ".c": f"fill:{of['card']}",
        ".w": f"fill:{of['way']}",
        ".o": f"fill:none;stroke:{of['edge']}",
        ".f": f"fill:{of['frame']};stroke:{of['frame_edge']}",
        ".s": f"fill:{of['side']};stroke:{of['fail']};stroke-dasharray:6 4",
        ".n": f"fill:{of['none']}",
        ".t": f"fill:{of['ink']}",
        ".q": f"fill:{of['soft']}",
        ".i": f"stroke:{of['soft']}",
        ".il": f"stroke:{of['ink']}",
        ".l": f"stroke:{of['line']}",
        ".a": f"fill:{of['line']}",
        ".fl": f"stroke:{of['fail']}",
        ".fa": f"fill:{of['fail']}",
        ".fi": f"stroke:{of['fail']}",
        ".un": f"stroke:{of['undo']}",
        ".ua": f"fill:{of['undo']}",
        ".ui": f"stroke:{of['undo']}",
    }
    return "".join(f".{name} {selector}{{{rule}}}" for selector, rule in rules.items())


def definitions(name: str) -> str:
    """The heads of arrows."""
    return "<defs>" + "".join(
        f'<marker id="{name}{mark}" viewBox="0 0 8 8" refX="7.4" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="{mark}" d="M0 .6L8 4L0 7.4z"/></marker>'
        for mark in ("a", "fa", "ua")
    ) + "</defs>"  # fmt: skip


def frame(each: Frame) -> str:
    """The ground under branches, or around a failure path."""
    mark = "f" if each.kind == "branches" else "s"
    return _box(mark, each.x, each.y, each.width, each.height, 10)


def line(each: Line, name: str) -> str:
    """A line, with its arrow."""
    marks = {"then": ("l", "a"), "back": ("l", "a"), "failure": ("l fl", "fa"), "undo": ("l un", "ua")}
    mark, head = marks[each.way]
    mark += " hv" if each.heavy else ""
    arrow = f' marker-end="url(#{name}{head})"' if each.arrow else ""
    (first_x, first_y), *rest = each.points
    way = f"M{number(first_x)} {number(first_y)}"
    last = (first_x, first_y)
    for x, y in rest:
        if x == last[0]:
            way += f"V{number(y)}"
        elif y == last[1]:
            way += f"H{number(x)}"
        else:
            way += f"L{number(x)} {number(y)}"
        last = (x, y)
    return f'<path class="{mark}" d="{way}"{arrow}/>'


def words(each: Words) -> str:
    """Names of branches and frames, outcomes, start and end."""
    size = 12.0 if each.kind == "pill" else _SMALL
    lines = wrap(each.text, size, each.room, most=1)
    if not lines:
        return ""
    said = lines[0]
    whole = f"<title>{text(each.text)}</title>" if said != clean(each.text) else ""
    if each.kind == "frame":
        return f"<g>{whole}{label('fa b', each.x, each.y + 4, size, said)}</g>"
    room = width(said, size, bold=each.kind == "pill") + (28 if each.kind == "pill" else 14)
    height = 26.0 if each.kind == "pill" else 19.0
    mark, ink = {"pill": ("w", "t m b"), "branch": ("bg", "t m"), "outcome": ("s", "fa m")}[each.kind]
    box = _box(mark, each.x - room / 2, each.y - height / 2, room, height, height / 2)
    return f"<g>{whole}{box}{label(ink, each.x, each.y + 4, size, said)}</g>"


def card(each: Card, at: Placed, status: str | None) -> str:
    """A step: a group that the keyboard reaches, whose title says all that the card says.

    `status` is that of a run, None where no run is shown, "" for a step that it did not reach.
    """
    said = f"{each.full}. Status: {status.replace('_', ' ')}" if status else each.full
    dim = ' class="off"' if status == "" else ""
    parts = [
        _group(at, said, dim),
        _box("c w" if each.way else "c", 0, 0, WIDTH, each.height, _CORNER),
        _band(each),
    ]
    x, y = BAND + MARGIN, 9 + TITLE_SIZE - 1
    if each.caption:
        parts.append(label("q", x, 9 + CAPTION_SIZE, CAPTION_SIZE, each.caption))
        y += CAPTION_STEP
    if status:
        parts.append(_status(status))
    for title in each.title:
        parts.append(label("t b", x, y, TITLE_SIZE, title))
        y += TITLE_STEP
    y += ROW_SIZE - TITLE_SIZE + 1
    for row in each.rows:
        if row.icon:
            colour = {"danger": "fi", "fail": "fi", "undo": "ui"}.get(row.icon, "")
            parts.append(icon(row.icon, x, y - 10, colour))
        for cut in row.lines:
            parts.append(label("q", x + (ICON if row.icon else 0), y, ROW_SIZE, cut))
            y += ROW_STEP
    return "".join(parts) + "</g>"


def _group(at: Placed, said: str, dim: str) -> str:
    place = f'transform="translate({number(at.x)} {number(at.y)})"'
    return f'<g role="graphics-symbol img" tabindex="0"{dim} {place}><title>{text(said)}</title>'


def label(mark: str, x: float, y: float, size: float, said: str) -> str:
    """One line of text; `y` is its base line."""
    return f'<text class="{mark}" x="{number(x)}" y="{number(y)}" font-size="{number(size)}">{text(said)}</text>'


def icon(name: str, x: float, y: float, colour: str = "") -> str:
    """One of the small signs, by its upper left corner."""
    return f'<path class="{f"i {colour}".strip()}" transform="translate({number(x)} {number(y)})" d="{ICONS[name]}"/>'


def swatch(phase: Phase | None, x: float, y: float) -> str:
    """A phase as the legend shows it."""
    if phase is None:
        return _box("n", x, y, 22, 17, 4)
    band = BANDS[phase]
    return _box(phase.value, x, y, 22, 17, 4) + label(f"{phase.value}-t m b", x + 11, y + 13, 12, band.letter)


def _band(each: Card) -> str:
    """The stripe at the left: the phase's colour and letter, or what kind of step it is."""
    height = each.height
    shape = (
        f"M{number(_CORNER)} 0H{number(BAND)}V{number(height)}H{number(_CORNER)}"
        f"A{number(_CORNER)} {number(_CORNER)} 0 0 1 0 {number(height - _CORNER)}V{number(_CORNER)}"
        f"A{number(_CORNER)} {number(_CORNER)} 0 0 1 {number(_CORNER)} 0Z"
    )
    sign = f'<path class="{each.phase.value if each.phase else "n"}" d="{shape}"/>'
    if each.phase:
        sign += label(f"{each.phase.value}-t m b", BAND / 2 + 0.5, 23, 15, BANDS[each.phase].letter)
    if not each.phase and each.sign:
        sign += icon(each.sign, BAND / 2 - 6, 11, "il")
    return sign + _box("o", 0, 0, WIDTH, height, _CORNER)


def _status(status: str) -> str:
    said = status.replace("_", " ")
    ground, ink = STATUS.get(status, STATUS["pending"])
    room = width(said, CAPTION_SIZE, bold=True) + 14
    left = WIDTH - room - 6
    middle = number(left + room / 2)
    return (
        f'<rect fill="{ground}" x="{number(left)}" y="-10" width="{number(room)}" height="17" rx="8.5"/>'
        f'<text class="m b" fill="{ink}" x="{middle}" y="2.5" font-size="{CAPTION_SIZE}">{text(said)}</text>'
    )


def _box(mark: str, x: float, y: float, wide: float, high: float, corner: float) -> str:
    return (
        f'<rect class="{mark}" x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(high)}" '
        f'rx="{number(corner)}"/>'
    )
