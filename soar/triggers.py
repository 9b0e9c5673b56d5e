"""Which playbooks fit an incident, and why. Pure; intake decides what becomes of a match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from soar.expressions import Expression, parse


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a playbook fits: `when` is an expression over `alert:`, `incident:` and `scope:`.

    `start` says whether it then runs by itself or is proposed to a person, `rerun` whether it may
    run again in the same incident. Raises Invalid for an expression that cannot be read, so that
    a broken trigger stops its own playbook, and no alert on its way in.
    """

    playbook_id: str
    when: str
    start: Literal["automatic", "propose"] = "propose"
    rerun: Literal["never", "on_new_entity"] = "never"

    def __post_init__(self) -> None:
        _expression(self.when)


@dataclass(frozen=True, slots=True)
class Match:
    """A trigger that holds; `why` are its comparisons with the values that made them true."""

    playbook_id: str
    trigger: Trigger
    why: tuple[str, ...]


def matches(triggers: Iterable[Trigger], facts: Mapping[str, Any]) -> list[Match]:
    """The triggers that hold for these facts, in the order given."""
    found = []
    for trigger in triggers:
        expression = _expression(trigger.when)
        if expression.evaluate(facts):
            found.append(Match(trigger.playbook_id, trigger, tuple(expression.explain(facts))))
    return found


@lru_cache(maxsize=1024)
def _expression(text: str) -> Expression:
    # Reading an expression costs milliseconds, and each alert asks every trigger.
    return parse(text)
