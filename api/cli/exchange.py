"""`soar playbook import | export | schema`: playbooks in and out of CACAO 2.0, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from api.cli import clean, output
from api.cli.exits import Exit, say
from soar.errors import Conflict, Invalid, NotFound, Problem, Refused

if TYPE_CHECKING:
    from soar.playbook.model import Playbook

_LARGEST = 8 * 1024 * 1024


class Notation(StrEnum):
    """The two ways to write a playbook."""

    CACAO = "cacao"
    YAML = "yaml"


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML, or CACAO 2.0 as .json.")],
    notation: Annotated[Notation, typer.Option("-o", "--output", help="How to write it.")] = Notation.CACAO,
) -> None:
    """Write a playbook as CACAO 2.0 JSON, or as YAML.

    The JSON is canonical (RFC 8785): the very bytes that are hashed and signed. What is marked more strictly than
    the setting sharing.highest is not written.
    """
    from soar import canonical
    from soar.config import load
    from soar.playbook.cacao import cacao_form
    from soar.playbook.document import to_document
    from soar.playbook.trust import markings
    from soar.playbook.yaml import yaml_form, yaml_written

    text = _text(file)
    playbook = cacao_form.load(text) if file.suffix.lower() == ".json" else yaml_form.load(text)
    why = markings.may_leave(markings.read(to_document(playbook)).level, load().sharing.highest)
    if why:
        raise Refused(f"{playbook.name}: {why}. Change its markings, or sharing.highest")
    if notation is Notation.YAML:
        output.write(yaml_written.write(playbook))
    else:
        output.write(canonical.dumps(cacao_form.to_document(playbook)).decode() + "\n")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help="A CACAO 2.0 playbook.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder to write into; without it nothing is written.")
    ] = None,
) -> None:
    """Read a CACAO 2.0 playbook of others: what each step does here, what is kept, all problems at once.

    With --to it is written as YAML, or as the JSON that it is where it cannot be said in YAML.
    """
    from soar.playbook.cacao import cacao_form, foreign

    text = _text(file)
    try:
        playbook, places = cacao_form.read(text)
    except Invalid as error:
        _refuse(file, list(error.problems))
    output.write(clean.line(f"{playbook.name} ({playbook.id}, {playbook.modified})") + "\n")
    for fate in foreign.fates(playbook):
        output.write(clean.line(f"  {fate.outcome:8}{fate.step.label}: {fate.words}") + "\n")
    for remark in foreign.remarks(playbook, places):
        output.write(clean.line(f"  remark  {remark}") + "\n")
    problems = cacao_form.examined(playbook, places)
    if problems:
        _refuse(file, problems)
    _keep(playbook, text, file, to)


def schema() -> None:
    """The JSON Schema (2020-12) of playbooks in YAML, for editors."""
    from soar.playbook.yaml.schema import schema as made

    output.write(json.dumps(made(), indent=2) + "\n")


def _keep(playbook: Playbook, text: bytes, file: Path, to: Path | None) -> None:
    """As YAML if that can be, else as it is."""
    from soar.playbook.yaml import yaml_form, yaml_written

    try:
        written = yaml_written.write(playbook)
        slug = yaml_form.load(written).slug
    except Invalid as error:
        for problem in error.problems:
            output.write(clean.line(f"  no YAML: {problem.message}") + "\n")
        _write(to, file.name, text)
        return
    for what in yaml_written.left_out(playbook):
        output.write(f"  not in the YAML: {what}\n")
    _write(to, f"{slug}.yaml", written.encode())


def _write(folder: Path | None, name: str, content: bytes) -> None:
    """Never over a file that is there."""
    if folder is None:
        say(f"good; --to FOLDER writes {name}")
        return
    try:
        with (folder / name).open("xb") as opened:
            opened.write(content)
    except FileExistsError:
        raise Conflict(f"{folder / name} is there already") from None
    except OSError as error:
        raise NotFound(f"{folder / name}: {error.strerror}") from None
    say(f"{folder / name} written")


def _refuse(file: Path, problems: list[Problem]) -> NoReturn:
    for problem in problems:
        output.write(shown(file, problem) + "\n")
    say(f"refused: {len(problems)} problem(s)")
    raise typer.Exit(Exit.INVALID)


def _text(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_LARGEST)
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from None


def shown(file: Path, problem: Problem) -> str:
    """`file:line:col: code: message (at pointer). mend`, as editors and compilers write it."""
    place = f"{file}:{problem.line or 1}:{problem.column or 1}: "
    where = f" (at {problem.pointer})" if problem.pointer and problem.line is None else ""
    message = problem.message.rstrip(".")
    return clean.line(f"{place}{problem.code}: {message}{where}. {problem.mend}").rstrip()


COMMANDS: Mapping[str, Callable[..., None]] = {"import": import_, "export": export, "schema": schema}
