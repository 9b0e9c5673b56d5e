"""Reads warning lists from files in MISP's format, or from the package that carries MISP's own."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from soar import strict_json
from soar.errors import Invalid, Problem
from soar.guards.warning import Type, WarningList, WarningLists

PACKAGE = "pymispwarninglists"
LARGEST = 256 * 1024 * 1024
"""Octets of one list."""
MANY = 5_000_000
"""Entries of one list."""


def read(wanted: Iterable[str]) -> WarningLists:
    """The lists that the setting names: `misp:NAME` and `misp:*` of the package, else a file or a folder of files.

    Raises Invalid, which names the list and what is wrong with it.
    """
    return WarningLists(_read(file) for each in wanted for file in _files(each))


def _files(wanted: str) -> Iterator[Path]:
    if wanted.startswith("misp:"):
        yield from _of_package(wanted.removeprefix("misp:"))
        return
    path = Path(wanted)
    yield from sorted(path.glob("**/*.json")) if path.is_dir() else [path]


def _of_package(name: str) -> list[Path]:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise _invalid(f"misp:{name} needs {PACKAGE}, which is not installed", "Install soar-ir with [warninglists].")
    folder = Path(found.origin).parent / "data" / "misp-warninglists" / "lists"
    known = sorted(each.parent.name for each in folder.glob("*/list.json"))
    if name != "*" and name not in known:
        raise _invalid(f"there is no warning list misp:{name}", f"There are: {', '.join(known)}.")
    return [folder / each / "list.json" for each in (known if name == "*" else [name])]


def _read(file: Path) -> WarningList:
    try:
        if file.stat().st_size > LARGEST:
            raise _invalid(f"{file} is larger than {LARGEST} octets", "Split it.")
        match strict_json.parse(file.read_bytes(), max_bytes=LARGEST, max_nodes=MANY):
            case {"name": str(name), "type": str(kind), "list": [*entries]} if kind in get_args(Type):
                if all(isinstance(entry, str) for entry in entries):
                    return WarningList(name, kind, tuple(entries))  # type: ignore[arg-type]
    except OSError as error:
        raise _invalid(f"{file}: {error.strerror}", "Name a file or folder that can be read.") from error
    except Invalid as error:
        raise _invalid(f"{file}: {error.message}", "Take a list as MISP shares it.") from error
    raise _invalid(f"{file} is no warning list of MISP: name, type and a list of texts", "Take one as MISP shares it.")


def _invalid(message: str, mend: str) -> Invalid:
    return Invalid(message, [Problem(code="warning_list", message=message, pointer="guards.warning_lists", mend=mend)])
