"""The one expression language, of triggers and conditions: STIX 2.1 comparisons (part 9, section 9.6).

    alert:severity_id >= 4 AND alert:techniques[*] IN ('T1486', 'T1021.002')

An expression is what stands inside the brackets of one STIX observation; it is parsed by the grammar
of `stix2-patterns`, but may speak of several object types. Variables are read as `__name__:value`,
outputs of steps as `__step__output__:value`; YAML writes `$name` and `$step.output` (see from_yaml).

What every author should know: a missing path makes a comparison false, `!=` and NOT included; over a
list, one element that passes is enough, `!=` and NOT included; NOT stands after the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from soar.errors import Invalid, Problem
from soar.expression_parser import MAX_BYTES, All, AnyOf, Node, read
from soar.expression_values import Comparison, said
from soar.strict_text import decode, place, shown

_SLUG = re.compile(r"[a-z](?:[a-z0-9-]|_(?=[a-z0-9-]))*", re.ASCII)
# Strings and comments are stepped over whole, so that a `$` in them is none of ours.
_YAML_TOKEN = re.compile(
    r"'(?:[^'\\]|\\.)*+'?|//[^\n]*+|/\*.*?(?:\*/|\Z)|(?P<before>[\w-]?)\$(?P<names>[\w-]*+(?:\.[\w-]++)*+)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    `paths` are its object paths without variables (`alert:severity_id`), in order; `variables` the
    names of its variables without the outer underscores (`scan__malware_found`).
    """

    text: str
    paths: tuple[str, ...]
    variables: frozenset[str]
    root: Node = field(repr=False, compare=False)

    def evaluate(self, facts: Mapping[str, Any]) -> bool:
        """Whether it holds. Never raises; `facts` maps object types, and "variables", to their values."""
        return _holds(self.root, facts)

    def explain(self, facts: Mapping[str, Any]) -> list[str]:
        """The comparisons that made it hold, as `alert:severity_id >= 4 (is 5)`; [] where it does not."""
        return _reasons(self.root, facts) if _holds(self.root, facts) else []


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Read an expression of at most 4 kB, nested at most 32 deep.

    Raises TooLarge over these limits, else Invalid; the problem names line and column (from 1).
    """
    root, paths, variables = read(text)
    return Expression(text=text, paths=paths, variables=variables, root=root)


def from_yaml(text: str) -> str:
    """The short form that people write in YAML, as an expression.

    `$name` becomes `__name__:value`, `$step.output` becomes `__step__output__:value`, and so deeper;
    strings and comments stay as they are. Raises Invalid for a name that is no slug.
    """
    text = decode(text, max_bytes=MAX_BYTES, what="expression")
    return _YAML_TOKEN.sub(_variable, text)


def _variable(token: re.Match[str]) -> str:
    if token["names"] is None:
        return token.group()
    names = token["names"].split(".")
    if token["before"] or not all(_SLUG.fullmatch(name) for name in names):
        line, column = place(token.string, token.start())
        message = f"{shown(token.group())} is no variable"
        mend = "Write $name or $step.output in small letters, digits, - and single _, apart from other words."
        raise Invalid(
            problems=[Problem(code="expression_variable", message=message, line=line, column=column, mend=mend)]
        )
    return f"__{'__'.join(names)}__:value"


def _holds(node: Node, facts: Mapping[str, Any]) -> bool:
    if isinstance(node, All):
        return all(_holds(part, facts) for part in node.parts)
    if isinstance(node, AnyOf):
        return any(_holds(part, facts) for part in node.parts)
    if node.absence:
        return not node.path.values(facts)
    return bool(node.held_by(facts))


def _reasons(node: Node, facts: Mapping[str, Any]) -> list[str]:
    """The comparisons below a node that holds; a branch of an OR that does not hold gives none."""
    if isinstance(node, Comparison):
        values = node.held_by(facts)
        return [f"{node.text} (is {said(values[0])})" if values else f"{node.text} (is missing)"]
    return [reason for part in node.parts if _holds(part, facts) for reason in _reasons(part, facts)]
