"""`soar approval`: see what is asked, and vote on exactly that."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import say
from api.cli.output import Output
from soar.errors import Conflict

app = typer.Typer(help="Approvals: list, show, approve, deny.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="APPROVAL", help="The approval's id.")]
Reason = Annotated[str, typer.Option(help="Why you vote so.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again on a terminal.")]
Digest = Annotated[str, typer.Option(help="Vote only if this is still the digest of what is asked.")]
_LINE = ("id", "status", "required", "any_of", "asked_by", "expires_at", "subject")
_PARTS = {
    "actions": ("verb", "target_name", "target", "adapter", "params", "state", "now", "undo"),
    "votes": ("name", "decision", "reason", "at", "counts", "why_not"),
}


@app.command("list")
def list_(
    status: Annotated[str, typer.Option(help="Those with this status; an empty one lists all.")] = "open",
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Approvals that wait for a vote."""
    output.rows(Server(key_file).items("/approvals", status=status or None), _LINE, form)


@app.command()
def show(approval: Id, form: Output = None, key_file: KeyFile = None) -> None:
    """One approval: what is asked, and who has said what."""
    output.record(Server(key_file).get(path("approvals", approval)), form, tables=_PARTS)


@app.command()
def approve(
    approval: Id, reason: Reason, yes: Yes = False, digest: Digest = "", form: Output = None, key_file: KeyFile = None
) -> None:
    """Show what is asked, then approve exactly that."""
    _vote(approval, "approve", reason, digest, form, Server(key_file), ask=not yes)


@app.command()
def deny(
    approval: Id, reason: Reason, yes: Yes = False, digest: Digest = "", form: Output = None, key_file: KeyFile = None
) -> None:
    """Show what is asked, then deny exactly that."""
    _vote(approval, "deny", reason, digest, form, Server(key_file), ask=not yes)


def _vote(approval: str, decision: str, reason: str, digest: str, form: Output, server: Server, *, ask: bool) -> None:
    """Vote with the digest of what was shown a moment ago: if it has changed since, the server refuses."""
    found = server.get(path("approvals", approval))
    _say_what(found)
    if digest and digest != found["digest"]:
        raise Conflict("this approval is for something else than the digest that you named")
    if ask and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm(f"{decision.capitalize()} exactly this?", abort=True, err=True)
    body = {"decision": decision, "reason": reason, "digest": found["digest"]}
    output.record(server.post(path("approvals", approval, "votes"), body), form, tables=_PARTS)


def _say_what(found: Mapping[str, Any]) -> None:
    say(f"asked: {output.shown(found['subject'])}")
    for each in found["actions"]:
        say(
            f"  {output.shown(each['verb'])} on {output.shown(each['target_name'])} ({output.shown(each['target'])}) "
            f"through {output.shown(each['adapter'])}, {output.shown(each['params'])}"
        )
    say(f"digest: {output.shown(found['digest'])}")
