"""`soar playbook picture`, `diff` and `plan`: a playbook as a reviewer sees it, before anybody runs it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import clean, output
from api.cli.client import KeyFile, Server, pairs, path
from api.cli.exits import Exit, say
from api.cli.output import Format, Output

Named = Annotated[
    str, typer.Argument(metavar="PLAYBOOK", help="A file, YAML or CACAO 2.0 as .json; or slug[@digest] of the server.")
]
_MARKS = {"loosened": "! ", "tightened": "+ ", "": "  "}


def picture(
    playbook: Named,
    to: Annotated[Path | None, typer.Option("-o", "--output", help="File to write. [default: standard output]")] = None,
    run: Annotated[str | None, typer.Option(help="Colour the steps by how far this run of the server is.")] = None,
    key_file: KeyFile = None,
) -> None:
    """Draw a playbook as SVG: every step, who is asked, what happens on failure."""
    from api.cli.playbook_files import read
    from soar.playbook.pictures.picture import picture as drawn

    statuses = None
    if run is not None:
        steps = Server(key_file).get(path("runs", run))["steps"]
        statuses = {str(each["occurrence"]): str(each["status"]) for each in steps}
    said = drawn(read(playbook, key_file), statuses)
    if to is None:
        output.write(said)
    else:
        to.write_text(said, encoding="utf-8")
        say(f"{to} written, {len(said.encode())} bytes")


def diff(
    old: Annotated[str, typer.Argument(help="A file, or slug[@digest] of the server.")],
    new: Annotated[str, typer.Argument(help="The newer version, likewise.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """What changed between two versions of a playbook, in words, what acts first. `!` loosens a guard, `+` tightens.

    Ends with 0 where they are the same, with 1 where they differ.
    """
    from api.cli.playbook_files import read
    from soar.playbook.compare.diff import changes

    found = changes(read(old, key_file), read(new, key_file))
    rows: list[dict[str, Any]] = [
        {
            "group": each.group, "code": each.code, "step": each.step, "guard": each.guard, "message": each.message,
            "before": each.before, "after": each.after,
        }
        for each in found
    ]  # fmt: skip
    if form in (None, Format.TABLE):
        _tell(rows)
    else:
        output.rows(rows, ("group", "guard", "message"), form)
    if found:
        raise typer.Exit(Exit.FAILED)


def _tell(rows: list[dict[str, Any]]) -> None:
    """The changes under the headings of their groups."""
    from soar.playbook.compare.diff import GROUPS

    for number, (group, changed) in enumerate(groupby(rows, key=lambda row: row["group"])):
        output.write(f"{chr(10) if number else ''}{GROUPS[group]}\n")
        for row in changed:
            output.write(f"{_MARKS[row['guard']]}{clean.line(row['message'])}\n")
    loosened = sum(row["guard"] == "loosened" for row in rows)
    tightened = sum(row["guard"] == "tightened" for row in rows)
    say(f"{len(rows)} change(s), {loosened} loosen a guard, {tightened} tighten one" if rows else "no change")


def plan(
    file: Named,
    incident: Annotated[str, typer.Option(help="The incident's id, or its number as INC-7.")],
    given: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="A variable; JSON, or else text. Repeatable."),
    ] = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """What a playbook in a file would do now on an incident, though the server does not have it. Changes nothing."""
    from api.cli.plan_tree import write
    from api.cli.playbook_files import read
    from soar.playbook.document import to_document

    body = {"document": to_document(read(file, key_file)), "inputs": pairs(given or [])}
    found = Server(key_file).post(path("incidents", incident, "plan"), body)
    write(found, form)


def page(named: Named, key_file: KeyFile = None) -> None:
    """Write a playbook as a page in Markdown: when it fits, what it does, who decides, what stays."""
    from api.cli.playbook_files import read
    from soar.playbook.page import page as written

    output.write(written(read(named, key_file)))
