"""`soar playbook`: check files without a server; list and show what a server has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import exchange, output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import Exit, say
from api.cli.output import Format, Output
from soar.errors import Invalid, Problem

app = typer.Typer(
    help="Playbooks: check, rehearse, plan, picture, diff, import, export, sign, verify; list, show.",
    no_args_is_help=True,
)
for _name, _command in exchange.COMMANDS.items():
    app.command(_name)(_command)
_LINE = ("slug", "name", "may_run", "digest", "loaded_at")
_LARGEST = 8 * 1024 * 1024


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML, or CACAO 2.0 as .json.")],
    form: Output = None,
) -> None:
    """Check playbooks without a server.

    Prints `file:line:col: code: message. mend` for every problem, as compilers do, unless -o asks for data.
    """
    load = {".json": _load_cacao}
    found: list[tuple[Path, Problem]] = []
    for file in files:
        found += [(file, problem) for problem in _problems(file, load.get(file.suffix.lower(), _load_yaml))]
    if form in (None, Format.TABLE):
        for file, problem in found:
            output.write(f"{exchange.shown(file, problem)}\n")
    else:
        output.rows([{"file": str(file), **problem.as_dict()} for file, problem in found], (), form)
    wrong = {file for file, _ in found}
    say(f"{len(files)} file(s) checked, {len(wrong)} with problems")
    if found:
        missing = all(problem.code == "not_found" for _, problem in found)
        raise typer.Exit(Exit.NOT_FOUND if missing else Exit.INVALID)


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


def _problems(file: Path, load: Callable[[bytes], Any]) -> list[Problem]:
    """What is wrong with a file; a file that cannot be read is one problem."""
    try:
        with file.open("rb") as opened:
            load(opened.read(_LARGEST))
    except FileNotFoundError:
        return [Problem(code="not_found", message="there is no such file")]
    except OSError as error:
        return [Problem(code="unreadable", message=error.strerror or str(error))]
    except Invalid as error:
        return list(error.problems) or [Problem(code=error.code, message=error.message)]
    return []


def _load_yaml(text: bytes) -> object:
    from soar.playbook import yaml_form

    return yaml_form.load(text)


def _load_cacao(text: bytes) -> object:
    from soar.playbook import cacao_form

    return cacao_form.load(text)
