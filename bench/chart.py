"""The chart in docs/: one bar for each item, how far ahead we are, and a mark at the goal. Plain SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.report import Entry

_WIDTH, _LABELS, _VALUES, _ROW, _TOP = 960, 430, 70, 24, 56
_LEAST, _MOST = 0.01, 10.0
"""The axis: ratios, in powers of ten, from a hundredth to ten times as fast."""
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
.title { font-weight: 600; font-size: 15px } .dim { fill: #57606a; font-size: 12px }
.met { fill: #1a7f52 } .missed { fill: #b35900 }
.axis { stroke: #d0d7de } .even { stroke: #1b1f24 } .goal { stroke: #1b1f24; stroke-width: 3 }
.back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .dim { fill: #9198a1 } .back { fill: #0d1117 }
.met { fill: #3fb57f } .missed { fill: #e8913a }
.axis { stroke: #30363d } .even, .goal { stroke: #e6edf3 }
}"""


def _x(ratio: float) -> float:
    """Where a ratio lies, in pixels; beyond the ends it lies at the end."""
    share = (math.log10(min(max(ratio, _LEAST), _MOST)) - math.log10(_LEAST)) / math.log10(_MOST / _LEAST)
    return _LABELS + share * (_WIDTH - _LABELS - _VALUES)


def _bar(entry: Entry, at: int) -> list[str]:
    ratio, goal = float(entry["ratio"]), float(entry["goal"])
    kind = "met" if ratio >= goal else "missed"
    start, end = sorted((_x(1.0), _x(ratio)))
    label = escape(f"{entry['title']} / {entry['peer']}")
    short = label if len(label) <= 68 else label[:67] + "…"
    return [
        f'<text x="{_LABELS - 10}" y="{at + 15}" text-anchor="end">{short}</text>',
        f'<rect class="{kind}" x="{start:.1f}" y="{at + 4}" width="{max(end - start, 1.5):.1f}" height="14"/>',
        f'<text x="{_WIDTH - _VALUES + 10}" y="{at + 15}">{ratio:.2f}x</text>',
        f'<line class="goal" x1="{_x(goal):.1f}" x2="{_x(goal):.1f}" y1="{at + 1}" y2="{at + 21}"/>',
    ]


def svg(entries: Sequence[Entry], caption: str) -> str:
    """The chart of all entries that have a ratio and a goal; the table has the others too."""
    shown = [entry for entry in entries if entry["ratio"] is not None and entry["goal"] is not None]
    height = _TOP + _ROW * len(shown) + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="t d">',
        '<title id="t">How fast soar is beside what it replaces</title>',
        f'<desc id="d">{escape(_said(shown))}</desc>',
        f"<style>{_STYLE}</style>", f'<rect class="back" width="{_WIDTH}" height="{height}"/>',
        '<text class="title" x="16" y="24">How far ahead (ratio; the thick mark is the goal)</text>',
        f'<text class="dim" x="16" y="42">{escape(caption)}</text>',
    ]  # fmt: skip
    bottom = _TOP + _ROW * len(shown) + 4
    for tick in (0.01, 0.1, 1.0, 10.0):
        kind = "even" if tick == 1.0 else "axis"
        lines.append(f'<line class="{kind}" x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" y1="{_TOP - 4}" y2="{bottom}"/>')
        lines.append(f'<text class="dim" x="{_x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}x</text>')
    for place, entry in enumerate(shown):
        lines += _bar(entry, _TOP + _ROW * place)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _said(shown: Sequence[Entry]) -> str:
    if not shown:
        return "nothing is measured yet"
    met = sum(float(entry["ratio"]) >= float(entry["goal"]) for entry in shown)
    best, worst = (choose(shown, key=lambda entry: entry["ratio"] / entry["goal"]) for choose in (max, min))
    return (
        f"{met} of {len(shown)} goals are met. Furthest ahead: {best['title']}, {best['ratio']:.2f}. "
        f"Furthest behind: {worst['title']} beside {worst['peer']}, {worst['ratio']:.2f}."
    )
