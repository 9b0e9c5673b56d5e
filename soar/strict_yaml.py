"""The one reader of YAML: playbooks and settings that people write.

Values follow the core schema of YAML 1.2 (section 10.3), so `no`, `on`, `12:30:45` and dates stay
text. Left out is what hides or multiplies meaning: aliases, anchors, tags, directives, merge keys,
several documents, keys that are not text, duplicate keys, NaN and infinity, control characters.

The document is built from the parser's events, which come one at a time and without recursion, so
that every limit holds before anything is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from soar.errors import Invalid, Problem, TooLarge
from soar.strict_text import LONGEST_POINTER, decode, escaped, place, shown

_LONGEST_INTEGER = 1_000
_MAX_PROBLEMS = 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Line breaks that only some readers see as such (NEL, LS, PS) could hide a line from the reviewer.
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ufffd\U00010000-\U0010ffff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True)
class Document:
    """A document's value, and where its parts stand.

    `places` maps a JSON Pointer to line and column (from 1) of the node; with "#key" after the
    pointer, to those of the mapping key that leads to it. Pointers over 512 characters are left out.
    """

    value: Any
    places: Mapping[str, tuple[int, int]]


def parse(text: bytes | str, *, max_bytes: int = 1_048_576, max_depth: int = 64, max_nodes: int = 20_000) -> Document:
    """Read one YAML document. `max_nodes` counts scalars (keys too), sequences and mappings.

    Raises TooLarge over a limit, else Invalid with every problem up to the first broken syntax;
    each names line and column, and the pointer of the node.
    """
    source = decode(text, max_bytes=max_bytes, what="YAML document")
    if bad := _NOT_TEXT.search(source):
        line, column = place(source, bad.start())
        message = f"the character U+{ord(bad.group()):04X} may not stand in a YAML document"
        mend = "Remove it, or write it as an escape in double quotes."
        raise Invalid(
            problems=[Problem(code="control_character", message=message, line=line, column=column, mend=mend)]
        )
    builder = _Builder(max_depth, max_nodes)
    builder.run(yaml.parse(source, Loader=_LOADER))
    if builder.problems:
        raise (TooLarge if builder.too_large else Invalid)(problems=builder.problems)
    return Document(value=builder.root, places=builder.places)


def at(document: Document, pointer: str) -> tuple[int | None, int | None]:
    """Line and column of the node at the pointer, or of its nearest parent that is known."""
    if pointer not in document.places:
        pointer = pointer.removesuffix("#key")
    while pointer and pointer not in document.places:
        pointer = pointer.rpartition("/")[0]
    return document.places.get(pointer, (None, None))


class _Stop(Exception):
    """Nothing after this place can be read."""


@dataclass(slots=True)
class _Frame:
    """An open mapping or sequence. `key` is the name whose value comes next; `pointer` None is too long."""

    value: dict[str, Any] | list[Any]
    pointer: str | None
    key: str | None = None

    def child(self) -> str | None:
        """The pointer of the value that comes next; of the mapping itself where a key comes next."""
        if self.pointer is None or (isinstance(self.value, dict) and self.key is None):
            return self.pointer
        step = str(len(self.value)) if isinstance(self.value, list) else escaped(self.key or "")
        pointer = f"{self.pointer}/{step}"
        return pointer if len(pointer) <= LONGEST_POINTER else None


@dataclass(slots=True)
class _Builder:
    """Builds the value from events; notes bad values and goes on, stops at a limit."""

    max_depth: int
    max_nodes: int
    root: Any = None
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    too_large: bool = False
    nodes: int = 0
    documents: int = 0
    stack: list[_Frame] = field(default_factory=list)

    def run(self, events: Iterable[yaml.Event]) -> None:
        try:
            for event in events:
                if isinstance(event, yaml.NodeEvent):
                    self._node(event)
                elif isinstance(event, yaml.CollectionEndEvent):
                    self.stack.pop()
                elif isinstance(event, yaml.DocumentStartEvent):
                    self._document(event)
            if not self.documents:
                self._note("empty", "there is no YAML document here", (1, 1), "Write one.")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = " ".join(part for part in (error.problem, error.context) if part)
            where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.problems.append(self._problem("syntax", message, where, "Check indentation, quotes and brackets."))
        except _Stop:
            pass

    def _problem(self, code: str, message: str, where: tuple[int, int], mend: str) -> Problem:
        pointer = next((known for known in map(_Frame.child, reversed(self.stack)) if known), "")
        return Problem(code=code, message=message, pointer=pointer, line=where[0], column=where[1], mend=mend)

    def _note(self, code: str, message: str, where: tuple[int, int], mend: str) -> None:
        self.problems.append(self._problem(code, message, where, mend))
        if len(self.problems) >= _MAX_PROBLEMS:
            raise _Stop

    def _over(self, code: str, message: str, where: tuple[int, int]) -> NoReturn:
        self.too_large = True
        self.problems.append(self._problem(code, message, where, "Make it smaller, or flatter."))
        raise _Stop

    def _document(self, event: yaml.DocumentStartEvent) -> None:
        self.documents += 1
        if self.documents > 1:
            self._note("several_documents", "a second document begins here", _where(event), "Keep one document a file.")
            raise _Stop
        if event.version or event.tags:
            self._note("directive", "directives (%YAML, %TAG) are not read", _where(event), "Remove them.")

    def _node(self, event: yaml.NodeEvent) -> None:
        where = _where(event)
        self.nodes += 1
        if self.nodes > self.max_nodes:
            self._over("too_many_nodes", f"the document has more than {self.max_nodes} nodes", where)
        self._refuse_indirection(event, where)
        frame = self.stack[-1] if self.stack else None
        if frame and isinstance(frame.value, dict) and frame.key is None:
            self._key(event, frame, where)
            return
        pointer = frame.child() if frame else ""
        if pointer is not None:
            self.places.setdefault(pointer, where)
        value: Any = None
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) >= self.max_depth:
                self._over("too_deep", f"the document is nested deeper than {self.max_depth}", where)
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        elif isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, where)
        self._attach(frame, value)
        if isinstance(event, yaml.CollectionStartEvent):
            self.stack.append(_Frame(value, pointer))

    def _attach(self, frame: _Frame | None, value: Any) -> None:
        if frame is None:
            self.root = value
        elif isinstance(frame.value, list):
            frame.value.append(value)
        else:
            frame.value[frame.key or ""] = value
            frame.key = None

    def _refuse_indirection(self, event: yaml.NodeEvent, where: tuple[int, int]) -> None:
        name = shown(str(event.anchor))
        if isinstance(event, yaml.AliasEvent):
            self._note("alias", f"the alias {name} is not read", where, "Write the value out.")
            return
        if event.anchor is not None:
            self._note("anchor", f"the anchor {name} is not read", where, "Remove it.")
        if getattr(event, "tag", None) is not None:
            self._note("tag", "tags (!...) are not read", where, "Remove it; quote the value if it is text.")

    def _key(self, event: yaml.NodeEvent, frame: _Frame, where: tuple[int, int]) -> None:
        """Take a mapping key. A key that is itself a collection ends the reading."""
        if not isinstance(event, yaml.ScalarEvent):
            self._note("key_not_text", "a key must be text", where, "Write a plain word as key.")
            raise _Stop
        key = self._scalar(event, where)
        frame.key = name = str(event.value)
        if name == "<<" and _is_plain(event):
            self._note("merge_key", "merge keys are not read", where, "Write the values out.")
        elif not isinstance(key, str):
            self._note("key_not_text", f"the key {shown(name)} is not text", where, "Put it in quotes.")
        known = f"{frame.pointer}/{escaped(name)}#key"
        if name in frame.value:
            first = self.places.get(known, where)[0]
            message = f"the key {shown(name)} stands twice in one mapping, first on line {first}"
            self._note("duplicate_key", message, where, "Keep one of them.")
        if frame.pointer is not None and len(known) <= LONGEST_POINTER:
            self.places.setdefault(known, where)

    def _scalar(self, event: yaml.ScalarEvent, where: tuple[int, int]) -> Any:
        text: str = event.value
        if bad := _CONTROL.search(text):
            message = f"the value holds the character U+{ord(bad.group()):04X}"
            self._note("control_character", message, where, "Remove it.")
            return text
        if not _is_plain(event):
            return text
        return _WORDS[text] if text in _WORDS else self._number(text, where)

    def _number(self, text: str, where: tuple[int, int]) -> int | float | str:
        """A plain scalar that is no word of the schema: a number if it is written like one, else text."""
        if _INTEGER.fullmatch(text):
            if len(text) <= _LONGEST_INTEGER:
                return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
            message = f"the integer has more than {_LONGEST_INTEGER} digits"
            self._note("number_too_long", message, where, "Put it in quotes.")
        elif _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and math.isinf(float(text))):
            self._note("not_finite", f"{shown(text)} is no finite number", where, "Put it in quotes if it is text.")
        elif _FLOAT.fullmatch(text):
            return float(text)
        return text


def _is_plain(event: yaml.ScalarEvent) -> bool:
    """Without quotes and not a block scalar; the two parsers of PyYAML say it in two ways."""
    return event.style in (None, "")


def _where(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
