"""Values of variables: CACAO writes each one as text, and its type says which texts are good (section 10.18.4)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from soar import strict_json
from soar.errors import Invalid, Problem
from soar.strict_text import escaped

LARGEST = 2**53 - 1

REFERENCE = re.compile(r"__[A-Za-z0-9_-]+?__:value", re.ASCII)
"""A variable in a text of CACAO's; what it stands for is known only when the playbook runs."""


def _json(*kinds: type) -> Callable[[str], bool]:
    def good(text: str) -> bool:
        try:
            value = strict_json.parse(text)
        except Invalid:
            return False
        return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))

    return good


def _address(kind: Callable[[str], Any]) -> Callable[[str], bool]:
    def good(text: str) -> bool:
        try:
            kind(text)
        except ValueError:
            return False
        return True

    return good


def _written(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text, re.ASCII) is not None


_GOOD: Mapping[str, Callable[[str], bool]] = {
    "bool": _json(bool),
    "integer": _json(int),
    "long": _json(int),
    "float": _json(int, float),
    "list": _json(list),
    "dictionary": _json(dict),
    "ipv4-addr": _address(ipaddress.IPv4Interface),
    "ipv6-addr": _address(ipaddress.IPv6Interface),
    "mac-addr": _written(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}"),
    "hexstring": _written(r"(?:[0-9a-fA-F]{2})+"),
    "hash": _written(r"[0-9a-fA-F]{16,256}"),
    "md5-hash": _written(r"[0-9a-fA-F]{32}"),
    "sha256-hash": _written(r"[0-9a-fA-F]{64}"),
    "uri": _written(r"[A-Za-z][A-Za-z0-9+.-]*:\S+"),
    "uuid": _written(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}
_JSON = frozenset({"any", "bool", "integer", "long", "float", "list", "dictionary"})
"""Types whose texts are JSON; `any` is a word of ours."""


def fits(kind: str, text: str) -> bool:
    """Whether a text is a value of this type, in CACAO's words; a word that is not known takes any text."""
    good = _GOOD.get(kind)
    return good is None or REFERENCE.search(text) is not None or good(text)


def parsed(kind: str, text: str) -> Any:
    """What the text says: a value of JSON for the types that are written so, else the text itself.

    A text that stands for another variable, that is no JSON, or that is a larger number than canonical
    JSON holds, stays as it is.
    """
    if kind not in _JSON:
        return text
    try:
        value = strict_json.parse(text)
    except Invalid:
        return text
    return text if any(too_large(value, "")) else value


def number(text: str) -> int | None:
    """The whole number that a text is, if it is one."""
    return int(text) if re.fullmatch(r"-?\d{1,400}", text, re.ASCII) else None


def too_large(value: Any, pointer: str) -> Iterator[Problem]:
    """Each number in JSON-like data that canonical JSON cannot hold (RFC 8785, section 3.1: I-JSON)."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from too_large(each, f"{pointer}/{escaped(str(name))}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from too_large(each, f"{pointer}/{index}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        message, mend = "a number here is too large", "Write it as text."
        yield Problem(code="number_too_large", message=message, pointer=pointer, mend=mend)
