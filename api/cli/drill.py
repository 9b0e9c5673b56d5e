"""`soar drill`: is this house ready? Looks at the configured estate by reading only, or runs the library in a lab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import Exit, say
from api.cli.output import Format, Output
from soar.errors import Unavailable

app = typer.Typer(help="Drills: is this house ready? Without a command a drill is held.", invoke_without_command=True)
LONGEST = 1800.0
"""Seconds that a drill in the lab may take."""
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page, too.")]
_LINE = ("id", "kind", "at", "by", "score", "ready")
_AREA = ("area", "points", "weight", "red", "amber")
_FINDING = ("severity", "area", "what", "mend")
_PRACTISED = ("playbook", "expected", "status", "seconds", "phases", "stands", "reason")
_TECHNIQUE = ("technique", "alerts", "playbooks")


@app.callback()
def drill(
    context: typer.Context,
    lab: Annotated[bool, typer.Option("--lab", help="Run every playbook in a simulated estate instead.")] = False,
    html: Html = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Hold a drill, and keep it. Ends with 1 when something red was found."""
    if context.invoked_subcommand is not None:
        return
    found = Server(key_file, LONGEST).post("/drills", {"kind": "lab" if lab else "estate"})
    _told(found, form, html)
    if not found["ready"]:
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def list_(form: Output = None, key_file: KeyFile = None) -> None:
    """The drills that were held, newest first."""
    output.rows(Server(key_file).items("/drills"), _LINE, form)


@app.command()
def show(
    drill_id: Annotated[str, typer.Argument(metavar="DRILL", help="The drill's id.")],
    html: Html = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """One drill: the score, what was found, and what has changed since the one before."""
    _told(Server(key_file).get(path("drills", drill_id)), form, html)


def _told(found: Mapping[str, Any], form: Format | None, html: Path | None) -> None:
    """Data on standard output; what has changed and the page on the side."""
    if output.chosen(form) is Format.TABLE:
        rows = _PRACTISED if found["kind"] == "lab" else _TECHNIQUE
        shown = {name: value for name, value in found.items() if name != "compared"}
        output.record(shown, form, tables={"areas": _AREA, "findings": _FINDING, "rows": rows})
    else:
        output.record(found, form)
    before = found["compared"]
    if before is None:
        say(f"score {found['score']}; there is no earlier drill of this kind")
    else:
        changes = ", ".join(f"{len(before[name])} {word}" for name, word in _CHANGES.items())
        say(f"score {found['score']}, before {before['score']}; findings: {changes}")
    if html is not None:
        from api.drill.page import page

        try:
            html.write_text(page(found), encoding="utf-8")
        except OSError as error:
            raise Unavailable(f"{html} cannot be written: {error.strerror}") from error
        say(f"the page is {html}")


_CHANGES = {"new": "new", "gone": "gone", "still": "still there"}
