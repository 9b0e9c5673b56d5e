"""A shift on duty: it opens an incident, starts a playbook, answers what it asks, and decides what is left standing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx2
import sqlalchemy as sa

from api.wiring import House
from integrations.lab import LabAdapter
from soar.engine import approving, asking, binding, closing, effects, running
from soar.engine.run_state import UNDER_WAY
from soar.model import Actor, Mention, Observable, ScopeStatus, Severity
from soar.store import incidents, runs, tasks
from soar.store.session import Tx
from soar.store.tables import approvals, due
from soar.store.tables import work as work_table
from tests.stage import Cast, Estate, until

Said = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""What a person answers to a step: always the same, or one answer after the other."""
_NO_CALLS = ("inspect", "other")


class Shift:
    """Ada, an analyst, starts and answers; Rob (responder), Cora (commander) and Lea (counsel) approve."""

    def __init__(self, house: House, estate: Estate, cast: Cast) -> None:
        self.house, self.estate = house, estate
        self.ada = cast.person("ada", "analyst", "responder")
        self.voters = [cast.person("rob", "responder"), cast.person("cora", "commander"), cast.person("lea", "counsel")]
        self.asked: list[str] = []
        self.approved: list[str] = []

    def incident(self, *observables: str, **scope: Sequence[str]) -> str:
        """An incident with its scope as the directory knows it, and its observables, of which nothing is known yet."""

        directory = self.house.parts.adapter("lab")
        assert isinstance(directory, LabAdapter)
        now = self.house.store.clock.now()
        mentions = [Mention(kind=kind, value=name) for kind, names in scope.items() for name in names]
        found = [entity for mention in mentions for entity in directory.resolve(mention, now)]

        def write(tx: Tx) -> str:
            made = incidents.open_new(tx, "drill", Severity.HIGH, self.ada, "drill")
            for entity in found:
                incidents.add_scope(tx, made, entity, ScopeStatus.AFFECTED, tx.now)
            for each in observables:
                kind, _, value = each.partition(":")
                incidents.add_observable(tx, made, Observable(type=kind, value=value))
            return made

        return self.house.store.write(write)

    def start(self, incident: str, slug: str, **given: Any) -> str:
        """Ada starts a playbook of the library."""
        with self.house.store.read() as conn:
            book = runs.current_playbook(conn, slug)
            inputs = binding.initial_inputs(book, incidents.facts(conn, incident), given)
        begin = partial(running.start_run, by=self.ada, why="drill", automatic=False)
        return self.house.store.write(lambda tx: begin(tx, incident, book, inputs))

    def work_off(self, run: str, answers: Mapping[str, Said], denied: Sequence[str] = ()) -> Any:
        """Answer and approve until the run has ended, a day's delay passing at once. Its row.

        `denied` are verbs: an approval that speaks of one of them is refused.
        """

        def look() -> Any:
            with self.house.store.read() as conn:
                row = runs.get(conn, run)
                questions = [each for each in tasks.find(conn, run_id=run, status="open") if each.kind == "manual"]
                open_votes = conn.execute(
                    approvals.select().where(approvals.c.run_id == run, approvals.c.status == "open")
                ).all()
            if row.status not in UNDER_WAY:
                return row
            for task in questions:
                self._answer(row, task, answers)
            for approval in open_votes:
                self._vote(approval, denied)
            self._let_a_day_pass()
            return None

        return until(look, 30.0)

    def calls(self) -> Counter[str]:
        """What the lab was asked to do or to look at, as `verb target`, however often."""
        return Counter(
            f"{call['verb']} {call['target'].partition(':')[2]}"
            for call in self.estate.log()
            if call["method"] not in _NO_CALLS and call["verb"] not in ("fetch_evidence", "end_flows")
        )

    def shown(self) -> dict[str, Any]:
        """The estate as it stands, asked past the product."""
        body = {"target": "incident:drill", "params": {}}
        answer = httpx2.post(f"{self.estate.url}/v1/other/show", json=body, trust_env=False).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def standing(self, incident: str) -> dict[str, str]:
        """What stands in the register because of the incident: `verb target` and its state."""
        with self.house.store.read() as conn:
            found = effects.register(conn, incident_id=incident)
        return {f"{each['verb']} {each['target'].partition(':')[2]}": each["state"] for each in found}

    def close(self, incident: str) -> None:
        """Each containment gets its disposition (a block keeps its date, a hold is handed over); the incident ends."""

        def write(tx: Tx) -> None:
            for each in effects.register(tx.conn, incident_id=incident):
                kept = "kept_to_date" if each["verb"].startswith("block_") else "handed_over"
                closing.dispose(tx, each["id"], kept, "by its playbook's ticket", self.ada)
            closing.close(tx, incident, self.ada, "worked off")

        self.house.store.write(write)

    def _answer(self, run: Any, task: Any, answers: Mapping[str, Said]) -> None:
        with self.house.store.read() as conn:
            step = conn.execute(sa.select(work_table.c.step_id).where(work_table.c.id == task.work_id)).scalar_one()
            soar = runs.playbook(conn, run.playbook_digest).workflow[step].soar
        assert soar is not None
        said = answers[soar.slug]
        given = said if isinstance(said, Mapping) else said[self.asked.count(soar.slug)]
        self.asked.append(soar.slug)
        self.house.store.write(lambda tx: asking.answer(tx, task.id, self.ada, given))

    def _vote(self, approval: Any, denied: Sequence[str]) -> None:
        """Everybody who may votes; more than are needed are not asked."""
        self.approved.append(approval.subject)
        decision = "deny" if any(verb in approval.subject for verb in denied) else "approve"
        able = [each for each in self.voters if each.roles & set(approval.any_of)]
        for person in able[: approval.persons]:
            self.house.store.write(partial(self._cast, approval, person, decision))

    @staticmethod
    def _cast(approval: Any, person: Actor, decision: str, tx: Tx) -> None:
        approving.vote(tx, approval.id, person, decision, "seen the plan", approval.digest)

    def _let_a_day_pass(self) -> None:
        later = sa.and_(due.c.kind == "step_delay", due.c.state == "armed", due.c.at > self.house.store.clock.now())
        with self.house.store.read() as conn:
            waiting = conn.execute(due.select().where(later)).first()
        if waiting:
            self.house.store.write(lambda tx: tx.conn.execute(due.update().where(later).values(at=tx.now)))
