"""The process that reads a Sigma rule and tries it on the lines of a log, apart from everything else.

Started by `evidence.sigma_scan` as a file of its own. Reads one request as JSON from standard input: `text`
(the rule), `fd` (an open log, or null to read the rule only), `timeout` (seconds), `memory` (octets), `most`
(events to hand back); writes one answer to standard output: `{"title", "total", "events": [{"line", "event"}]}`
or `{"error": {...}}`. Hostile rules and hostile logs can cost it its life, and nothing more.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

MAX_LINE = 1024 * 1024
"""Longest line, in octets."""
_MAX_EVENT = 4_096
"""Largest event that is handed back, in characters of JSON; of a larger one only its line is said."""


class _Unread(Exception):
    """A line that cannot be tried. Then the log was not scanned."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Read the rule, and try it on every line where there is a log."""
    from evidence import sigma_rule
    from soar.errors import Invalid

    try:
        rule = sigma_rule.parse(request["text"])
    except Invalid as error:
        names = ("code", "message", "pointer", "line", "column", "mend")
        faults = [{name: getattr(problem, name) for name in names} for problem in error.problems]
        return {"error": {"kind": "rules", "faults": faults}}
    if request["fd"] is None:
        return {"title": rule.title, "total": 0, "events": []}
    try:
        with os.fdopen(request["fd"], "rb") as log:
            return {"title": rule.title, **tried(rule, log, request["most"], time.monotonic() + request["timeout"])}
    except TimeoutError:
        return {"error": {"kind": "timeout"}}
    except _Unread as error:
        return {"error": {"kind": "scan", "message": str(error)}}


def tried(rule: Any, log: Any, most: int, deadline: float) -> dict[str, Any]:
    """How many events match, and the first of them. Raises _Unread, TimeoutError."""
    from evidence.sigma_match import Event

    total, number = 0, 0
    events: list[dict[str, Any]] = []
    while line := log.readline(MAX_LINE + 1):
        number += 1
        if time.monotonic() > deadline:
            raise TimeoutError
        if not line.strip():
            continue
        data = _event(line, number)
        if rule.matches(Event(data)):
            total += 1
            if len(events) < most:
                events.append(_told(data, number))
    return {"total": total, "events": events}


def _event(line: bytes, number: int) -> dict[str, Any]:
    from evidence import reading

    if len(line) > MAX_LINE:
        raise _Unread(f"line {number} is longer than {MAX_LINE} octets")
    try:
        data = reading.parse(line)
    except ValueError as error:
        raise _Unread(f"line {number} is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise _Unread(f"line {number} is no JSON object")
    return data


def _told(data: dict[str, Any], number: int) -> dict[str, Any]:
    fits = len(json.dumps(data)) <= _MAX_EVENT
    return {"line": number, "event": data} if fits else {"line": number}


def main() -> None:
    """One request, one answer."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from evidence.yara_child import limit

    request = json.load(sys.stdin)
    limit(request["timeout"], request["memory"])
    json.dump(answer(request), sys.stdout)


if __name__ == "__main__":
    main()
