"""`soar run`: plan a playbook, start it, watch it, cancel it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, pairs, path
from api.cli.exits import Exit, TimedOut, say
from api.cli.output import Format, Output

app = typer.Typer(help="Runs of playbooks: plan, start, show, watch, cancel.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
Incident = Annotated[str, typer.Argument(help="Its id, or its number as INC-7.")]
Playbook = Annotated[str, typer.Argument(help="The playbook's short name.")]
Input = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="A variable; JSON, or else text. Repeatable.")
]
_PARTS = {
    "steps": ("step", "status", "attempt", "occurrence", "reason"),
    "actions": ("id", "step", "verb", "target_name", "adapter", "state", "summary"),
}
_POLL_SECONDS = 0.5


@app.command()
def plan(
    incident: Incident, playbook: Playbook, given: Input = None, form: Output = None, key_file: KeyFile = None
) -> None:
    """What the playbook would do: every target, its state now, each guard's verdict, the undo. Changes nothing."""
    body = {"playbook": playbook, "inputs": pairs(given or [])}
    found = Server(key_file).post(path("incidents", incident, "plan"), body)
    if output.chosen(form) is Format.TABLE:
        from rich.console import Console

        from api.cli.plan_tree import tree

        Console().print(tree(found))
        return
    output.rows(found["steps"], ("step",), form, whole=found)


@app.command()
def start(
    incident: Incident, playbook: Playbook, reason: Annotated[str, typer.Option(help="Why it is started.")],
    given: Input = None, form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Start a run."""
    body = {"playbook": playbook, "inputs": pairs(given or []), "reason": reason}
    output.record(Server(key_file).post(path("incidents", incident, "runs"), body), form, tables=_PARTS)


@app.command()
def show(run: Id, form: Output = None, key_file: KeyFile = None) -> None:
    """One run with its steps and actions."""
    output.record(Server(key_file).get(path("runs", run)), form, tables=_PARTS)


@app.command()
def watch(
    run: Id,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most; 0 waits on.")] = 0.0,
    exit_status: Annotated[bool, typer.Option("--exit-status", help="End with 1 or 9 unless it succeeded.")] = False,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Follow a run until it ends: changes on standard error, the ended run on standard output."""
    server = Server(key_file)
    ends = time.monotonic() + timeout if timeout else None
    told: dict[str, str] = {}
    while True:
        found = server.get(path("runs", run))
        _tell_changes(found, told)
        if found["status"] != "running":
            break
        if ends is not None and time.monotonic() >= ends:
            raise TimedOut(f"after {timeout:g} s the run is still {found['status']}")
        time.sleep(_POLL_SECONDS)
    output.record(found, form, tables=_PARTS)
    if exit_status:
        raise typer.Exit(_end(found))


@app.command()
def cancel(
    run: Id, reason: Annotated[str, typer.Option(help="Why it must end.")],
    form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """End a run. What it has contained stays contained and is listed."""
    output.record(Server(key_file).post(path("runs", run, "cancel"), {"reason": reason}), form, tables=_PARTS)


def _end(found: Mapping[str, Any]) -> Exit:
    """The exit code of an ended run: partly done where it succeeded and a step of it only partly."""
    if found["status"] != "succeeded":
        return Exit.FAILED
    return Exit.PARTLY if any(step["status"] == "partial" for step in found["steps"]) else Exit.OK


def _tell_changes(found: Mapping[str, Any], told: dict[str, str]) -> None:
    """Say what is new since the last look: steps, actions, the run itself."""
    now = {f"step {each['step']} {each['occurrence']}": each["status"] for each in found["steps"]}
    now |= {f"  {each['verb']} on {each['target_name']} [{each['id']}]": each["state"] for each in found["actions"]}
    now[f"run {found['id']}"] = found["status"]
    for what, status in now.items():
        if told.get(what) != status:
            say(f"{what}: {status}")
    told.update(now)
