"""`soar playbook`: check files without a server; list and show what a server has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from api.cli import checking, exchange, output
from api.cli.checking import CheckFormat
from api.cli.client import KeyFile, Server, path
from api.cli.exits import Exit, say
from api.cli.output import Output
from soar.playbook.checks.codes import Severity
from soar.playbook.checks.remarks import reaches

app = typer.Typer(
    help="Playbooks: check, rehearse, plan, picture, diff, import, export, sign, verify; list, show.",
    no_args_is_help=True,
)
for _name, _command in exchange.COMMANDS.items():
    app.command(_name)(_command)
_LINE = ("slug", "name", "may_run", "digest", "loaded_at")


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML, or CACAO 2.0 as .json.")],
    form: Annotated[CheckFormat | None, typer.Option("-o", "--output", help="How to write remarks.")] = None,
    fail_on: Annotated[Severity, typer.Option(help="The least severity that is a failure.")] = Severity.ERROR,
    adapters: Annotated[
        bool, typer.Option("--adapters", help="Ask too whether the adapters of the settings can do it.")
    ] = False,
) -> None:
    """Check playbooks without a server.

    Prints `file:line:col: severity: code: message. mend` for every remark, as compilers do, unless -o asks for data.
    """
    able = checking.configured_verbs() if adapters else None
    found = [(file, remark) for file in files for remark in checking.examined(file, able)]
    checking.write(found, form)
    count = Counter(remark.severity for _, remark in found)
    told = ", ".join(f"{count[each]} {each.value}(s)" for each in Severity)
    say(f"{len(files)} file(s) checked: {told}")
    failures = [remark for _, remark in found if reaches(remark.severity, fail_on)]
    if failures:
        raise typer.Exit(Exit.NOT_FOUND if checking.missing(failures) else Exit.INVALID)


@app.command("list")
def list_(form: Output = None, key_file: KeyFile = None) -> None:
    """The playbooks that the server has, each in its newest version."""
    output.rows(Server(key_file).items("/playbooks"), _LINE, form)


@app.command()
def show(
    slug: Annotated[str, typer.Argument(help="Its short name, or a digest.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """One playbook with its CACAO 2.0 document."""
    output.record(Server(key_file).get(path("playbooks", slug)), form)
