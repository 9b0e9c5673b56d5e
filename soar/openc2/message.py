"""OpenC2 messages over HTTPS (Specification for Transfer of OpenC2 Messages via HTTPS 1.1): the envelope."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soar.errors import Invalid, Problem
from soar.openc2 import values
from soar.openc2.language import Response
from soar.openc2.values import note, record

PATH = "/.well-known/openc2"
MEDIA_TYPE = "application/openc2+json"
CONTENT_TYPE = f"{MEDIA_TYPE};version=1.0"
REQUEST_ID = re.compile(r"[A-Za-z0-9._~:-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message with a request in it. `request` is a command that is not read yet."""

    request: Any
    request_id: str = ""
    sender: str = ""


def parse_message(data: Any) -> Message:
    """Open the envelope: `{"headers": {...}, "body": {"openc2": {"request": {...}}}}`. Raises Invalid."""
    problems: list[Problem] = []
    headers = record(
        {
            "request_id": values.matching(REQUEST_ID, "request id"), "created": values.MILLISECONDS,
            "from": values.text, "to": values.anything, "content_type": values.text,
        }, least=0,
    )  # fmt: skip
    request = record({"request": values.anything}, most=1)
    body = record({"openc2": request}, most=1)
    record({"headers": headers, "body": body})(data, "", problems)
    if isinstance(data, Mapping) and "body" not in data:
        mend = 'Write {"headers": {...}, "body": {"openc2": {"request": {...}}}}.'
        note(problems, "missing_property", "body is missing", "/body", mend)
    if problems:
        raise Invalid(problems=problems)
    said = data.get("headers", {})
    return Message(
        request=data["body"]["openc2"]["request"], request_id=said.get("request_id", ""), sender=said.get("from", "")
    )


def answer(response: Response, *, request_id: str, sender: str, created: int, to: str = "") -> dict[str, Any]:
    """The envelope around a response; `created` is in milliseconds since 1970."""
    headers: dict[str, Any] = {"request_id": request_id, "created": created, "from": sender}
    if to:
        headers["to"] = to
    return {"headers": headers, "body": {"openc2": {"response": response.as_plain()}}}
