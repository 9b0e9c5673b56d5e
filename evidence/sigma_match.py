"""What a Sigma rule asks of one event: fields by name, and tests of their values (Sigma specification 2.1).

Text is compared without regard to case unless the rule says `cased`. A field that holds a list matches when
one of its values does. Regular expressions are RE2: found anywhere, in time linear to the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import re2

Test = Callable[[Any], bool]
"""Whether one value of an event fits."""
Network = IPv4Network | IPv6Network
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)
_MAX_MEMORY = 8 * 1024 * 1024


class Wild(Enum):
    """What may stand between the literal parts of a text."""

    MANY = "*"
    ONE = "?"


class Event:
    """One line of a log. What a rule asks for is looked up once."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self._found: dict[str, list[Any]] = {}
        self._texts: list[str] | None = None

    def found(self, name: str) -> list[Any]:
        """What stands under a name: as it is written, or nested, with dots between the names."""
        if name not in self._found:
            self._found[name] = list(_look_up(self.data, name))
        return self._found[name]

    def values(self, name: str) -> list[Any]:
        """The values of a field, those of lists one by one."""
        return list(_flat(self.found(name)))

    def texts(self) -> list[str]:
        """Every value of the event, as text."""
        if self._texts is None:
            self._texts = [said for value in _flat([self.data], inside=True) if (said := text(value)) is not None]
        return self._texts


def _look_up(data: Any, name: str) -> Iterator[Any]:
    """Each way to read the name, so that `a.b` is found in {"a.b": 1}, in {"a": {"b": 1}} and in lists of these."""
    waiting = [(data, name)]
    while waiting:
        here, rest = waiting.pop()
        if isinstance(here, list):
            waiting += [(each, rest) for each in here]
        elif isinstance(here, dict):
            if rest in here:
                yield here[rest]
            cut = rest.find(".")
            while cut >= 0:
                if rest[:cut] in here:
                    waiting.append((here[rest[:cut]], rest[cut + 1 :]))
                cut = rest.find(".", cut + 1)


def _flat(values: list[Any], *, inside: bool = False) -> Iterator[Any]:
    """The values of lists one by one, those of objects too where they are looked into."""
    waiting = values[::-1]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += here[::-1]
        elif inside and isinstance(here, dict):
            waiting += list(here.values())[::-1]
        else:
            yield here


def text(value: Any) -> str | None:
    """A value as a rule would write it; None for what is no text: null and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def number(value: Any) -> int | float | None:
    """A number, or a text that is written like one."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def like(parts: Sequence[str | Wild], *, cased: bool = False) -> Test:
    """The whole value is these parts: literals, and `*` and `?` between them."""
    parts = list(parts) if cased else [part.lower() if isinstance(part, str) else part for part in parts]
    fits = _fits(parts)

    def test(value: Any) -> bool:
        said = text(value)
        return said is not None and fits(said if cased else said.lower())

    return test


def _fits(parts: list[str | Wild]) -> Callable[[str], bool]:
    literal = "".join(part for part in parts if isinstance(part, str))
    shape = ["" if isinstance(part, str) else part.value for part in parts]
    match shape:
        case [] | [""]:
            return lambda said: said == literal
        case ["*"] | ["*", "", "*"]:
            return lambda said: literal in said
        case ["", "*"]:
            return lambda said: said.startswith(literal)
        case ["*", ""]:
            return lambda said: said.endswith(literal)
    wild = {Wild.MANY: ".*", Wild.ONE: "."}
    compiled = _compiled("(?s)" + "".join(re2.escape(part) if isinstance(part, str) else wild[part] for part in parts))
    return lambda said: compiled.fullmatch(_sound(said)) is not None


def matching(pattern: str, flags: str = "") -> Test:
    """A regular expression, found anywhere in the value; `flags` of i, m and s. Raises ValueError with the reason."""
    compiled = _compiled(f"(?{flags}){pattern}" if flags else pattern)

    def test(value: Any) -> bool:
        said = text(value)
        return said is not None and compiled.search(_sound(said)) is not None

    return test


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from None


def _sound(said: str) -> str:
    """The text without halves of surrogate pairs: RE2 takes UTF-8."""
    return said if said.isascii() else said.encode("utf-8", "replace").decode()


def equals(wanted: float) -> Test:
    """A number, also where it is written as text."""
    return lambda value: number(value) == wanted


def compares(holds: Callable[[Any, Any], bool], wanted: float) -> Test:
    """A number on the right side of another one."""

    def test(value: Any) -> bool:
        known = number(value)
        return known is not None and holds(known, wanted)

    return test


def is_bool(wanted: bool) -> Test:
    """True or false, also where it is written as text."""
    said = "true" if wanted else "false"
    return lambda value: (text(value) or "").lower() == said


def inside(network: Network) -> Test:
    """An address of a network; one of version 4 also where it is written in version 6."""

    def test(value: Any) -> bool:
        try:
            address: IPv4Address | IPv6Address = ip_address(value) if isinstance(value, str) else ip_address("")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return address in network or (mapped is not None and mapped in network)

    return test


def same(event: Event, name: str, other: str, how: Callable[[str, str], bool]) -> bool:
    """A value of one field fits a value of another one, as text."""
    mine, theirs = ([said.lower() for each in event.values(one) if (said := text(each))] for one in (name, other))
    return any(how(each, wanted) for each in mine for wanted in theirs)
