"""The persons of a drill: they approve what another one started, and answer what they are asked."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from api.wiring import House
from soar.access import ROLES
from soar.engine import approving, asking
from soar.errors import Refused
from soar.model import ENGINE, Actor
from soar.playbook.model import IfStep, Playbook, Step, SwitchStep, WhileStep
from soar.store import people, runs, tasks
from soar.store.session import Tx
from soar.store.tables import approvals, votes, work

_BY_TYPE = {"int": 1, "str": "done", "list": [], "dict": {}, "any": "done"}
_VOTERS = tuple(sorted(role for role, may in ROLES.items() if "approval.vote" in may))


@dataclass(slots=True)
class Trainees:
    """One who starts, and several who vote. `asked` counts how often each step asked for each answer."""

    house: House
    starter: Actor
    voters: tuple[Actor, ...]
    approved: int = 0
    answered: int = 0
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def assemble(cls, house: House, voters: int) -> Trainees:
        """Add them to a house."""

        def add(tx: Tx, name: str, roles: tuple[str, ...]) -> Actor:
            made = people.add_person(tx, name, roles, ENGINE)
            return Actor(kind="person", id=made, name=name, roles=frozenset(roles))

        def write(tx: Tx) -> tuple[Actor, ...]:
            return tuple(add(tx, f"trainee-{number}", _VOTERS) for number in range(voters + 1))

        first, *rest = house.store.write(write)
        return cls(house, first, tuple(rest))

    def act(self) -> bool:
        """Approve and answer everything that is open; False when nothing was."""
        return any(
            [self._approve(each) for each in self._open_approvals()] + [self._answer(each) for each in self._tasks()]
        )

    def _open_approvals(self) -> list[Any]:
        with self.house.store.read() as conn:
            return list(conn.execute(sa.select(approvals).where(approvals.c.status == "open")))

    def _approve(self, row: Any) -> bool:
        """One more voice, of the first one whose voice counts."""
        with self.house.store.read() as conn:
            voted = set(conn.execute(sa.select(votes.c.person_id).where(votes.c.approval_id == row.id)).scalars())
        for person in self.voters:
            if person.id in voted or person.id == row.asked_by:
                continue

            def write(tx: Tx, person: Actor = person) -> None:
                approving.vote(tx, row.id, person, "approve", "drill", row.digest)

            try:
                self.house.store.write(write)
            except Refused:
                continue
            self.approved += 1
            return True
        return False

    def _tasks(self) -> list[Any]:
        """The questions that a step waits for."""
        with self.house.store.read() as conn:
            return [each for each in tasks.find(conn, status="open") if each.work_id]

    def _answer(self, task: Any) -> bool:
        if task.kind == "in_doubt":
            self.house.store.write(
                lambda tx: asking.resolve(tx, task.action_id, self.starter, "no", "drill: nobody saw it happen")
            )
        else:
            with self.house.store.read() as conn:
                step_id = conn.execute(sa.select(work.c.step_id).where(work.c.id == task.work_id)).scalar_one()
                book = runs.playbook(conn, runs.get(conn, task.run_id).playbook_digest)
            step = book.workflow[step_id]
            given = {name: self._value(book, step, name, kind) for name, kind in task.asks.items()}
            self.house.store.write(lambda tx: asking.answer(tx, task.id, self.starter, given))
        self.answered += 1
        return True

    def _value(self, book: Playbook, step: Step, name: str, kind: str) -> Any:
        """Yes the first time a step asks and no after that, so that a loop ends; of words, one that the playbook waits
        for.
        """
        self.asked[step.id, name] += 1
        first = self.asked[step.id, name] == 1
        if kind == "bool":
            return first
        if isinstance(step, IfStep | WhileStep):
            return "true" if first else "false"
        if isinstance(step, SwitchStep):
            return next(iter(sorted(step.cases)))
        return _awaited(book, step, name) or _BY_TYPE.get(kind, "done") if kind in ("str", "any") else _BY_TYPE[kind]


def _awaited(book: Playbook, step: Step, name: str) -> str:
    """A word that a condition or a switch of the playbook compares this answer with; empty where none does."""
    path = f"__{step.soar.slug}__{name}__:value" if step.soar and step.soar.slug else ""
    if not path:
        return ""
    for each in book.workflow.values():
        if isinstance(each, IfStep | WhileStep):
            found = re.search(rf"{re.escape(path)}\s*=\s*'([^'\\]*)'", each.condition)
            if found:
                return found[1]
        if isinstance(each, SwitchStep) and path in each.switch:
            return next((case for case in sorted(each.cases) if case != "default"), "")
    return ""
