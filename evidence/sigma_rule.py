"""Reads a Sigma rule (specification 2.1) with pySigma, and makes of its condition a test of one event.

pySigma reads detections, modifiers and the condition; what the tree that comes out of it means is said here.
What cannot be evaluated over single events is refused by name: correlations, filters, placeholders, parts of
times. The log source is not looked at: a rule is tried on every log that was collected.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evidence import sigma_match
from evidence.sigma_match import Event, Test, Wild
from soar import strict_yaml
from soar.errors import Invalid, Problem
from soar.strict_text import escaped, shown

MAX_RULE = 65_536
"""Longest rule, in octets."""
MAX_NODES = 5_000
MAX_DEPTH = 16
MAX_CONDITION = 4_096
MAX_TESTS = 10_000
"""How many comparisons one rule may come to."""
_MAX_NAME = 256
_ELSEWHERE = {
    "correlation": "a correlation needs many events at once",
    "filter": "a filter is no rule by itself",
    "action": "collections of rules are not read",
}
_UNSUPPORTED = frozenset({"expand", "minute", "hour", "day", "week", "month", "year"})
_WORD = re.compile(r"[A-Za-z0-9_*-]+", re.ASCII)
_ANCHORING = frozenset({"startswith", "endswith"})

Node = Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that can be tried on events."""

    title: str
    matches: Node


def parse(source: str) -> Rule:
    """One rule from its YAML text. Raises Invalid with all problems and their lines, TooLarge over a limit."""
    document = strict_yaml.parse(source, max_bytes=MAX_RULE, max_depth=MAX_DEPTH, max_nodes=MAX_NODES)
    problems = [_placed(document, *each) for each in _unfit(document.value)]
    if problems:
        raise Invalid(problems=problems)
    try:
        return _build(document)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        # Errors of pySigma are ValueErrors; the others are what it meets in documents that nobody foresaw.
        raise Invalid(problems=[_placed(document, "bad_rule", str(error) or type(error).__name__, "")]) from error


def _placed(document: strict_yaml.Document, code: str, message: str, pointer: str) -> Problem:
    line, column = strict_yaml.at(document, pointer)
    return Problem(code=code, message=message, pointer=pointer, line=line, column=column)


def _unfit(rule: Any) -> Iterator[tuple[str, str, str]]:
    """Code, message and place of what is no rule, or none that can be evaluated here."""
    if not isinstance(rule, dict):
        yield "bad_rule", "a rule is a mapping", ""
        return
    for name in rule.keys() & _ELSEWHERE.keys():
        yield "unsupported", f"{name} is not supported: {_ELSEWHERE[name]}", f"/{name}"
    detection = rule.get("detection")
    if not isinstance(detection, dict):
        if not rule.keys() & _ELSEWHERE.keys():
            yield "bad_rule", "a rule has a mapping called detection", "/detection"
        return
    yield from _unfit_conditions(detection)
    for name, part in detection.items():
        if name != "condition":
            yield from _unfit_part(part, f"/detection/{escaped(name)}")


