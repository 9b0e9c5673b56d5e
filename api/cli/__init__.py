"""The command line `soar`: noun, then verb. Data on standard output, messages on standard error.

Heavy libraries are imported inside the commands, so that `soar --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from api.cli import (
    action,
    approval,
    audit,
    breakglass,
    doctor,
    drill,
    evidence,
    house,
    incident,
    openc2,
    playbook,
    playbook_review,
    record,
    rehearse,
    run,
    server,
    signing,
    task,
)
from api.cli.exits import MEANINGS, guarded

_EPILOG = "\n".join(
    (
        "\b",
        "Exit codes, the same for every command:",
        *(f"  {int(code)}  {meaning}" for code, meaning in MEANINGS.items()),
        "",
        "\b",
        "Commands that need the server ask the one that SOAR_URL names",
        "(default http://127.0.0.1:8080), with the key in SOAR_KEY or --key-file.",
        "NO_COLOR turns colours off.",
    )
)

app = typer.Typer(
    name="soar", help="Security incident response: playbooks that contain, prove what they did, and can be undone.",
    epilog=_EPILOG, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
for _command in (server.demo, server.serve, server.worker, server.lab, doctor.doctor):
    app.command()(_command)
for _signature in (signing.sign, signing.verify):
    playbook.app.command()(_signature)
for _review in (playbook_review.picture, playbook_review.page, playbook_review.diff, playbook_review.plan):
    playbook.app.command()(_review)
for _name, _group in (
    ("incident", incident.app),
    ("run", run.app),
    ("approval", approval.app),
    ("action", action.app),
    ("register", action.register),
    ("task", task.app),
    ("evidence", evidence.app),
    ("audit", audit.app),
    ("drill", drill.app),
    ("playbook", playbook.app),
    ("openc2", openc2.app),
    ("adapter", house.adapter),
    ("person", house.person),
    ("switch", house.switch),
    ("breakglass", breakglass.app),
    ("db", server.db),
):
    app.add_typer(_group, name=_name)
playbook.app.command()(rehearse.rehearse)
run.app.command()(record.record)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("soar-ir"))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Security incident response: playbooks that contain, prove what they did, and can be undone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (`api.cli.exits.Exit`). No error leaves as a traceback."""
    return guarded(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    try:
        app(args=None if argv is None else list(argv), prog_name="soar")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
