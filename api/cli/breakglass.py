"""`soar breakglass`: two persons let soft guards yield for an hour, in one incident."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import say
from api.cli.output import Output

app = typer.Typer(help="Break-glass: list, ask, approve, deny, end.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="BREAKGLASS", help="The id that `ask` gave.")]
Reason = Annotated[str, typer.Option(help="Why.")]
_LINE = ("id", "incident_id", "status", "asked_by", "approved_by", "expires_at", "reason")


@app.command("list")
def list_(
    incident: Annotated[str, typer.Option(help="Only of this incident.")] = "",
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """What is asked for, what is open, and what has been."""
    output.rows(Server(key_file).items("/break-glass", incident=incident or None), _LINE, form)


@app.command()
def ask(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, by id or as INC-7.")],
    reason: Reason,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Ask for it; nothing yields until a second person approves."""
    found = Server(key_file).post("/break-glass", {"incident": incident, "reason": reason})
    say("asked; a second person must approve within 15 minutes, and one of the two is a commander")
    output.record(found, form)


@app.command()
def approve(glass: Id, reason: Reason, form: Output = None, key_file: KeyFile = None) -> None:
    """Let soft guards yield in this incident for 60 minutes."""
    _post(glass, "approve", reason, form, key_file)


@app.command()
def deny(glass: Id, reason: Reason, form: Output = None, key_file: KeyFile = None) -> None:
    """Say no."""
    _post(glass, "deny", reason, form, key_file)


@app.command()
def end(glass: Id, reason: Reason, form: Output = None, key_file: KeyFile = None) -> None:
    """End it before its time is over."""
    _post(glass, "end", reason, form, key_file)


def _post(glass: str, verb: str, reason: str, form: Output, key_file: KeyFile) -> None:
    output.record(Server(key_file).post(path("break-glass", glass, verb), {"reason": reason}), form)
