"""Outputs of several targets as one, by the type of each output and by what its verb says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from soar.model import Verdict
from soar.verbs import VERBS

_WORSE = (Verdict.BENIGN, Verdict.UNKNOWN, Verdict.SUSPICIOUS, Verdict.MALICIOUS)


class Brought(Protocol):
    """An action with what it brought."""

    @property
    def verb(self) -> str: ...

    @property
    def outputs(self) -> Mapping[str, Any]: ...


def joined(rows: Iterable[Brought]) -> dict[str, Any]:
    """Lists joined, numbers added, a bool true if true for all, else the last one; or as the verb says."""
    found: dict[str, Any] = {}
    for row in rows:
        fields = VERBS[row.verb].outputs
        for name, value in row.outputs.items():
            how = fields[name].joined if name in fields else ""
            found[name] = _two(how, found[name], value) if found.get(name) is not None else value
    return found


def _two(how: str, one: Any, other: Any) -> Any:
    if how == "worst":
        return max(one, other, key=_grave)
    if isinstance(other, bool):
        return one and other
    if isinstance(other, list) and isinstance(one, list):
        return [*one, *other]
    if isinstance(other, int | float) and isinstance(one, int | float):
        return max(one, other) if how == "most" else one + other
    return other


def _grave(verdict: Any) -> int:
    """How bad a verdict is; a word that is none counts as unknown."""
    return _WORSE.index(Verdict(verdict)) if verdict in set(_WORSE) else _WORSE.index(Verdict.UNKNOWN)
