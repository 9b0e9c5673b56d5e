"""`soar audit`: is what was written down still what was written down?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, problem
from api.cli.exits import Unverified, say
from api.cli.output import Format, Output
from api.cli.verifying import Key, check_package

app = typer.Typer(help="The audit log: verify, checkpoint.", no_args_is_help=True)


@app.command()
def verify(
    package: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A package to check without a server instead.")
    ] = None,
    key: Key = None,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Check every event stream and the whole log: at the server, or those in a package."""
    if package is not None:
        check_package(package, key, form)
        return
    found = Server(key_file).get("/audit/verify")
    problems = [problem(each).as_dict() for each in found["problems"]]
    if output.chosen(form) is not Format.TABLE or problems:
        output.rows(problems, ("pointer", "code", "message"), form, whole=found)
    counted = f"{found['streams']} streams, {found['events']} events, {found['size']} of them sealed"
    if problems:
        raise Unverified(f"the log: {len(problems)} problem(s); checked: {counted}")
    say(f"the log: nothing is wrong; checked: {counted}")


@app.command()
def checkpoint(form: Output = None, key_file: KeyFile = None) -> None:
    """The newest signed checkpoint, and the key that verifies it. Keep both elsewhere."""
    output.record(Server(key_file).get("/audit/checkpoint"), form)
