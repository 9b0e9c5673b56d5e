"""`soar adapter`, `soar person`, `soar switch`: what the house is connected to, who may act, what is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import say
from api.cli.output import Output

adapter = typer.Typer(help="Connected systems: list.", no_args_is_help=True)
person = typer.Typer(help="Persons and their keys: list, add, key, revoke.", no_args_is_help=True)
switch = typer.Typer(help="Kill switches: list, set, clear.", no_args_is_help=True)
Switch = Annotated[str, typer.Argument(metavar="NAME", help="'*' for everything, adapter:NAME or verb:NAME.")]


@adapter.command("list")
def list_adapters(form: Output = None, key_file: KeyFile = None) -> None:
    """Connected systems: what each can do, what is wrong with it now, and modules that failed to load."""
    found = Server(key_file).get("/adapters")
    for failure in found["failures"]:
        say(f"failed to load: {failure['module']}: {failure['reason']}")
    output.rows(found["adapters"], ("name", "kind", "verbs", "problems"), form, whole=found)


@person.command("list")
def list_persons(form: Output = None, key_file: KeyFile = None) -> None:
    """Everybody, with roles and keys (never their secrets)."""
    output.rows(Server(key_file).items("/people"), ("id", "name", "active", "roles", "keys"), form)


@person.command()
def add(
    name: Annotated[str, typer.Argument(help="The person's name, unique here.")],
    role: Annotated[list[str] | None, typer.Option(help="A role to give. Repeatable.")] = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Add a person with roles."""
    output.record(Server(key_file).post("/people", {"name": name, "roles": role or []}), form)


@person.command()
def key(
    person_id: Annotated[str, typer.Argument(metavar="PERSON", help="The person's id.")],
    days: Annotated[int | None, typer.Option(min=1, help="How many days it is good for.")] = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Issue a key for a person. It is shown this once."""
    body = {} if days is None else {"days": days}
    output.record(Server(key_file).post(path("people", person_id, "keys"), body), form)


@person.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, not its secret.")],
    key_file: KeyFile = None,
) -> None:
    """End a key at once."""
    Server(key_file).post(path("keys", key_id, "revoke"), {})
    say("revoked")


@switch.command("list")
def list_switches(form: Output = None, key_file: KeyFile = None) -> None:
    """The switches that are on."""
    output.rows(Server(key_file).items("/switches"), ("name", "reason", "set_by", "set_at"), form)


@switch.command("set")
def set_switch(
    name: Switch,
    reason: Annotated[str, typer.Option(help="Why all this must stop.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Stop everything, an adapter, or a verb: nothing is sent from now on."""
    found = Server(key_file).put(path("switches", name), {"reason": reason})
    say(f"{name} is stopped")
    if found is not None:
        output.record(found, form)


@switch.command()
def clear(name: Switch, key_file: KeyFile = None) -> None:
    """Let it go on."""
    Server(key_file).delete(path("switches", name))
    say(f"{name} may go on")
