"""What was measured, told: a table on standard output, `build/bench.json`, and the page in docs/."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.result import Result

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "build" / "bench.json"
QUICK = FILE.with_name("bench-quick.json")
"""Where a quick look is kept: too short for the pages."""
Entry = Mapping[str, Any]
_HEADS = ("What", "Beside", "Ours", "Theirs", "Unit", "Ratio", "Goal", "")


def machine() -> str:
    """The machine in a few words: cores, system, Python."""
    system = platform.freedesktop_os_release() if sys.platform.startswith("linux") else {}
    name = f"{system.get('NAME', platform.system()).removesuffix(' GNU/Linux')} {system.get('VERSION_ID', '')}".strip()
    return f"{os.cpu_count()} cores, {name}, Python {sys.version_info.major}.{sys.version_info.minor}"


def number(value: float | None) -> str:
    """A figure as the table shows it: three digits that count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def mark(entry: Entry) -> str:
    """Whether the goal is reached, in a word."""
    if entry["ratio"] is None:
        return "not measured"
    if entry["goal"] is None:
        return ""
    return "met" if entry["ratio"] >= entry["goal"] else "missed"


def cells(entry: Entry) -> tuple[str, ...]:
    """One entry as the cells of a table."""
    goal, ratio = entry["goal"], entry["ratio"]
    return (
        entry["title"], entry["peer"], number(entry["ours"]), number(entry["theirs"]), entry["unit"],
        "-" if ratio is None else f"{ratio:.2f}", "-" if goal is None else f"{goal:g}", mark(entry),
    )  # fmt: skip


def table(entries: Sequence[Entry]) -> str:
    """The table as text, columns in line."""
    rows = [_HEADS, *(cells(entry) for entry in entries)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"{entry['title']} / {entry['peer']}: {entry['note']}" for entry in entries if entry["note"]]
    return "\n".join([*lines, "", *notes])


def beside_table(entries: Sequence[Entry]) -> str:
    """Processor time and memory as text, for the entries that have them."""
    lines = []
    for each in entries:
        if each["ours_cpu"] or each["theirs_cpu"]:
            cpu = f"{number(each['ours_cpu'])} / {number(each['theirs_cpu'])} ms"
            lines.append(
                f"{each['title']} / {each['peer']}: {cpu}, {number(each['ours_mb'])} / {number(each['theirs_mb'])} MB"
            )
    return "\n".join(["Processor time for each unit of work and peak memory, ours / theirs:", *lines])


def save(results: Sequence[Result], file: Path) -> list[dict[str, Any]]:
    """Write the results, replacing entries of the same id and keeping the others; returns all."""
    today = datetime.now(UTC).date().isoformat()
    kept = {entry["id"]: entry for entry in load(file)}
    kept |= {result.id: result.plain(today) for result in results}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(list(kept.values()), indent=1) + "\n", encoding="utf-8")
    return list(kept.values())


def load(file: Path = FILE) -> list[dict[str, Any]]:
    """The entries that were written last; [] when there are none."""
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return found


def markdown(entries: Sequence[Entry]) -> str:
    """The table for the page."""
    rows = [cells(entry) for entry in entries]
    lines = [f"| {' | '.join(_HEADS[:-1])} | Result |", "|---|---|---:|---:|---|---:|---:|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    notes = list(
        dict.fromkeys(f"- {each['title']}, beside {each['peer']}: {each['note']}." for each in entries if each["note"])
    )
    days = sorted({entry["measured"] for entry in entries})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return "\n".join([f"Measured {when} on {machine()}.", "", *lines, *(["", *notes] if notes else [])])


def fill_in(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a page; raises ValueError without them."""
    before, opened, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->")
    _, closed, after = rest.partition(f"<!-- /{name} -->")
    if not opened or not closed:
        raise ValueError(f"{page.name} has no place for {name}")
    page.write_text(f"{before}{opened}\n{text.strip()}\n{closed}{after}", encoding="utf-8")
