"""How `soar playbook check` reads files and writes what is said of them."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Collection, Iterable
from enum import StrEnum
from pathlib import Path

from api.cli import clean, output
from api.cli.output import Format
from soar.errors import Problem
from soar.playbook.checks.remarks import Remark

_LARGEST = 8 * 1024 * 1024


class CheckFormat(StrEnum):
    """How remarks are written: as compilers do, as data, or as SARIF for code hosts."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"
    SARIF = "sarif"


Found = list[tuple[Path, Remark]]


def examined(file: Path, able: Collection[str] | None) -> list[Remark]:
    """Everything that is said of a file; one that cannot be read is one remark."""
    from soar.playbook.checks.examine import EXAMINERS, in_yaml

    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST)
    except FileNotFoundError:
        return [Remark(code="not_found", message="there is no such file")]
    except OSError as error:
        return [Remark(code="unreadable", message=error.strerror or str(error))]
    return EXAMINERS.get(file.suffix.lower(), in_yaml)(text, able)


def write(found: Found, form: CheckFormat | None) -> None:
    """Write the remarks to standard output."""
    if form in (None, CheckFormat.TABLE):
        for file, remark in found:
            output.write(f"{_line(file, remark)}\n")
    elif form is CheckFormat.SARIF:
        from soar.playbook.checks import sarif

        said = sarif.log(((str(file), remark) for file, remark in found), version=importlib.metadata.version("soar-ir"))
        output.write(json.dumps(clean.plain(said), ensure_ascii=False, indent=2) + "\n")
    else:
        output.rows([{"file": str(file), **remark.as_dict()} for file, remark in found], (), Format(form))


def configured_verbs() -> frozenset[str]:
    """The verbs that the configured adapters can do. Raises Invalid or NotFound for one that cannot be connected."""
    import evidence
    import integrations
    from api.engine import connect
    from soar.config import load
    from soar.registry import Registry

    registry = Registry()
    for package in (integrations, evidence):
        registry.scan(package)
    adapters = connect(registry, load().adapters)
    return frozenset(verb for adapter in adapters.values() for verb in adapter.verbs)


def _line(file: Path, remark: Remark) -> str:
    """`file:line:col: severity: code: message (at pointer). mend`, as editors and compilers write it."""
    place = f"{file}:{remark.line or 1}:{remark.column or 1}: "
    where = f" (at {remark.pointer})" if remark.pointer and remark.line is None else ""
    message = remark.message.rstrip(".")
    return clean.line(f"{place}{remark.severity}: {remark.code}: {message}{where}. {remark.mend}").rstrip()


def missing(remarks: Iterable[Problem]) -> bool:
    """Whether nothing is wrong but that files are not there."""
    return all(each.code == "not_found" for each in remarks)
