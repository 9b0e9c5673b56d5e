"""One request to the estate as its operations see it, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Data = dict[str, Any]
"""The estate's state, or a part of it: plain JSON."""


class Refusal(Exception):
    """The estate refuses a request and did nothing. `status` is the HTTP status it answers with."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A request. `method` is inspect, apply, revert or other; `target` is written kind:id."""

    method: str
    verb: str
    target: str
    now: datetime
    params: Mapping[str, Any] = field(default_factory=dict)
    handle: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    caller: str = ""

    @property
    def id(self) -> str:
        """The target without its kind."""
        return self.target.partition(":")[2]

    def text(self, name: str) -> str:
        """A parameter that must be a non-empty string."""
        value = self.params.get(name)
        if not isinstance(value, str) or not value:
            raise Refusal(400, f"{self.verb} needs {name!r} as text")
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers, as JSON or as bytes, and whether it changed the estate."""

    body: Data | bytes
    changed: bool = False


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds and Z, so that text order is time order."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def host_of(data: Data, act: Act) -> Data:
    """The host that the act names."""
    host: Data | None = data["hosts"].get(act.id)
    if host is None:
        raise Refusal(404, f"there is no host {act.id!r}")
    return host


def account_of(data: Data, act: Act) -> Data:
    """The account that the act names."""
    account: Data | None = data["accounts"].get(act.id)
    if account is None:
        raise Refusal(404, f"there is no account {act.id!r}")
    return account


def note(host: Data, now: datetime, text: str) -> None:
    """Write a line into the host's own log."""
    host["log"].append({"at": stamp(now), "text": text})
