"""The texts of a CACAO command with the values of its variables. Pure.

A value may come from an alert, so it is data and stays data: in a shell's line and in a rule only
harmless characters are put, in a request's address it is escaped, in JSON it stays inside its string, in
a header it is one line. `__name__:value` is what a command says for a variable (section 10.18).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from soar import strict_json
from soar.errors import Invalid, Problem
from soar.playbook.commands import LOOKS_AT
from soar.playbook.places import nearest
from soar.strict_text import shown

PLACE = re.compile(r"__(?P<name>[A-Za-z](?:[A-Za-z0-9-]|_(?!_:value))*)__:value", re.ASCII)
_HARMLESS = re.compile(r"[A-Za-z0-9_@%+=:,./-]*", re.ASCII)
_HARMLESS_IN_RULES = re.compile(r"[A-Za-z0-9_@%+=:./-]*", re.ASCII)
_SHELLS = frozenset({"bash", "ssh", "powershell", "caldera-cmd"})
Put = Callable[[str, str], str]
"""(name, value) -> what stands in the text for it."""


def fill(command: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The command with its variables filled in; raises Invalid for one without a value or one that may not stand there.

    `content_b64` and `command_b64` become text: `content`, `command`.
    """
    kind = str(command["type"])
    filled = {name: value for name, value in command.items() if name not in ("content_b64", "command_b64")}
    for name in ("content", "command"):
        if f"{name}_b64" in command:
            filled[name] = decoded(command[f"{name}_b64"], f"{name}_b64")
    if isinstance(filled.get("command"), str):
        filled["command"] = texts(filled["command"], variables, _in_shell if kind in _SHELLS else _in_command(kind))
    if isinstance(filled.get("content"), str):
        filled["content"] = _content(filled["content"], variables)
    if isinstance(filled.get("headers"), Mapping):
        filled["headers"] = {name: texts(said, variables, _in_line) for name, said in filled["headers"].items()}
    return filled


def texts(template: Any, variables: Mapping[str, Any], put: Put) -> Any:
    """A text, list or object with the variables in its texts filled in. Raises Invalid."""
    if isinstance(template, Mapping):
        return {name: texts(each, variables, put) for name, each in template.items()}
    if isinstance(template, list | tuple):
        return [texts(each, variables, put) for each in template]
    if not isinstance(template, str):
        return template
    return PLACE.sub(lambda found: put(found["name"], _value(found["name"], variables)), template)


def as_it_is(_name: str, value: str) -> str:
    """The value itself: where nobody reads the text as a language."""
    return value


def decoded(data: Any, pointer: str) -> str:
    """Base64 to text; raises Invalid."""
    try:
        return base64.b64decode(str(data), validate=True).decode()
    except (binascii.Error, ValueError):
        message = "this is no Base64 of a text in UTF-8"
        raise Invalid(message, [Problem(code="bad_base64", message=message, pointer=pointer)]) from None


def _value(name: str, variables: Mapping[str, Any]) -> str:
    """The value as CACAO writes values: text, and JSON for what is none. `__step__output__` is an output's name."""
    value: Any = variables.get(name)
    if name not in variables:
        value = variables
        for key in name.split("__"):
            value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        message = f"{name} has no value here"
        raise Invalid(message, [Problem(code="missing_value", message=message, mend=nearest(name, variables, " "))])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _in_command(kind: str) -> Put:
    if kind in LOOKS_AT:
        return _in_rule
    return _in_address if kind in ("http-api", "openc2-http") else as_it_is


def _in_shell(name: str, value: str) -> str:
    if not _HARMLESS.fullmatch(value) or value.startswith("-"):
        raise _unfit(name, value, "a command line", "Only letters, digits and _@%+=:,./- may stand there.")
    return value


def _in_rule(name: str, value: str) -> str:
    """In a rule to search with, a value that ends its string could make the rule find nothing."""
    if not _HARMLESS_IN_RULES.fullmatch(value):
        raise _unfit(name, value, "a rule", "Only letters, digits and _@%+=:./- may stand there.")
    return value


def _in_address(_name: str, value: str) -> str:
    return quote(value, safe="")


def _in_line(name: str, value: str) -> str:
    if not value.isprintable():
        raise _unfit(name, value, "a header", "Only one line of printable characters may stand there.")
    return value


def _content(text: str, variables: Mapping[str, Any]) -> str:
    """JSON is filled in string by string, so that no value can end its string; other content as it is."""
    try:
        document = strict_json.parse(text)
    except Invalid:
        return str(texts(text, variables, as_it_is))
    return json.dumps(texts(document, variables, as_it_is), ensure_ascii=False)


def _unfit(name: str, value: str, where: str, mend: str) -> Invalid:
    message = f"the value of {name} may not stand in {where}: {shown(value)}"
    return Invalid(message, [Problem(code="unfit_value", message=message, mend=mend)])
