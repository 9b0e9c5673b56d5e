"""`soar incident`: what is going on, and what is said and decided about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import say
from api.cli.output import Output

app = typer.Typer(help="Incidents and their timelines.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, or its number as INC-7.")]
_LINE = ("name", "severity", "status", "determination", "opened_at", "title")
_PARTS = {
    "scope": ("kind", "name", "status", "resolved_by", "as_of", "addresses", "tags"),
    "observables": ("type", "value", "verdict", "confidence", "judged_by"),
    "alerts": ("source", "severity", "count", "last_seen", "title", "joined_why"),
    "runs": ("id", "playbook", "status", "started_by", "started_at", "reason"),
    "proposals": ("playbook", "why", "at"),
    "tasks": ("id", "kind", "status", "due_at", "text"),
}
_STAYS = ("lane", "phase", "entered", "left", "seconds", "moved_by", "why", "late")


class Determination(StrEnum):
    """What an incident can be held to be (STIX 2.1 Incident Core extension)."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    FALSE_POSITIVE = "false-positive"
    BLOCKED = "blocked"
    FAILED_ATTEMPT = "failed-attempt"


@app.command("list")
def list_(form: Output = None, key_file: KeyFile = None) -> None:
    """All incidents, the newest first."""
    output.rows(Server(key_file).items("/incidents"), _LINE, form)


@app.command()
def show(incident: Id, form: Output = None, key_file: KeyFile = None) -> None:
    """One incident with its scope, observables, alerts, runs, proposals and tasks."""
    output.record(Server(key_file).get(path("incidents", incident)), form, tables=_PARTS)


@app.command()
def timeline(
    incident: Id,
    chart: Annotated[bool, typer.Option("--chart", help="Draw the lanes as bars instead.")] = False,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """The phase timeline: which phase each lane was in, since when, and what moved it."""
    found = Server(key_file).get(path("incidents", incident, "timeline"))
    if chart:
        from rich.console import Console

        from api.cli.chart import chart as drawn

        console = Console()
        console.print(drawn(found, console.width))
        return
    output.rows(found["rows"], _STAYS, form, whole=found)


@app.command()
def note(
    incident: Id, text: Annotated[str, typer.Argument(help="What to remember.")], key_file: KeyFile = None
) -> None:
    """Write a note onto the incident."""
    Server(key_file).post(path("incidents", incident, "notes"), {"text": text})
    say("noted")


@app.command()
def determine(
    incident: Id, what: Determination, reason: Annotated[str, typer.Option(help="Why it is held to be that.")],
    form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Say what the incident is held to be."""
    body = {"determination": what.value, "reason": reason}
    output.record(Server(key_file).post(path("incidents", incident, "determine"), body), form, tables=_PARTS)


@app.command()
def declare(
    incident: Id, why: Annotated[str, typer.Option(help="Why it is one.")],
    form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Declare it to be an incident."""
    output.record(Server(key_file).post(path("incidents", incident, "declare"), {"why": why}), form, tables=_PARTS)


@app.command()
def close(
    incident: Id, resolution: Annotated[str, typer.Option(help="How it ended.")],
    form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Close the incident; each of its containments must have been decided on."""
    body = {"resolution": resolution}
    output.record(Server(key_file).post(path("incidents", incident, "close"), body), form, tables=_PARTS)
