"""`soar playbook rehearse`: try playbooks out without a server, and say how much of them was walked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli import clean, output
from api.cli.exits import Exit, say
from api.cli.output import Format
from soar.errors import Invalid, NotFound, Problem

if TYPE_CHECKING:
    from soar.playbook.model import Playbook
    from soar.rehearsal.comparing import Difference
    from soar.rehearsal.coverage import Coverage
    from soar.rehearsal.model import Rehearsal
    from soar.rehearsal.rehearsing import Shown

_LARGEST = 8 * 1024 * 1024
_SUFFIXES = (".yaml", ".yml", ".json")


class Report(StrEnum):
    """How the result is written: as other commands write data, or as JUnit XML for a CI."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"
    JUNIT = "junit"


@dataclass(frozen=True, slots=True)
class Tried:
    """One file: what was shown, or why it could not be. `seconds` are real ones."""

    file: Path
    rehearsal: Rehearsal | None = None
    shown: Sequence[Shown] = ()
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class Walked:
    """What all files of one playbook have walked together."""

    rehearsal: Rehearsal
    shown: list[Shown] = field(default_factory=list)

    def coverage(self) -> Coverage:
        from soar.rehearsal.rehearsing import covered

        return covered(self.rehearsal, self.shown)


def rehearse(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Rehearsals in YAML.")],
    coverage: Annotated[bool, typer.Option("--coverage", help="Tell every way that was never walked.")] = False,
    min_coverage: Annotated[
        float | None, typer.Option(min=0, max=100, help="Fail where less of a playbook was walked, in per cent.")
    ] = None,
    form: Annotated[
        Report | None, typer.Option("-o", "--output", help="How to write the result; junit for a CI.")
    ] = None,
) -> None:  # fmt: skip
    """Rehearse playbooks: mocked outcomes, simulated time, no server, no system.

    Ends with 1 where a case came out otherwise than it says, or too little was walked; with 6 where a file is
    not right.
    """
    tried = [_try(file) for file in files]
    walked = _walked(tried)
    poor = [each for each in walked if min_coverage is not None and each.coverage().per_cent < min_coverage]
    if form is Report.JUNIT:
        from api.cli import junit

        output.write(junit.document(tried, poor, min_coverage or 0.0))
    elif form in (None, Report.TABLE):
        _tell(tried, walked if coverage or poor else ())
    else:
        output.rows(list(_rows(tried)), (), Format(form.value), whole=_whole(tried, walked))
    bad = sum(not each.as_expected for one in tried for each in one.shown)
    cases = sum(len(one.shown) for one in tried)
    say(f"{cases} case(s) rehearsed, {bad} came out otherwise; {_in_sum(walked)}")
    if any(one.problems for one in tried):
        missing = all(each.code == "not_found" for one in tried for each in one.problems)
        raise typer.Exit(Exit.NOT_FOUND if missing else Exit.INVALID)
    if bad or poor:
        raise typer.Exit(Exit.FAILED)


def _try(file: Path) -> Tried:
    """Read a file and play its cases."""
    from soar.rehearsal import reading, rehearsing

    began = time.perf_counter()
    try:
        rehearsal = reading.load(_content(file), lambda name: _find(file, name))
    except NotFound as error:
        return Tried(file, problems=(Problem(code="not_found", message=error.message),))
    except Invalid as error:
        return Tried(file, problems=error.problems or (Problem(code=error.code, message=error.message),))
    shown = rehearsing.rehearse(rehearsal)
    return Tried(file, rehearsal, shown, seconds=time.perf_counter() - began)


