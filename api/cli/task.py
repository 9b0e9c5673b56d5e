"""`soar task`: questions to persons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, pairs, path
from api.cli.output import Output

app = typer.Typer(help="Tasks, which are questions to persons: list, answer.", no_args_is_help=True)
_LINE = ("id", "kind", "status", "asks", "due_at", "text")
_WORDS = {"yes": True, "no": False, "true": True, "false": False}


@app.command("list")
def list_(
    status: Annotated[str, typer.Option(help="Those with this status; an empty one lists all.")] = "open",
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Tasks, with what each asks for."""
    output.rows(Server(key_file).items("/tasks", status=status or None), _LINE, form)


@app.command()
def answer(
    task: Annotated[str, typer.Argument(help="The task's id.")],
    given: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="One for each thing asked for.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Answer a task."""
    server = Server(key_file)
    asks = server.get(path("tasks", task))["asks"]
    output.record(server.post(path("tasks", task, "answer"), {"answer": _typed(given, asks)}), form)


def _typed(given: list[str], asks: Mapping[str, str]) -> dict[str, Any]:
    """The answers in the types that the task names; what does not fit is left for the server to refuse."""
    found = pairs(given)
    texts = dict(each.split("=", 1) for each in given)
    for name, kind in asks.items():
        if name in found and kind == "bool":
            found[name] = _WORDS.get(texts[name].lower(), found[name])
        elif name in found and kind == "str":
            found[name] = texts[name]
        elif name in found and kind == "list" and not isinstance(found[name], list):
            found[name] = texts[name].split(",")
    return found
