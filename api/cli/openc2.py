"""`soar openc2`: say a verb as an OpenC2 command, and check commands and responses, without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import output
from api.cli.exits import say as tell_person
from api.cli.output import Output
from soar.errors import Invalid, NotFound, Problem, Unavailable

app = typer.Typer(help="OpenC2: say verbs as commands, check messages.", no_args_is_help=True)
_LARGEST = 1024 * 1024


@app.command()
def say(
    verb: Annotated[str, typer.Argument(help="A verb, such as block_ip.")],
    params: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Its parameters.")],
    lasting: Annotated[str, typer.Option("--for", help="How long: 30m, 4h, 7d. [default: no end]")] = "",
    command_id: Annotated[str, typer.Option("--id", help="The command's id.")] = "",
    form: Output = None,
) -> None:
    """Write the OpenC2 command that asks for a verb."""
    from soar.openc2.words import command_of
    from soar.playbook import durations

    seconds = durations.seconds(lasting) if lasting else 0
    command = command_of(verb, _params(verb, params), seconds=seconds, command_id=command_id)
    output.record(command.as_plain(), form)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A command, a response, or a message with a request.")],
    form: Output = None,
) -> None:
    """Read an OpenC2 command or response, and tell what it asks for here."""
    from soar import strict_json
    from soar.openc2 import language, message, words

    try:
        with file.open("rb") as opened:
            data = strict_json.parse(opened.read(_LARGEST + 1))
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
    if isinstance(data, dict) and "body" in data:
        data = message.parse_message(data).request
    if isinstance(data, dict) and "status" in data:
        output.record(language.parse_response(data).as_plain(), form)
        return
    command = language.parse_command(data)
    if command.action == "query" or command.target_type == "slpf:rule_number":
        tell_person(f"{file}: a command for the service itself")
        output.record(command.as_plain(), form)
        return
    order = words.order_of(command)
    output.record({"verb": order.verb, "params": dict(order.params), "by_name": order.by_name}, form)


def _params(verb: str, given: list[str]) -> dict[str, Any]:
    """NAME=VALUE words as the verb's types want them; lists are separated by commas."""
    from soar.verbs import VERBS

    known = VERBS[verb].params if verb in VERBS else {}
    read: dict[str, Callable[[str], Any]] = {"int": int, "list": lambda text: text.split(",")}
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        kind = known[name].type if name in known else "str"
        try:
            found[name] = read.get(kind, str)(text) if equals else None
        except ValueError:
            message = f"{name} must be {kind}, not {text!r}"
            raise Invalid(problems=[Problem(code="wrong_type", message=message, pointer=name)]) from None
    return found
