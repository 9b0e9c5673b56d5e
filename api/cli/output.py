"""Writes data to standard output as a table, JSON, JSON lines, YAML or CSV.

Without `-o`, a person at a terminal gets a table and a program gets JSON. Every value is cleaned of
what a terminal or a spreadsheet would obey. JSON, YAML and JSON lines hold all members, and so does
CSV (nested ones as JSON); a table shows the columns that a person wants.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from api.cli import clean

Row = Mapping[str, Any]


_PIPE_WIDTH = 240


class Format(StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"


Output = Annotated[
    Format | None,
    typer.Option("-o", "--output", help="How to write data. [default: table on a terminal, else json]"),
]
"""The option that every command with data has."""


def chosen(output: Format | None) -> Format:
    """The format asked for, or the one that fits who reads."""
    return output or (Format.TABLE if sys.stdout.isatty() else Format.JSON)


def rows(found: Sequence[Row], columns: Sequence[str], output: Format | None, *, whole: Any = None) -> None:
    """Write a list. `columns` are a table's; `whole` is what JSON and YAML hold instead of the rows."""
    form = chosen(output)
    if form is Format.TABLE:
        _table(found, columns)
    elif form is Format.CSV:
        write(_csv(found, columns))
    elif form is Format.JSONL:
        write("".join(f"{_json(each)}\n" for each in found))
    else:
        _document(list(found) if whole is None else whole, form)


def record(found: Row, output: Format | None, *, tables: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write one object. A table has a line for each member; the members named in `tables` follow as tables."""
    form = chosen(output)
    if form is Format.CSV:
        write(_csv([found], list(found)))
    elif form is Format.JSONL:
        write(f"{_json(found)}\n")
    elif form is not Format.TABLE:
        _document(found, form)
    else:
        nested = tables or {}
        members = [{"name": name, "value": value} for name, value in found.items() if name not in nested]
        _table(members, ("name", "value"), header=False)
        for name, columns in nested.items():
            if found.get(name):
                write(f"\n{clean.line(name)}\n")
                _table(found[name], columns)


def write(said: str) -> None:
    """Text that is clean already, to standard output."""
    sys.stdout.write(said)


def shown(value: Any) -> str:
    """A value as a table's cell: one line, nothing for null, times without what no eye needs."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return str(round(value, 1))
    if isinstance(value, str):
        return _moment(clean.line(value))
    if isinstance(value, list | tuple) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(shown(each) for each in value)
    if isinstance(value, Mapping | list | tuple):
        return clean.line(_json(value))
    return str(value)


def _moment(said: str) -> str:
    """`2026-11-23T09:00:00.123456Z` as `2026-11-23 09:00:00Z`; any other text as it is."""
    if len(said) == 27 and said[10] == "T" and said[19] == "." and said[-1] == "Z":
        return f"{said[:10]} {said[11:19]}Z"
    return said


def _table(found: Iterable[Row], columns: Sequence[str], *, header: bool = True) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=header, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    for each in found:
        table.add_row(*(Text(shown(each.get(name))) for name in columns))
    # What is read by a program through a pipe must not be folded to the width of no terminal.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def _csv(found: Sequence[Row], columns: Sequence[str]) -> str:
    names = list(dict.fromkeys([*(name for each in found for name in each)])) or list(columns)
    said = io.StringIO()
    writer = csv.writer(said, lineterminator="\n")
    writer.writerow([clean.cell(name) for name in names])
    writer.writerows([_cell(each.get(name)) for name in names] for each in found)
    return said.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return clean.cell(value)
    return _json(value) if isinstance(value, Mapping | list | tuple | bool) else value


def _json(value: Any) -> str:
    return json.dumps(clean.plain(value), ensure_ascii=False)


def _document(value: Any, form: Format) -> None:
    if form is Format.YAML:
        import yaml

        write(yaml.safe_dump(clean.plain(value), allow_unicode=True, sort_keys=False))
    else:
        write(json.dumps(clean.plain(value), ensure_ascii=False, indent=2) + "\n")
