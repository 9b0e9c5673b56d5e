"""Text from outside: bytes to characters within a size, and how a place in it is named.

Lines and columns are counted from 1, columns in characters. Pointers are JSON Pointers (RFC 6901).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from soar.errors import Invalid, Problem, TooLarge

LONGEST_POINTER = 512
"""In characters. A thing deeper down is named by its parent: pointers of hostile keys would eat the memory."""

_LONGEST_EXCERPT = 40


def decode(data: bytes | str, *, max_bytes: int, what: str = "document") -> str:
    """UTF-8 to text. `what` is the noun that messages use.

    Raises TooLarge over `max_bytes`; Invalid for bytes that are not UTF-8, for lone surrogates in a
    string that was decoded elsewhere, and for a byte order mark.
    """
    if isinstance(data, str):
        try:
            # A character is at least one byte, so what lies past the limit need not be encoded.
            raw = data[: max_bytes + 1].encode()
        except UnicodeEncodeError as error:
            message = f"the {what} holds a lone surrogate, U+{ord(data[error.start]):04X}"
            raise _invalid("lone_surrogate", message, data, error.start, "Remove it: it is half a character.") from None
    else:
        raw = data
    if len(raw) > max_bytes:
        read = raw[:max_bytes].decode("utf-8", "ignore")
        line, column = place(read, len(read))
        message = f"the {what} is larger than {max_bytes} bytes"
        mend = "Send less, or send it in parts."
        raise TooLarge(problems=[Problem(code="too_large", message=message, line=line, column=column, mend=mend)])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        message = f"byte {error.start} of the {what} is not UTF-8"
        raise _invalid("not_utf8", message, before, len(before), "Save it as UTF-8.") from None
    if text.startswith("\ufeff"):
        message = f"the {what} begins with a byte order mark"
        raise _invalid("byte_order_mark", message, text, 0, "Save it as UTF-8 without one.")
    return text


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset into the text."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def pointer(tokens: Iterable[str | int]) -> str:
    """The JSON Pointer of a path of names and indexes; one that would be very long ends at a parent."""
    result = ""
    for token in tokens:
        step = "/" + escaped(str(token))
        if len(result) + len(step) > LONGEST_POINTER:
            break
        result += step
    return result


def escaped(token: str) -> str:
    """One name as a step of a pointer; a lone surrogate is shown as its escape."""
    return token.replace("~", "~0").replace("/", "~1").encode("utf-8", "backslashreplace").decode()


def shown(text: str) -> str:
    """Foreign text as messages show it: short, quoted, with everything that is not ASCII escaped."""
    cut = text if len(text) <= _LONGEST_EXCERPT else text[:_LONGEST_EXCERPT] + "..."
    return json.dumps(cut).replace("\x7f", "\\u007f")


def _invalid(code: str, message: str, text: str, offset: int, mend: str) -> Invalid:
    line, column = place(text, offset)
    return Invalid(problems=[Problem(code=code, message=message, line=line, column=column, mend=mend)])
