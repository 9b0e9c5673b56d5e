"""The readiness report as one HTML page: no script, nothing fetched, everything from outside escaped.

It takes a drill as the API tells it, so that any kept drill can be drawn again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import cos, pi, sin
from typing import Any

_WORDS = {"red": "not ready", "amber": "ready, with gaps", "green": "ready"}
_GOOD, _FAIR = 90, 70
_BAR = 26
"""Height of one area's bar in the picture, in units of its own."""
_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b2430;--soft:#5b6674;--line:#d9dfe6;--track:#e8ecf1;
--red:#b3261e;--amber:#8f5800;--green:#1b6e3c;--note:#47607d;--bar-red:#d5443b;--bar-amber:#dd9722;--bar-green:#3b9a5f}
@media(prefers-color-scheme:dark){:root{--paper:#12171e;--ink:#e6ebf1;--soft:#a3afbd;--line:#2d3744;--track:#242d38;
--red:#ff8a80;--amber:#f3b759;--green:#7bd49b;--note:#9db8d8;--bar-red:#e0584f;--bar-amber:#d9962b;--bar-green:#43a268}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1.5rem 4rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p{margin:.3rem 0}.soft{color:var(--soft)}
svg{display:block;width:100%;height:auto;max-width:60rem}svg text{fill:var(--ink);font:14px system-ui,sans-serif}
svg .soft{fill:var(--soft)}svg .score{font-size:52px;font-weight:650}.track{fill:var(--track)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.5rem 1rem .5rem 0;border-top:1px solid var(--line)}
td{overflow-wrap:anywhere}th{font-weight:600;border-top:0;white-space:nowrap}
td small{display:block;color:var(--soft);font-size:.875rem}td ul{margin:0;padding:0;list-style:none}
.name{white-space:nowrap}.tag{font-weight:600;white-space:nowrap}.mend{width:30%;min-width:11rem}
.red{color:var(--red)}.amber{color:var(--amber)}.green{color:var(--green)}.note{color:var(--note)}
@media print{main{padding:0;max-width:none}tr{break-inside:avoid}}
"""


def page(drill: Mapping[str, Any]) -> str:
    """The whole page of a drill (`GET /drills/{id}`)."""
    kind = "in the lab" if drill["kind"] == "lab" else "of the configured estate"
    state = _state(drill["score"], drill["ready"])
    parts = [
        f"<h1>Readiness {escape(kind)}</h1>",
        f'<p class="soft">Drill {escape(drill["id"])}, {escape(_at(drill["at"]))}, held by {escape(drill["by"])}</p>',
        _picture(drill, state),
        *_compared(drill),
        "<h2>Findings</h2>",
        _findings(drill["findings"]),
        *_rows(drill),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Readiness: {drill['score']} of 100</title><style>{_STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(parts)}\n</main></body></html>\n"
    )


def _state(score: int, ready: bool) -> str:
    return "red" if not ready else "green" if score >= _GOOD else "amber"


def _at(text: str) -> str:
    """`2026-11-23T09:00:00.123456Z` as a person reads it."""
    return f"{text[:10]} {text[11:16]} UTC"


# --- the picture ------------------------------------------------------------------------------------


def _picture(drill: Mapping[str, Any], state: str) -> str:
    """The score as a dial, and beside it a bar for each area."""
    areas = drill["areas"]
    height = max(210, 24 + _BAR * len(areas) + 16)
    said = f"Score {drill['score']} of 100, {_WORDS[state]}. " + ", ".join(
        f"{area['area']} {area['points']}" for area in areas
    )
    return (
        f'<svg viewBox="0 0 860 {height}" role="img" aria-label="{escape(said)}">{_dial(drill["score"], state)}'
        + "".join(_bar(area, 20 + _BAR * index) for index, area in enumerate(areas))
        + "</svg>"
    )


def _dial(score: int, state: str) -> str:
    """A half circle of 100, filled as far as the score goes."""
    track = f'<path d="{_arc(100)}" fill="none" stroke="var(--track)" stroke-width="22"/>'
    filled = f'<path d="{_arc(score)}" fill="none" stroke="var(--bar-{state})" stroke-width="22"/>' if score else ""
    return (
        f'{track}{filled}<text x="140" y="142" text-anchor="middle" class="score">{score}</text>'
        f'<text x="140" y="168" text-anchor="middle" class="soft">of 100</text>'
        f'<text x="140" y="196" text-anchor="middle" style="font-weight:600">{_WORDS[state]}</text>'
    )


def _arc(share: int) -> str:
    """The way of the dial from its left end, over so many hundredths of the half circle."""
    angle = pi * (1 - share / 100)
    return f"M 40 150 A 100 100 0 0 1 {140 + 100 * cos(angle):.2f} {150 - 100 * sin(angle):.2f}"


def _bar(area: Mapping[str, Any], top: int) -> str:
    points = int(area["points"])
    colour = "red" if area["red"] else "amber" if area["amber"] else "green"
    found = ", ".join(f"{area[level]} {level}" for level in ("red", "amber") if area[level]) or "nothing found"
    return (
        f'<text x="300" y="{top + 13}">{escape(area["area"])}</text>'
        f'<rect class="track" x="400" y="{top}" width="240" height="16" rx="3"/>'
        f'<rect fill="var(--bar-{colour})" x="400" y="{top}" width="{2.4 * points:.1f}" height="16" rx="3"/>'
        f'<text x="676" y="{top + 13}" text-anchor="end">{points}</text>'
        f'<text x="690" y="{top + 13}" class="soft">{escape(found)}</text>'
    )


# --- tables -------------------------------------------------------------------------------------------


def _compared(drill: Mapping[str, Any]) -> list[str]:
    before = drill["compared"]
    if before is None:
        return ['<p class="soft">There is no earlier drill of this kind to compare with.</p>']
    change = drill["score"] - before["score"]
    moved = "the same score" if not change else f"the score went {'up' if change > 0 else 'down'} by {abs(change)}"
    counts = f"{len(before['new'])} new, {len(before['gone'])} gone, {len(before['still'])} still there"
    told = [f"<p>Since {escape(_at(before['at']))} (score {before['score']}): {moved}; findings: {counts}.</p>"]
    for name, word in (("new", "New"), ("gone", "Gone")):
        if before[name]:
            told.append(f'<p class="soft">{word}: {escape(", ".join(before[name]))}</p>')
    return told


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<p>Nothing was found.</p>"
    rows = (
        f'<tr><td class="tag {_level(each)}">{escape(each["severity"])}</td>'
        f'<td class="name">{escape(each["area"])}</td>'
        f"<td>{escape(each['what'])}<small>{escape(each['why'])}</small></td>"
        f'<td class="mend">{escape(each["mend"])}</td></tr>'
        for each in findings
    )
    return _table(("severity", "area", "what, and why it matters", "mend"), rows)


def _level(finding: Mapping[str, Any]) -> str:
    return finding["severity"] if finding["severity"] in ("red", "amber") else "note"


def _rows(drill: Mapping[str, Any]) -> list[str]:
    """The techniques and who is there for them, or the playbooks and how they did."""
    if not drill["rows"]:
        return []
    if drill["kind"] == "lab":
        return ["<h2>Playbooks in the lab</h2>", _practised(drill["rows"])]
    return ["<h2>Techniques</h2>", _techniques(drill["rows"])]


def _practised(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = (
        f'<tr><td class="name">{escape(row["playbook"])}</td><td class="tag {"green" if row["expected"] else "red"}">'
        f"{escape(row['status'])}</td><td>{row['seconds']:.1f}</td><td>{escape(', '.join(row['phases']))}</td>"
        f"<td>{_list(row['stands'])}<small>{escape(row['reason'])}</small></td></tr>"
        for row in rows
    )
    return _table(("playbook", "ended", "seconds", "phases", "still contained at the end"), cells)


def _list(names: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in names)}</ul>" if names else "nothing"


def _techniques(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = (
        f"<tr><td>{escape(row['technique'])}</td><td>{int(row['alerts'])}</td>"
        + (
            f"<td>{escape(', '.join(row['playbooks']))}</td></tr>"
            if row["playbooks"]
            else '<td class="tag amber">none</td></tr>'
        )
        for row in rows
    )
    return _table(("technique", "alerts lately", "playbooks that would run"), cells)


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