def _unfit_conditions(detection: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Conditions that are none, too large, or in words that Sigma has given up."""
    conditions = detection.get("condition")
    for condition in conditions if isinstance(conditions, list) and conditions else [conditions]:
        if not isinstance(condition, str):
            yield "bad_condition", "a condition is text", "/detection/condition"
        elif len(condition) > MAX_CONDITION:
            yield "too_large", f"a condition is longer than {MAX_CONDITION} characters", "/detection/condition"
        elif "|" in condition:
            yield "unsupported", "aggregations (|) are not supported: they need many events", "/detection/condition"
        elif _comparisons(condition, detection) > MAX_TESTS:
            yield "too_large", f"a condition comes to more than {MAX_TESTS} comparisons", "/detection/condition"


def _comparisons(condition: str, detection: dict[str, Any]) -> int:
    """At most so many comparisons a condition comes to: each time a name stands in it, all that is below that."""
    sizes = {name: _size(part) for name, part in detection.items() if name != "condition"}
    every = sum(sizes.values())
    return sum(sizes.get(word, every if "*" in word or word == "them" else 0) for word in _WORD.findall(condition))


def _size(part: Any) -> int:
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return sum(map(_size, inside)) or 1


def _unfit_part(part: Any, pointer: str) -> Iterator[tuple[str, str, str]]:
    """Modifiers that are not supported, wherever they stand in a detection."""
    if isinstance(part, list):
        for index, each in enumerate(part):
            yield from _unfit_part(each, f"{pointer}/{index}")
    elif isinstance(part, dict):
        for key, value in part.items():
            at = f"{pointer}/{escaped(key)}"
            name, *modifiers = key.split("|")
            values = value if isinstance(value, list) else [value]
            if len(name) > _MAX_NAME:
                yield "too_large", f"a field's name is longer than {_MAX_NAME} characters", at
            for modifier in sorted(_UNSUPPORTED & set(modifiers)):
                yield "unsupported", f"the modifier {modifier} is not supported", at
            if "re" in modifiers and _ANCHORING & set(modifiers):
                yield "unsupported", "re is not supported with startswith or endswith; write ^ or $", at
            if "re" in modifiers and not all(isinstance(each, str) for each in values):
                yield "wrong_type", "a regular expression is text; put it in quotes", at


def _build(document: strict_yaml.Document) -> Rule:
    from sigma.exceptions import SigmaError
    from sigma.rule import SigmaRule

    rule = SigmaRule.from_dict(document.value, collect_errors=True)
    problems = [_placed(document, "bad_rule", str(error), "") for error in rule.errors]
    nodes: list[Node] = []
    for condition in rule.detection.parsed_condition if not problems else []:
        try:
            nodes.append(_node(condition.parsed))
        except (SigmaError, Invalid) as error:
            problems.append(_placed(document, "bad_condition", str(error), "/detection/condition"))
    if problems:
        raise Invalid(problems=problems)
    return Rule(title=str(rule.title), matches=_any(nodes))


def _any(nodes: list[Node]) -> Node:
    return lambda event: any(node(event) for node in nodes)


def _all(nodes: list[Node]) -> Node:
    return lambda event: all(node(event) for node in nodes)


def _node(tree: Any) -> Node:
    """What a part of the condition asks. Raises Invalid for what cannot be evaluated."""
    from sigma import conditions

    match tree:
        case conditions.ConditionOR():
            return _any([_node(each) for each in tree.args])
        case conditions.ConditionAND():
            return _all([_node(each) for each in tree.args])
        case conditions.ConditionNOT():
            inner = _node(tree.args[0])
            return lambda event: not inner(event)
        case conditions.ConditionFieldEqualsValueExpression():
            return _of_field(tree.field, tree.value)
        case conditions.ConditionValueExpression():
            return _of_event(tree.value)
    raise Invalid("a part of the condition is empty")


def _of_field(name: str, value: Any) -> Node:
    from sigma import types

    match value:
        case types.SigmaNull():
            return lambda event: all(each is None for each in event.values(name))
        case types.SigmaExists():
            wanted = value.exists
            return lambda event: bool(event.found(name)) is wanted
        case types.SigmaFieldReference():
            how, other = _how(value), value.field
            return lambda event: sigma_match.same(event, name, other, how)
        case types.SigmaExpansion():
            return _any([_of_field(name, each) for each in value.values])
    test = _test(value)
    return lambda event: any(test(each) for each in event.values(name))


def _how(reference: Any) -> Callable[[str, str], bool]:
    ways: Mapping[tuple[bool, bool], Callable[[str, str], bool]] = {
        (False, False): operator.eq,
        (True, False): str.startswith,
        (False, True): str.endswith,
        (True, True): operator.contains,
    }
    return ways[bool(reference.starts_with), bool(reference.ends_with)]


def _of_event(value: Any) -> Node:
    """A keyword: it stands somewhere in the event."""
    from sigma import types

    match value:
        case types.SigmaExpansion():
            return _any([_of_event(each) for each in value.values])
        case types.SigmaString():
            parts = [Wild.MANY, *_parts(value), Wild.MANY]
            test = sigma_match.like(_merged(parts), cased=isinstance(value, types.SigmaCasedString))
        case types.SigmaNumber():
            test = sigma_match.like([Wild.MANY, str(value.number), Wild.MANY])
        case types.SigmaRegularExpression():
            test = _test(value)
        case _:
            raise Invalid(f"a value without a field may be text, number or regular expression, not {_name(value)}")
    return lambda event: any(test(each) for each in event.texts())


def _test(value: Any) -> Test:
    """What a value of a field is tested for."""
    from sigma import types

    match value:
        case types.SigmaString():
            return sigma_match.like(_merged(_parts(value)), cased=isinstance(value, types.SigmaCasedString))
        case types.SigmaRegularExpression():
            flags = "".join(sorted(types.SigmaRegularExpression.sigma_to_re_flag[flag] for flag in value.flags))
            try:
                return sigma_match.matching(str(value.regexp), flags)
            except ValueError as error:
                raise Invalid(f"the regular expression {shown(str(value.regexp))} cannot be used: {error}") from None
        case types.SigmaCIDRExpression():
            return sigma_match.inside(value.network)
        case types.SigmaCompareExpression():
            return sigma_match.compares(getattr(operator, _OPERATORS[value.op.name]), value.number.number)
        case types.SigmaBool():
            return sigma_match.is_bool(value.boolean)
        case types.SigmaNumber() if type(value) is types.SigmaNumber:
            return sigma_match.equals(value.number)
    raise Invalid(f"values of the kind {_name(value)} are not supported")


_OPERATORS = {"LT": "lt", "LTE": "le", "GT": "gt", "GTE": "ge", "NEQ": "ne"}


def _name(value: Any) -> str:
    return type(value).__name__.removeprefix("Sigma")


def _parts(value: Any) -> list[str | Wild]:
    """The parts of a text: literals and wildcards."""
    from sigma.types import SpecialChars

    wild = {SpecialChars.WILDCARD_MULTI: Wild.MANY, SpecialChars.WILDCARD_SINGLE: Wild.ONE}
    parts: list[str | Wild] = []
    for part in value.s:
        if not isinstance(part, str | SpecialChars):
            raise Invalid(f"values of the kind {_name(part)} are not supported")
        parts.append(part if isinstance(part, str) else wild[part])
    return parts


def _merged(parts: list[str | Wild]) -> list[str | Wild]:
    """The same parts, with one `*` where several follow one another."""
    return [part for index, part in enumerate(parts) if part is not Wild.MANY or parts[index - 1 : index] != [part]]
