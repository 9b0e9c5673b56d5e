"""From the text of an expression to its tree, by the STIX 2.1 grammar of `stix2-patterns`.

The generated parser recurses, so the tokens are looked at first: size, nesting and everything that
belongs to patterns of several observations are refused before it runs. Its tree is walked without
recursion where it is as deep as the text is long (`a OR b OR c ...`).
"""

from __future__ import annotations

import operator
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from soar.errors import Invalid, Problem, TooLarge
from soar.expression_values import (
    Comparison,
    Literal,
    Path,
    Test,
    equal,
    inside,
    like,
    matches,
    member,
    moment,
    number,
    octets,
    ordered,
    present,
)
from soar.strict_text import decode, place, shown

MAX_BYTES = 4_096
MAX_DEPTH = 32

# The generated parser keeps what it learned in class attributes that threads would share.
_ONE_AT_A_TIME = threading.Lock()

_OBSERVATION_WORDS = {"FOLLOWEDBY", "WITHIN", "REPEATS", "TIMES", "SECONDS", "START", "STOP", "LAST"}
_OPERATORS = {"=", "==", "!=", "<>", "<", "<=", ">", ">=", "IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"}
_STRANGERS = {
    '"': ("double quotes have no meaning here", "Write paths bare and text in single quotes."),
    "$": ("$ names a variable in YAML only", "Write __name__:value."),
    "\\": ("a backslash stands outside of a string", "Write text in single quotes, \\\\ for a backslash."),
    "'": ("this quote begins no string", "Close the string; write \\' for a quote in it and \\\\ for a backslash."),
}
_SHAPE = "Write comparisons such as alert:severity_id >= 4, joined by AND and OR."
_MENDS = {
    "MATCHES": "Write a shorter or simpler RE2 regular expression.",
    "LIKE": "Use fewer wildcards, or MATCHES.",
    "ISSUBSET": "Write a network such as '10.0.0.0/8'.",
    "ISSUPERSET": "Write a network such as '10.0.0.0/8'.",
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class All:
    """Parts joined by AND."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Parts joined by OR."""

    parts: tuple[Node, ...]


Node = All | AnyOf | Comparison


def read(text: str) -> tuple[Node, tuple[str, ...], frozenset[str]]:
    """The tree, the object paths and the names of the variables. Raises TooLarge or Invalid."""
    return _Reader(decode(text, max_bytes=MAX_BYTES, what="expression")).read()


class _Reader:
    """Reads one expression. Tokens are those of the generated lexer, brackets of our own around them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Any] = []
        self.paths: dict[str, None] = {}
        self.variables: set[str] = set()

    def read(self) -> tuple[Node, tuple[str, ...], frozenset[str]]:
        with _ONE_AT_A_TIME:
            tree = self._parse()
        node = self._any(tree.comparisonExpression())
        return node, tuple(self.paths), frozenset(self.variables)

    # -- before and while the parser runs

    def _parse(self) -> Any:
        import antlr4
        from antlr4.error.Errors import ParseCancellationException
        from stix2patterns.v21.grammars.STIXPatternLexer import STIXPatternLexer
        from stix2patterns.v21.grammars.STIXPatternParser import STIXPatternParser

        # A line comment at the end must not swallow the closing bracket.
        lexer = STIXPatternLexer(antlr4.InputStream(f"[{self.text}\n]"))
        lexer.removeErrorListeners()
        stream = antlr4.CommonTokenStream(lexer)
        stream.fill()
        self.tokens = stream.tokens
        self._check_tokens(self.tokens[1:-2], STIXPatternLexer)
        parser = STIXPatternParser(stream)
        parser.removeErrorListeners()
        parser._errHandler = antlr4.BailErrorStrategy()  # noqa: SLF001 - antlr has no public way
        try:
            return parser.observationExpression()
        except ParseCancellationException as error:
            self._misread(error.args[0].offendingToken)

    def _refuse(
        self, code: str, message: str, mend: str, token: Any = None, error: type[Invalid] = Invalid
    ) -> NoReturn:
        line, column = place(self.text, len(self.text) if token is None else token.start - 1)
        raise error(problems=[Problem(code=code, message=message, line=line, column=column, mend=mend)])

    def _check_tokens(self, tokens: list[Any], words: Any) -> None:
        """Refuse, before the parser runs, what it would choke on or what it would take too kindly."""
        if not tokens:
            self._refuse("empty", "there is no expression here", _SHAPE)
        for token in tokens:
            if token.type in (words.InvalidCharacter, words.QUOTE):
                what, mend = _STRANGERS.get(token.text, (f"{shown(token.text)} has no meaning here", _SHAPE))
                self._refuse("expression_syntax", what, mend, token)
            if token.text in _OBSERVATION_WORDS:
                what = f"{token.text} belongs to patterns of several observations"
                self._refuse("expression_observation", what, "Compare facts; put a key of this name in quotes.", token)
        self._check_nesting(tokens)
        self._check_brackets(tokens, words)
        for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
            opens = before is None or before.text in ("AND", "OR", "(")
            if token.text == "NOT" and opens and not (after and after.text == "EXISTS"):
                self._refuse("expression_syntax", "NOT stands before a path", "Write it after: a:b NOT = 1.", token)

    def _check_nesting(self, tokens: list[Any]) -> None:
        opened: list[Any] = []
        for token in tokens:
            if token.text == "(":
                opened.append(token)
            elif token.text == ")":
                if not opened:
                    self._refuse("expression_syntax", "this parenthesis closes nothing", "Take it out.", token)
                opened.pop()
            if len(opened) > MAX_DEPTH:
                what = f"the expression is nested deeper than {MAX_DEPTH}"
                self._refuse("too_deep", what, "Take out parentheses, or split it.", token, TooLarge)
        if opened:
            self._refuse("expression_syntax", "this parenthesis is never closed", "Close it.", opened[-1])

    def _check_brackets(self, tokens: list[Any], words: Any) -> None:
        """Brackets are for indexes alone: [3] or [*]. Around comparisons they would make observations."""
        indexes: set[int] = set()
        for position, token in enumerate(tokens):
            inner = tokens[position + 1 : position + 3]
            if token.text == "[" and len(inner) == 2 and inner[1].text == "]":
                if inner[0].type not in (words.IntPosLiteral, words.ASTERISK):
                    self._refuse("expression_syntax", "an index counts from 0 up", "Write [0] or [*].", token)
                indexes.add(position + 2)
            elif token.text in ("[", "]") and position not in indexes:
                what = "brackets around comparisons make observations, which are not read here"
                self._refuse("expression_observation", what, "Leave the brackets out.", token)

    def _misread(self, token: Any) -> NoReturn:
        """Say what the parser stumbled over, at the token where it did."""
        before = self.tokens[token.tokenIndex - 1].text
        ends = token.tokenIndex >= len(self.tokens) - 2
        word = "the end" if ends else shown(token.text)
        what, mend = f"{word} cannot stand here; this is no comparison", _SHAPE
        if before in _OPERATORS:
            what = f"{word} cannot stand after {before}"
            mend = "Compare with a number, 'text', true, false or t'2026-01-31T12:00:00Z'."
        elif before in ("AND", "OR", "("):
            what = f"a comparison is missing before {word}"
        elif ends or token.text in ("AND", "OR", ")"):
            what = f"the comparison before {word} is not whole"
            mend = "Write = true after a path to ask whether it is true."
        self._refuse("expression_syntax", what, mend, None if ends else token)

    # -- after the parser ran

    def _any(self, tree: Any) -> Node:
        parts = tuple(self._all(part) for part in _joined(tree))
        return parts[0] if len(parts) == 1 else AnyOf(parts)

    def _all(self, tree: Any) -> Node:
        parts = tuple(self._test(part) for part in _joined(tree))
        return parts[0] if len(parts) == 1 else All(parts)

    def _test(self, tree: Any) -> Node:
        kind = type(tree).__name__
        if kind == "PropTestParenContext":
            return self._any(tree.comparisonExpression())
        path = self._path(tree.objectPath())
        negation = "NOT " if tree.NOT() else ""
        if kind == "PropTestExistsContext":
            text = _line(f"{negation}EXISTS {path.text}")
            return Comparison(path=path, text=text, test=present, absence=bool(negation))
        operands = list(tree.getChildren())
        word = {"==": "=", "<>": "!="}.get(sign := operands[-2].getText(), sign)
        literals = [self._literal(token) for token in self._leaves(operands[-1]) if token.text not in ("(", ",", ")")]
        if not literals:
            self._refuse("expression_syntax", "the list is empty", "Name at least one constant.", tree.start)
        told = ", ".join(literal.text for literal in literals)
        told = f"({told})" if word == "IN" else told
        return Comparison(
            path=path,
            text=_line(f"{path.text} {negation}{word} {told}"),
            test=self._meaning(word, literals, self._leaves(operands[-1])[0]),
            negated=bool(negation) != (word == "!="),
        )

    def _meaning(self, word: str, literals: list[Literal], token: Any) -> Test:
        first = literals[0]
        try:
            if word in _ORDER:
                return ordered(first, _ORDER[word])
            if word == "IN":
                return member(literals)
            if word in ("LIKE", "MATCHES"):
                return (like if word == "LIKE" else matches)(first.string or "")
            if word in ("ISSUBSET", "ISSUPERSET"):
                return inside(first, turned=word == "ISSUPERSET")
        except ValueError as error:
            what = f"{_line(first.text[:80])} is nothing for {word}: {error}"
            self._refuse("expression_constant", what, _MENDS[word], token)
        return equal(first)

    def _leaves(self, tree: Any) -> list[Any]:
        """The tokens that a part of the tree covers."""
        if not hasattr(tree, "start"):
            return [tree.getSymbol()]
        return self.tokens[tree.start.tokenIndex : tree.stop.tokenIndex + 1]

    def _path(self, tree: Any) -> Path:
        kind, _, *rest = tokens = self._leaves(tree)
        text = "".join(token.text for token in tokens)
        steps: list[str | int | None] = [self._step(token) for token in rest if token.text not in (".", "[", "]")]
        root: str = kind.text
        if not root.startswith("__"):
            self.paths.setdefault(text)
            return Path(text=text, steps=(root, *steps))
        name = root[2:-2]
        if not root.endswith("__") or not all(name.split("__")) or steps[0] != "value":
            what = f"{shown(text)} is no variable"
            self._refuse("expression_variable", what, "Write __name__:value or __step__output__:value.", kind)
        self.variables.add(name)
        return Path(text=text, steps=tuple(steps[1:]), variable=name)

    def _step(self, token: Any) -> str | int | None:
        text: str = token.text
        if text == "*":
            return None
        if text.startswith("'"):
            return _unquoted(text)
        if text.lstrip("+").isdigit():
            return int(text) if len(text) < 19 else sys.maxsize
        return text

    def _literal(self, token: Any) -> Literal:
        text: str = token.text
        literal = _literal(text)
        if literal is None:
            self._refuse("expression_constant", f"{_line(text[:80])} is no value", "Write one that exists.", token)
        return literal


def _joined(tree: Any) -> list[Any]:
    """The parts of `a OR b OR c` or of `a AND b AND c`, which the parser nests as deep as they are many."""
    parts = []
    rest = [tree]
    while rest:
        children = list(rest.pop().getChildren())
        if len(children) == 1:
            parts.append(children[0])
        else:
            rest += [children[2], children[0]]
    return parts


def _line(text: str) -> str:
    """Text of an author on one line, with what cannot be printed escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _literal(text: str) -> Literal | None:
    """A constant in each type it can be compared as; None for a day, number or code that does not exist."""
    if text in ("true", "false"):
        return Literal(text=text, truth=text == "true")
    if text.startswith("'"):
        string = _unquoted(text)
        truth = {"true": True, "false": False}.get(string)
        return Literal(text=text, string=string, number=number(string), truth=truth, moment=moment(string))
    if text.startswith("t'"):
        time = moment(text[2:-1])
        return None if time is None else Literal(text=text, moment=time)
    if text.startswith(("h'", "b'")):
        encoding = "hex" if text[0] == "h" else "base64"
        content = octets(text[2:-1], encoding)
        return None if content is None else Literal(text=text, octets=content, encoding=encoding)
    amount = number(text)
    return None if amount is None else Literal(text=text, number=amount)
