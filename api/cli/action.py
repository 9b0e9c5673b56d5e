"""`soar action` and `soar register`: what was done to targets, and what stands there now."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, path
from api.cli.output import Output
from soar.playbook import durations

app = typer.Typer(help="Actions on targets: list, show, renew, release, resolve.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ACTION", help="The action's id.")]
_LINE = ("id", "verb", "target_name", "adapter", "state", "called_at", "verified_at", "summary")
_PARTS = {
    "guards": ("guard", "verdict", "reason"),
    "holds": ("owner", "reason", "placed_at", "review_at", "overdue", "ended_at"),
}
_STANDING = (
    "id", "verb", "target", "adapter", "state", "since", "verified_at", "expires_at", "disposition", "owners",
    "summary", "answers",
)  # fmt: skip


class Ground(StrEnum):
    """Why a hold ends. Only *recovered* counts as recovery."""

    RECOVERED = "recovered"
    MISTAKEN = "mistaken"
    SUPERSEDED = "superseded"
    ROLLBACK = "rollback"


class Happened(StrEnum):
    """What became of an action in doubt."""

    YES = "yes"
    NO = "no"
    REPEAT = "repeat"


class Disposition(StrEnum):
    """How a containment ends when its incident does, unless it was released."""

    KEPT_TO_DATE = "kept_to_date"
    HANDED_OVER = "handed_over"
    DESTROYED = "destroyed"
    TARGET_GONE = "target_gone"


@app.command("list")
def list_(
    incident: Annotated[str | None, typer.Option(help="Only those of this incident.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as in_doubt.")] = None,
    standing: Annotated[bool, typer.Option("--standing", help="Only those whose effect stands.")] = False,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Actions, the newest first."""
    wanted = {"incident": incident, "state": state, "standing": "true" if standing else None}
    output.rows(Server(key_file).items("/actions", **wanted), _LINE, form)


@app.command()
def show(action: Id, form: Output = None, key_file: KeyFile = None) -> None:
    """One action: parameters, prior state, guards, outcome, undo and holds."""
    output.record(Server(key_file).get(path("actions", action)), form, tables=_PARTS)


@app.command()
def release(
    action: Id,
    reason: Annotated[Ground, typer.Option(help="The ground; only recovered counts as recovery.")],
    why: Annotated[str, typer.Option(help="In words, for the record.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Begin to take an action back, through the release gate; a second person approves."""
    body = {"reason": reason.value, "why": why}
    output.record(Server(key_file).post(path("actions", action, "release"), body), form)


@app.command()
def renew(
    action: Id,
    keep: Annotated[str, typer.Option("--for", help="How long from now on, as in 4h or 7d.")],
    why: Annotated[str, typer.Option(help="In words, for the record.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Keep a containment for longer: a new review date, or a new lease at the target."""
    body = {"seconds": durations.seconds(keep), "why": why}
    output.record(Server(key_file).post(path("actions", action, "renew"), body), form)


@app.command()
def resolve(
    action: Id,
    happened: Annotated[Happened, typer.Option(help="It happened, it did not, or do it again.")],
    reason: Annotated[str, typer.Option(help="How you know.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Say what became of an action whose outcome is in doubt."""
    body = {"happened": happened.value, "reason": reason}
    output.record(Server(key_file).post(path("actions", action, "resolve"), body), form, tables=_PARTS)


register = typer.Typer(
    help="What is contained now, by whom, until when.",
    invoke_without_command=True,
)


@register.callback()
def standing(
    context: typer.Context,
    incident: Annotated[str | None, typer.Option(help="Only what this incident holds.")] = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """What is contained now: since when, by whom, until when, and when it was last seen to be true."""
    if context.invoked_subcommand is not None:
        return
    found = Server(key_file).items("/register", incident=incident)
    for each in found:
        each["owners"] = [hold["owner"] for hold in each["holds"] if hold["ended_at"] is None]
    output.rows(found, _STANDING, form)


@register.command()
def check(
    effect: Annotated[str | None, typer.Argument(help="The id that the register shows; without it, all.")] = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Ask the targets now whether what the register says is still true; the register shows the answers."""
    output.record(Server(key_file).post(path("register", "check"), {"effect": effect}), form)


@register.command()
def dispose(
    effect: Annotated[str, typer.Argument(help="The id that the register shows.")],
    disposition: Disposition,
    why: Annotated[str, typer.Option(help="For the record.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Decide how a containment ends with its incident."""
    body = {"disposition": disposition.value, "why": why}
    output.record(Server(key_file).post(path("effects", effect, "disposition"), body), form)
