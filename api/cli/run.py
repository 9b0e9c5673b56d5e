"""`soar run`: plan a playbook, start it, watch it; pause, resume, cancel, retry a run, skip a step of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, pairs, path
from api.cli.exits import Exit, TimedOut, say
from api.cli.output import Format, Output

app = typer.Typer(
    help="Runs of playbooks: plan, start, show, watch; pause, resume, cancel, retry, skip.", no_args_is_help=True
)
Id = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
Incident = Annotated[str, typer.Argument(help="Its id, or its number as INC-7.")]
Playbook = Annotated[str, typer.Argument(help="The playbook's short name.")]
Input = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="A variable; JSON, or else text. Repeatable.")
]
_PARTS = {
    "steps": ("step", "status", "attempt", "held", "occurrence", "reason"),
    "actions": ("id", "step", "verb", "target_name", "adapter", "state", "summary"),
    "stands": ("id", "verb", "target", "adapter", "state", "since", "expires_at", "decide"),
}
_UNDER_WAY = ("running", "paused")
_POLL_SECONDS = 0.5


@app.command()
def plan(
    incident: Incident, playbook: Playbook, given: Input = None, form: Output = None, key_file: KeyFile = None
) -> None:
    """What the playbook would do: every target, its state now, each guard's verdict, the undo. Changes nothing."""
    from api.cli.plan_tree import write

    body = {"playbook": playbook, "inputs": pairs(given or [])}
    found = Server(key_file).post(path("incidents", incident, "plan"), body)
    write(found, form)


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
        if found["status"] not in _UNDER_WAY:
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
    """End a run. What it has contained stays contained; it is listed, with what must be decided about it."""
    _control(run, "cancel", {"reason": reason}, form, key_file)


@app.command()
def pause(
    run: Id, reason: Annotated[str, typer.Option(help="Why it must wait.")],
    form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Send nothing new until the run is resumed. What was sent comes to its outcome; leases and deadlines run on."""
    _control(run, "pause", {"reason": reason}, form, key_file)


@app.command()
def resume(
    run: Id, reason: Annotated[str, typer.Option(help="Why it may go on.")],
    form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Let a paused run go on: what was held is done now."""
    _control(run, "resume", {"reason": reason}, form, key_file)


@app.command()
def retry(
    run: Id, reason: Annotated[str, typer.Option(help="Why it should work now.")],
    occurrence: Annotated[str | None, typer.Option(help="Only here; without it, wherever the run broke.")] = None,
    form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Try a failed run again where it broke. What succeeded stays done."""
    _control(run, "retry", {"reason": reason, "occurrence": occurrence}, form, key_file)


@app.command()
def skip(
    run: Id, occurrence: Annotated[str, typer.Argument(help="The step's occurrence, as `soar run show` tells it.")],
    reason: Annotated[str, typer.Option(help="Why it is not needed.")], form: Output = None, key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Pass over a step: the run goes on as if it had succeeded."""
    _control(run, "skip", {"reason": reason, "occurrence": occurrence}, form, key_file)


def _control(run: str, what: str, body: Mapping[str, Any], form: Format | None, key_file: Path | None) -> None:
    output.record(Server(key_file).post(path("runs", run, what), body), form, tables=_PARTS)


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
