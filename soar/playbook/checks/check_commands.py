"""Rules of CACAO commands (section 5): what each type must hold, and that no secret is written out."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from soar.errors import Problem
from soar.playbook.checks.subject import Subject
from soar.playbook.commands import BASE64_ONLY, COMMAND_TYPES, MANUAL
from soar.playbook.model import ActionStep
from soar.playbook.places import nearest
from soar.playbook.references import PATTERN
from soar.strict_text import escaped, shown

HTTP = frozenset({"http-api", "openc2-http"})
"""Types whose command is the start line of an HTTP request."""
PROPERTIES = frozenset({
    "type", "command", "command_b64", "content", "content_b64", "headers", "description", "version",
    "playbook_activity", "external_references", "name",
})  # fmt: skip

_START_LINE = re.compile(r"[A-Z]+ \S+ HTTP/[0-9](?:\.[0-9])?", re.ASCII)
_SECRET_HEADERS = frozenset({
    "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "apikey", "x-auth-token", "private-token",
})  # fmt: skip
_WORD = r"[\"']?[\w-]{0,40}?(?:password|passwd|passphrase|secret|api_?key|access_token|auth_token|private_key)[\"']?"
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"authorization\s{0,8}[:=]\s{0,8}[\"']?(?:bearer|basic|token)\s{1,8}(?P<value>[^\s\"']+)",
        rf"(?<![\w-]){_WORD}\s{{0,8}}[:=]\s{{0,8}}[\"']?(?P<value>[^\s\"'&,;{{}}()\[\]<>]+)",
        r"--(?:password|token|secret|api-key)[ =][\"']?(?P<value>[^\s\"']+)",
        r"sshpass\s{1,8}-p\s{0,8}[\"']?(?P<value>[^\s\"']+)",
        r"[a-z][a-z0-9+.-]{0,15}://[^\s/:@]{1,100}:(?P<value>[^\s/@]{1,200})@",
        r"(?P<value>-----BEGIN [A-Z ]*PRIVATE KEY-----)",
        r"(?P<value>\bAKIA[0-9A-Z]{16}\b)",
    )
)
_CODE = frozenset({"jupyter", "kestrel", "sigma", "yara", "elastic"})
"""Types that hold programs and rules, in which a word such as password = is mostly no secret."""
_MEND_SECRET = "Keep it in the store of secrets, and take it in by a variable (__token__:value) or authentication."  # noqa: S105 - advice, no secret


def commands(subject: Subject) -> Iterator[Problem]:
    """Each command is one that something can carry out, whole, and in the form of its type."""
    for step in subject.actions():
        ours = step.soar is not None and (step.soar.verb or step.soar.undo or step.soar.manual)
        if not step.commands and not ours:
            message, mend = f"{step.label} has no commands", "Add one, or use a verb (`do`)."
            yield subject.problem("no_commands", message, step, "command", mend)
        kinds = {str(command.get("type")) for command in step.commands}
        if MANUAL in kinds and len(kinds) > 1:
            message = f"{step.label} asks a person and acts by itself in one step"
            mend = "Split the step: one for the question, one for the rest."
            yield subject.problem("mixed_commands", message, step, "command", mend)
        for index, command in enumerate(step.commands):
            yield from _command(subject, step, index, command)


def _command(subject: Subject, step: ActionStep, index: int, command: Mapping[str, Any]) -> Iterator[Problem]:
    kind = command.get("type")

    def problem(code: str, message: str, key: str = "", mend: str = "") -> Problem:
        return subject.places.problem(code, f"{step.label}: {message}", _place(subject, step, index, key), mend)

    if not isinstance(kind, str) or kind not in COMMAND_TYPES:
        said = shown(str(kind))
        mend = nearest(str(kind), COMMAND_TYPES)
        yield problem("unknown_command_type", f"nothing can carry out a command of type {said}", "type", mend)
        return
    for name in command:
        if name not in PROPERTIES:
            message = f"a command has no {shown(name)}"
            yield problem("unknown_command_property", message, escaped(name), nearest(name, PROPERTIES))
    for code, message, key, mend in (*_texts(kind, command), *_http(kind, command), *_secrets(kind, command)):
        yield problem(code, message, key, mend)


def _place(subject: Subject, step: ActionStep, index: int, key: str) -> str:
    """The pointer of a command's part. In YAML a single command stands without a list around it."""
    at = subject.pointer(step, "command")
    listed = f"{at}/{index}"
    if at in subject.places.document.places and listed not in subject.places.document.places:
        listed = at
    return f"{listed}/{key}" if key else listed