def _content(file: Path) -> bytes:
    """A file's bytes. Raises NotFound, and Invalid where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_LARGEST)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file.name}") from None
    except OSError as error:
        message = error.strerror or str(error)
        raise Invalid(problems=[Problem(code="unreadable", message=message)]) from None


def _find(file: Path, name: str) -> Playbook:
    """A playbook of the library by its short name, or a file by its path from where the rehearsal lies."""
    from playbooks import shipped
    from soar.playbook.cacao import cacao_form
    from soar.playbook.yaml import yaml_form

    if name.endswith(_SUFFIXES):
        if Path(name).is_absolute():
            raise NotFound("a rehearsal names its playbook by a path from where it lies itself")
        text = _content(file.parent / name)
        return cacao_form.load(text) if name.endswith(".json") else yaml_form.load(text)
    library = {path.stem: path for path in shipped()}
    if name not in library:
        mend = f"The library has {', '.join(library)}; or write a path, as in ../my-playbook.yaml."
        raise NotFound(f"the library has no playbook {name[:64]!r}", mend=mend)
    return yaml_form.load(library[name].read_bytes())


def _walked(tried: Sequence[Tried]) -> list[Walked]:
    """The files by playbook, in the order in which the playbooks come."""
    found: dict[str, Walked] = {}
    for each in tried:
        if each.rehearsal is not None:
            found.setdefault(each.rehearsal.playbook.digest, Walked(each.rehearsal)).shown.extend(each.shown)
    return list(found.values())


def name_of(playbook: Playbook) -> str:
    """What people call a playbook; a foreign one has no short name."""
    return playbook.slug or playbook.name


def told(difference: Difference) -> str:
    """A difference in words, over one line or several."""
    if difference.lines:
        return "\n".join((f"{difference.what}: - expected, + came, ! other calls", *difference.lines))
    return f"{difference.what}: expected {difference.expected}; got {difference.got}"


def problem_of(file: Path, problem: Problem) -> str:
    """`file:line:col: code: message. mend`, as compilers write it."""
    message = problem.message.rstrip(".")
    place = f"{file}:{problem.line or 1}:{problem.column or 1}"
    return clean.line(f"{place}: {problem.code}: {message}. {problem.mend}").rstrip()


def _tell(tried: Sequence[Tried], walked: Sequence[Walked]) -> None:
    for one in tried:
        for problem in one.problems:
            output.write(f"{problem_of(one.file, problem)}\n")
        for each in one.shown:
            place = f"{one.file}:{each.case.line}"
            output.write(clean.line(f"{'ok    ' if each.as_expected else 'FAILED'} {place}: {each.case.name}") + "\n")
            for difference in each.differences:
                for line in told(difference).splitlines():
                    output.write(f"         {clean.line(line)}\n")
    for book in walked:
        found = book.coverage()
        count = f"{len(found.walked)} of {len(found.edges)} ways"
        output.write(clean.line(f"{name_of(book.rehearsal.playbook)}: {found.per_cent:g} % walked ({count})") + "\n")
        for edge in found.missed:
            output.write(clean.line(f"         never: {edge}") + "\n")


def _in_sum(walked: Sequence[Walked]) -> str:
    return ", ".join(f"{name_of(each.rehearsal.playbook)} {each.coverage().per_cent:g} %" for each in walked) or "0 %"


def _rows(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    problems = [{"file": str(one.file), **each.as_dict()} for one in tried for each in one.problems]
    cases = [
        {
            "file": str(one.file), "line": each.case.line, "case": each.case.name, "as_expected": each.as_expected,
            "status": each.played.status, "seconds": each.played.at,
            "differences": [difference.as_dict() for difference in each.differences],
        }
        for one in tried
        for each in one.shown
    ]  # fmt: skip
    return [*problems, *cases]


def _whole(tried: Sequence[Tried], walked: Sequence[Walked]) -> dict[str, Any]:
    ways = []
    for book in walked:
        found = book.coverage()
        ways.append(
            {
                "playbook": name_of(book.rehearsal.playbook), "per_cent": found.per_cent,
                "ways": len(found.edges), "never": [str(edge) for edge in found.missed],
            }
        )  # fmt: skip
    rows = _rows(tried)
    return {
        "problems": [row for row in rows if "case" not in row],
        "cases": [row for row in rows if "case" in row],
        "coverage": ways,
    }
