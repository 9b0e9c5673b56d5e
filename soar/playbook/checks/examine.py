"""A file of a playbook, examined: everything that can be said of it, errors and the rest, whatever its notation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from soar import strict_json
from soar.errors import Invalid, Problem
from soar.playbook.cacao import cacao_form
from soar.playbook.checks import check
from soar.playbook.checks.remarks import Remark, remarked
from soar.playbook.places import Places
from soar.playbook.yaml import yaml_form

Examiner = Callable[[bytes, Collection[str] | None], list[Remark]]

_MOST_TRIES = 3


def in_yaml(text: bytes, able: Collection[str] | None = None) -> list[Remark]:
    """All remarks on a playbook in YAML. `able` are the verbs that adapters can do (see check.remarks)."""
    try:
        playbook, places, noted = yaml_form.read(text)
    except Invalid as error:
        return remarked(_said(error), {}, {})
    return check.remarks(playbook, places, noted, able=able)


def in_cacao(text: bytes, able: Collection[str] | None = None) -> list[Remark]:
    """All remarks on a CACAO 2.0 playbook in JSON. What cannot be read is left out, and the rest looked at too."""
    try:
        rest = strict_json.parse(text, max_nodes=cacao_form.MAX_NODES)
    except Invalid as error:
        return remarked(_said(error), {}, {})
    try:
        playbook, places = cacao_form.read(text)
        return check.remarks(playbook, places, able=able)
    except Invalid as error:
        noted = _said(error)[: check.MOST]
    workflow = rest.get("workflow") if isinstance(rest, Mapping) else None
    places = Places.of_cacao(workflow if isinstance(workflow, Mapping) else {})
    pointers = [problem.pointer for problem in noted]
    for _ in range(_MOST_TRIES):
        rest = _without(rest, pointers)
        try:
            return check.remarks(cacao_form.from_document(rest), places, noted, able=able)
        except Invalid as error:
            pointers = [problem.pointer for problem in error.problems]
    return remarked(noted, places.steps, {})


EXAMINERS: Mapping[str, Examiner] = {".json": in_cacao, ".yaml": in_yaml, ".yml": in_yaml}
"""Which notation a file is in, by the end of its name."""


def _said(error: Invalid) -> list[Problem]:
    return list(error.problems) or [Problem(code=error.code, message=error.message)]


def _without(value: Any, pointers: Iterable[str]) -> Any:
    """Plain data without the members that these JSON Pointers lead to; what is not there is passed over."""
    parts: dict[str, list[str]] = {}
    for pointer in pointers:
        first, _, rest = pointer.removeprefix("/").partition("/")
        if first:
            parts.setdefault(first.replace("~1", "/").replace("~0", "~"), []).append(rest)
    if isinstance(value, Mapping):
        return {
            name: _without(each, filter(None, parts[name])) if name in parts else each
            for name, each in value.items()
            if "" not in parts.get(name, ())
        }
    if isinstance(value, list):
        return [
            _without(each, filter(None, parts[str(index)])) if str(index) in parts else each
            for index, each in enumerate(value)
            if "" not in parts.get(str(index), ())
        ]
    return value
