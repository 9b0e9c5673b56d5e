"""Which of two expressions holds more often: what a reviewer asks of a changed trigger.

The answer is sound, not complete: "wider" is said only where everything that fits the old expression fits the
new one; where that cannot be seen from their form, nothing is said.
"""

from __future__ import annotations

import re
from typing import Literal

from soar.errors import Invalid
from soar.expression_parser import All, AnyOf, Node
from soar.expression_values import Comparison
from soar.expressions import parse

_LEAF = re.compile(r"(?P<path>\S+) (?P<operator>>=|>|<=|<|=|IN) (?P<rest>.+)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_CONSTANT = re.compile(r"'(?:[^'\\]|\\.)*'|[^,\s()]+")


def compared(old: str, new: str) -> Literal["wider", "narrower", ""]:
    """What the new expression is, compared with the old one; "" for the same, and where it cannot be told."""
    try:
        before, after = parse(old).root, parse(new).root
    except Invalid:
        return ""
    grown, shrunk = _Proof().implies(before, after), _Proof().implies(after, before)
    if grown == shrunk:
        return ""
    return "wider" if grown else "narrower"


class _Proof:
    """Remembers which pairs of parts were looked at, so that a hostile expression costs no more than their number."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], bool] = {}

    def implies(self, one: Node, other: Node) -> bool:
        """Whether `other` holds wherever `one` does, as far as their form shows it."""
        pair = (id(one), id(other))
        if pair not in self.known:
            self.known[pair] = self._implies(one, other)
        return self.known[pair]

    def _implies(self, one: Node, other: Node) -> bool:
        if isinstance(one, AnyOf):
            return all(self.implies(part, other) for part in one.parts)
        if isinstance(other, All):
            return all(self.implies(one, part) for part in other.parts)
        if isinstance(one, Comparison) and isinstance(other, Comparison):
            return _leaf_implies(one, other)
        return (isinstance(one, All) and any(self.implies(part, other) for part in one.parts)) or (
            isinstance(other, AnyOf) and any(self.implies(one, part) for part in other.parts)
        )


def _leaf_implies(one: Comparison, other: Comparison) -> bool:
    first, second = _LEAF.fullmatch(one.text), _LEAF.fullmatch(other.text)
    if one.text == other.text or first is None or second is None:
        return one.text == other.text
    if first["path"] != second["path"] or one.negated or other.negated:
        return False
    if first["operator"] in ("=", "IN") and second["operator"] in ("=", "IN"):
        return set(_CONSTANT.findall(first["rest"])) <= set(_CONSTANT.findall(second["rest"]))
    if not (_NUMBER.fullmatch(first["rest"]) and _NUMBER.fullmatch(second["rest"])):
        return False
    return _bound_implies(first["operator"], float(first["rest"]), second["operator"], float(second["rest"]))


def _bound_implies(one: str, here: float, other: str, there: float) -> bool:
    """Whether `x one here` makes `x other there` true."""
    for sign, over in ((">", here > there), ("<", here < there)):
        if one in (sign, f"{sign}=", "=") and other in (sign, f"{sign}="):
            return over or (here == there and (one == sign or other == f"{sign}="))
    return False
