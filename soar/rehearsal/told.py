"""What the API tells of a run that has ended, put together to what was performed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from soar.engine.conductor import ACTION_TIMEOUT
from soar.errors import Invalid
from soar.events import Kind, moment
from soar.playbook.model import Playbook
from soar.rehearsal.model import Entry
from soar.rehearsal.names import step_names
from soar.verbs import BLOCK_VERB

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the API tells of a run: the run, its incident and that one's events, and what the run did and asked.

    `actions` are in full, oldest first; `approvals` and `tasks` of the run, oldest first.
    """

    run: Row
    incident: Row
    events: Sequence[Row]
    actions: Sequence[Row]
    approvals: Sequence[Row]
    tasks: Sequence[Row]


@dataclass(slots=True)
class Performed:
    """One time that a step was performed, as the events tell it."""

    name: str
    occurrence: str
    attempt: int
    kind: str
    began: datetime
    ended: datetime
    result: str = "silent"
    reason: str = ""
    visit: Row = field(default_factory=dict)
    actions: list[Row] = field(default_factory=list)

    @property
    def entry(self) -> Entry:
        """The step with its calls, each verb and target once: a watch looks often."""
        if self.kind not in ("action", "undo"):
            return Entry(self.name)
        made = [f"{each['verb']} {target_of(each)}" for each in self.actions if each["called_at"]]
        return Entry(self.name, tuple(dict.fromkeys(made) if self.watches else made))

    @property
    def watches(self) -> bool:
        return any(each["verb"] == "watch" for each in self.actions)


def performances(playbook: Playbook, told: Told, events: Sequence[Row]) -> list[Performed]:
    """Every performance in the order in which they began, each with its actions."""
    visits = {each["occurrence"]: each for each in told.run["steps"]}
    known = set(step_names(playbook).values())
    over = moment(told.run["ended_at"])
    found: dict[tuple[str, int], Performed] = {}
    for event in events:
        data = event["data"]
        key = (data.get("occurrence", ""), data.get("attempt", 0))
        if event["kind"] == Kind.STEP_STARTED.value:
            visit = visits[key[0]]
            if visit["step"] not in known:
                raise Invalid(f"two steps are called {visit['step']!r}; give each an id and run it again")
            at = moment(event["at"])
            found[key] = Performed(visit["step"], *key, data["kind"], at, over, visit=visit)
        elif event["kind"] == Kind.STEP_ENDED.value and key in found:
            mine = found[key]
            mine.ended, mine.result = moment(event["at"]), data["result"]
            mine.reason = str(event["values"].get("reason", ""))
    for each in found.values():
        last = each.attempt == each.visit["attempt"]
        if last and (each.visit["status"] == "cancelled" or each.visit["reason"] == ACTION_TIMEOUT):
            each.result = "silent"
    _deal_out(told.actions, list(found.values()))
    return list(found.values())


def _deal_out(actions: Sequence[Row], performed: Sequence[Performed]) -> None:
    """To each performance the actions of its step and attempt; of several turns, to the one under way then."""
    for action in actions:
        at = moment(action["created_at"])
        mine = [each for each in performed if each.kind != "prepare" and _may_be_of(action, each)]
        under_way = [each for each in mine if each.began <= at <= each.ended]
        if mine:
            (under_way or mine)[0].actions.append(action)


def _may_be_of(action: Row, one: Performed) -> bool:
    """By the step's name; a step without an id has none in its actions, and is known by what it does."""
    if action["generation"] != one.attempt:
        return False
    if action["step"]:
        return bool(action["step"] == one.name)
    verb = one.visit["verb"]
    blocks = verb == "block_indicators" and action["verb"] in BLOCK_VERB.values()
    does = one.kind == "undo" if action["undo_of"] else (verb == action["verb"] or blocks)
    return does and ("/" in one.name or one.name[:1].isdigit())


def steps_of(told: Told, performed: Sequence[Performed]) -> dict[str, str]:
    """The name of the step of each action, by the action's id."""
    named = {str(action["id"]): str(action["step"]) for action in told.actions}
    return named | {str(action["id"]): each.name for each in performed for action in each.actions}


def target_of(action: Row) -> str:
    """As a rehearsal writes it: an observable by its value, the run's incident by that word, others by their id."""
    if action["target"].startswith("observable:"):
        return str(action["target_id"]).partition(":")[2] or str(action["target_id"])
    return "incident" if action["target"].startswith("incident:") else str(action["target_id"])
