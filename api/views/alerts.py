"""What a SIEM is answered."""

from __future__ import annotations

from typing import Any

from api.views.base import Out


class TakenAlert(Out):
    """What became of one alert: outcome opened, joined or counted, and the playbooks that fit."""

    alert: str
    incident: str
    outcome: str
    count: int
    why: str
    playbooks: list[dict[str, Any]]


class Receipt(Out):
    """The answer to a delivery; a replay gets the same one, marked."""

    delivery: str
    alerts: list[TakenAlert]
    replayed: bool
