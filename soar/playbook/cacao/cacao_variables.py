"""Variables as CACAO writes them (section 10.18): of a playbook into the model, of a step as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from soar.errors import Problem
from soar.playbook import values
from soar.playbook.document import variable_document
from soar.playbook.model import Variable
from soar.playbook.plain import from_plain
from soar.playbook.vocabulary import our_type
from soar.strict_text import escaped, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """How our extension says where a variable's value comes from."""

    from_: str = field(default="", metadata={"key": "from"})
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A variable as CACAO writes it (section 10.18.3)."""

    type: str
    description: str = ""
    value: str | None = None
    constant: bool = False
    external: bool = False


PROPERTIES = frozenset({"type", "description", "value", "constant", "external"})


def read_variables(
    data: Mapping[str, Any], own: Mapping[str, Outside] | None, problems: list[Problem]
) -> dict[str, Variable]:
    """The variables of a playbook; of our own ones (`own`) without those that stand for outputs of steps."""
    found = {}
    for key, raw in data.items():
        name = key.removeprefix("__").removesuffix("__")
        if own is not None and name not in own:
            continue
        written = _written(key, raw, f"/playbook_variables/{escaped(key)}", problems)
        if written is not None:
            outside = own[name] if own is not None else Outside()
            found[name] = replace(_variable(written, raw), from_=outside.from_, required=outside.required)
    return found


def variable_problems(data: Any, pointer: str) -> Iterator[Problem]:
    """What is wrong with the variables of a step; that they are no object at all is said elsewhere."""
    if isinstance(data, Mapping):
        problems: list[Problem] = []
        for key, raw in data.items():
            _written(key, raw, f"{pointer}/{escaped(key)}", problems)
        yield from problems


def _written(key: str, raw: Any, pointer: str, problems: list[Problem]) -> _Written | None:
    name = key.removeprefix("__").removesuffix("__")
    if key != f"__{name}__" or not name:
        mend = "Write __name__."
        problems.append(Problem(code="bad_name", message="this is no name of a variable", pointer=pointer, mend=mend))
    known = {part: raw[part] for part in raw if part in PROPERTIES} if isinstance(raw, Mapping) else raw
    written = from_plain(_Written, known, pointer, problems)
    if written is not None and written.value is not None and written.type == "integer":
        problems += values.too_large(values.number(written.value), f"{pointer}/value")
    if written is not None and written.value is not None and not values.fits(written.type, written.value):
        message = f"{shown(written.value)} is no value of the type {shown(written.type)}"
        problems.append(Problem(code="wrong_type", message=message, pointer=f"{pointer}/value"))
    return written


def _variable(written: _Written, raw: Mapping[str, Any]) -> Variable:
    default = written.value if written.value is None else values.parsed(written.type, written.value)
    variable = Variable(
        type=our_type(written.type), description=written.description, default=default, constant=written.constant,
        external=written.external,
    )  # fmt: skip
    plain = variable_document(variable)
    # A value has many spellings as text; the one of the document is kept where it is not ours.
    return replace(variable, kept={name: value for name, value in raw.items() if plain.get(name, ...) != value})
