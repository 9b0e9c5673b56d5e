"""Alerts as the SIEMs of the made-up Meridian Freight send them: for the demo, for training and for tests."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

NAMES = ("elastic_encryption", "elastic_lateral", "suricata_c2")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)(Z|\+0000)")
_FRESH: dict[str, Callable[[], str | int]] = {
    "_id": lambda: secrets.token_hex(32),
    "kibana.alert.uuid": lambda: secrets.token_hex(32),
    "event.id": lambda: secrets.token_urlsafe(15),
    "flow_id": lambda: secrets.randbelow(2**50),
}


def load_sample(name: str, at: datetime, fresh: bool = False) -> dict[str, Any]:
    """A sample as decoded JSON, moved in time so that it was raised at `at`.

    `fresh` gives it ids of its own; without it a second delivery is the same alert once more.
    """
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    raised = datetime.fromisoformat(document.get("@timestamp") or document["timestamp"])
    moved: dict[str, Any] = _rewrite(document, at - raised, fresh, "")
    return moved


def _rewrite(value: Any, shift: timedelta, fresh: bool, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _rewrite(each, shift, fresh, f"{path}.{key}".lstrip(".")) for key, each in value.items()}
    if isinstance(value, list):
        return [_rewrite(each, shift, fresh, path) for each in value]
    if fresh and path in _FRESH:
        return _FRESH[path]()
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else _write(datetime.fromisoformat(found[0]) + shift, found)


def _write(moment: datetime, like: re.Match[str]) -> str:
    """A time in the way the sample writes it: as many digits of a second, the same zone sign."""
    fraction = f"{moment.microsecond:06d}"[: len(like[1])]
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}{like[2]}"