_Found = Iterator[tuple[str, str, str, str]]
"""Code, message, key in the command, mend."""


def _texts(kind: str, command: Mapping[str, Any]) -> _Found:
    """Each thing is said once: plain, or in base64 where the type wants it so."""
    plain, packed = command.get("command"), command.get("command_b64")
    if not plain and not packed:
        key = "command_b64" if kind in BASE64_ONLY else "command"
        yield "command_missing", "the command says nothing", "", f"Add {key}."
    if kind in BASE64_ONLY and plain and not packed:
        mend = f"Write it in base64 as command_b64; CACAO's {kind} has no other form."
        yield "needs_base64", f"a command of type {kind} stands in command_b64", "command", mend
    for name in ("command", "content"):
        if command.get(name) and command.get(f"{name}_b64"):
            message = f"{name} and {name}_b64 say the same thing, perhaps differently"
            yield "command_twice", message, f"{name}_b64", "Keep one of them."
        if name in command and not isinstance(command[name], str):
            yield "wrong_type", f"{name} must be text", name, "Write text."
        text = command.get(f"{name}_b64")
        if text is not None and _unpacked(text) is None:
            mend = "Encode it (RFC 4648, section 4), with its padding."
            yield "not_base64", f"{name}_b64 is not base64", f"{name}_b64", mend


def _http(kind: str, command: Mapping[str, Any]) -> _Found:
    """The first line of a request and its headers (section 5.6)."""
    if kind not in HTTP:
        return
    line, headers = command.get("command"), command.get("headers", {})
    if isinstance(line, str) and line and not _START_LINE.fullmatch(line):
        message = f"{shown(line)} is no start line of a request"
        yield "bad_start_line", message, "command", "Write METHOD target HTTP/1.1, as in GET /v1/hosts HTTP/1.1."
    if not isinstance(headers, Mapping):
        yield "bad_headers", "headers must be an object", "headers", "Map each name to a list of texts."
        return
    for name, values in headers.items():
        if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
            mend = f"Write {name}: [text]."
            yield "bad_headers", f"the header {shown(name)} is no list of texts", f"headers/{escaped(name)}", mend


def _secrets(kind: str, command: Mapping[str, Any]) -> _Found:
    headers = command.get("headers")
    for name, values in (headers if isinstance(headers, Mapping) else {}).items():
        for value in values if isinstance(values, list | tuple) else [values]:
            if name.lower() in _SECRET_HEADERS and isinstance(value, str) and value and not _refers(value):
                message = f"the header {shown(name)} holds a secret"
                yield "literal_secret", message, f"headers/{escaped(name)}", _MEND_SECRET
    for key in ("command", "command_b64", "content", "content_b64"):
        text = command.get(key)
        text = _unpacked(text) if key.endswith("_b64") else text
        if isinstance(text, str) and kind != MANUAL and holds_secret(text, code=kind in _CODE):
            yield "literal_secret", f"{key} holds a secret", key, _MEND_SECRET


def holds_secret(text: str, *, code: bool = False) -> bool:
    """Whether a text spells out a password, a token or a key. In program text only what can be nothing else counts."""
    for pattern in _SECRETS[-2:] if code else _SECRETS:
        for found in pattern.finditer(text):
            if not re.match(r"__|[$%<{*]|env:|file:", found["value"]):
                return True
    return False


def _refers(text: str) -> bool:
    """Whether a variable stands in a text, in either notation."""
    return "__:value" in text or PATTERN.search(text) is not None


def _unpacked(text: Any) -> str | None:
    """What a base64 text holds, as far as it is text; None where it is not base64."""
    if not isinstance(text, str):
        return None
    if text.startswith("__") and text.endswith("__:value"):
        return ""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (ValueError, binascii.Error):
        return None
