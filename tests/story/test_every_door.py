"""Whatever the door, no call reaches a protected target; and to end what is ours is never forbidden by protection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from api.app import create_app
from api.wiring import House
from integrations.sources import elastic
from integrations.sources.samples import load_sample
from soar.config import ProtectionSettings, Settings
from soar.engine import approving, binding, breakglass, control, direct, drift, running
from soar.errors import Conflict
from soar.model import ENGINE, Actor
from soar.openc2.message import CONTENT_TYPE, PATH
from soar.playbook.yaml.yaml_form import load
from soar.protocol import State
from soar.store import actions, people, runs
from soar.store.rows import ActionRow
from soar.store.tables import approvals
from tests.stage import Cast, Estate, living, one_database, until
from tests.story.test_holds import BAD, block, do, incident, isolate
from tests.story.test_one_alert import NOW, SIEM

pytestmark = one_database
HOST = "ws-0160"
PROTECTED = ProtectionSettings(ids=(HOST,), names=("soar*",), networks=("203.0.113.0/24",))
ASK = "approval: {any_of: [responder], within: 1h, on_timeout: deny}"
ONE = f"- {{id: isolate, do: isolate_host, with: {{host: ws-0160}}, review: 1h, {ASK}}}"
BOOKS = {
    "alone": f"steps:\n  {ONE}\n",
    "in-a-group": f"steps:\n  - together: true\n    parallel:\n      - [{ONE[2:]}]\n"
    "      - [{do: notify, with: {team: on-call, text: x}}]\n",
    "in-a-loop": "variables:\n  hosts: {type: list, default: [ws-0160]}\nsteps:\n"
    "  - {id: isolate, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 1h}\n",
    "called": "steps:\n  - {playbook: alone}\n",
    "by-itself": f"triggers:\n  - {{when: 'alert:severity_id >= 1', start: automatic}}\nsteps:\n  {ONE}\n",
}


@dataclass
class Scene:
    """A house in which the host is protected, a person who acts and one who agrees to everything."""

    house: House
    estate: Estate
    alice: Actor
    bob: Actor
    where: str

    def agree(self) -> None:
        """Bob approves what waits for an approval."""
        with self.house.store.read() as conn:
            waiting = conn.execute(sa.select(approvals).where(approvals.c.status == "open")).all()
        for row in waiting:
            with suppress(Conflict):  # decided meanwhile
                self.house.store.write(
                    partial(
                        approving.vote,
                        approval_id=row.id,
                        actor=self.bob,
                        decision="approve",
                        reason="fine",
                        digest=row.digest,
                    )
                )

    def is_now(self, verb: str, state: State) -> bool:
        """Whether the first action of a verb is in this state, with every approval given."""
        self.agree()
        found = self.acts(verb)
        return bool(found) and found[0].state is state

    def acts(self, verb: str) -> list[ActionRow]:
        with self.house.store.read() as conn:
            return actions.find(conn, verbs=(verb,))

    def refused(self, verb: str) -> bool:
        """Until the action is refused, with every approval given."""

        def seen() -> bool:
            self.agree()
            return any(row.state is State.REFUSED for row in self.acts(verb))

        return bool(until(seen))

    def start(self, name: str) -> str:
        book = load((self.house.settings.data.parent / f"{name}.yaml").read_bytes())
        given = binding.initial_inputs(book, {}, {})
        return self.house.store.write(
            lambda tx: running.start_run(tx, self.where, book, given, by=self.alice, why="drill", automatic=False)
        )


@contextmanager
def scene(settings: Settings, estate: Estate, strictness: str, **more: Any) -> Iterator[Scene]:
    guards = settings.guards.model_copy(update={strictness: PROTECTED, "evidence_box": 0.0, **more})
    books = []
    for name, text in BOOKS.items():
        file = settings.data.parent / f"{name}.yaml"
        file.write_text(f"id: {name}\nname: {name}\n{text}", encoding="utf-8")
        books.append(file)
    with living(settings.model_copy(update={"guards": guards, "playbooks": tuple(books)})) as house:
        cast = Cast(house)
        alice, bob = (_again(cast, name) for name in ("alice", "bob"))
        yield Scene(house, estate, alice, bob, incident(house, alice))


def _again(cast: Cast, name: str) -> Actor:
    """A person, also where an earlier house knows them already."""
    with cast.house.store.read() as conn:
        known = [each["id"] for each in people.everyone(conn) if each["name"] == name]
    if known:
        return Actor(kind="person", id=known[0], name=name, roles=frozenset({"responder"}))
    return cast.person(name, "responder")


def by_playbook(name: str) -> Callable[[Scene], object]:
    return lambda scene: scene.start(name)


def by_an_alert(scene: Scene) -> None:
    document = load_sample("elastic_encryption", NOW)
    alerts = elastic.source().parse(document)
    scene.house.intake.receive("elastic", "d-1", json.dumps(document).encode(), alerts, SIEM)


def by_openc2(scene: Scene) -> None:
    key = scene.house.store.write(lambda tx: people.issue_key(tx, ENGINE, person_id=scene.alice.id))
    command = {
        "action": "contain", "target": {"device": {"hostname": HOST}}, "command_id": "contain-1",
        "args": {"er": {"device_containment": "network_isolation"}},
    }  # fmt: skip
    client = TestClient(create_app(scene.house), headers={"Authorization": f"Bearer {key}"})
    said = client.post(
        PATH, json={"headers": {}, "body": {"openc2": {"request": command}}}, headers={"content-type": CONTENT_TYPE}
    )
    assert said.status_code == 200, said.text


def by_retry(scene: Scene) -> None:
    run = scene.start("in-a-loop")
    assert scene.refused("isolate_host")

    def failed() -> bool:
        with scene.house.store.read() as conn:
            return str(runs.get(conn, run).status) == "failed"

    assert until(failed)
    scene.house.store.write(lambda tx: control.retry_run(tx, run, scene.alice, "once more"))
    assert until(lambda: len([row for row in scene.acts("isolate_host") if row.state is State.REFUSED]) > 1)


DOORS = {
    **{f"playbook {name}": by_playbook(name) for name in BOOKS if name != "by-itself"},
    "alert": by_an_alert, "openc2": by_openc2, "retry": by_retry,
}  # fmt: skip


@pytest.mark.parametrize("strictness", ["hard", "soft"])
@pytest.mark.parametrize("door", DOORS)
def test_no_door_leads_to_a_protected_host(settings: Settings, estate: Estate, door: str, strictness: str) -> None:
    with scene(settings, estate, strictness) as here:
        DOORS[door](here)
        assert here.refused("isolate_host")
    assert not estate.log(verb="isolate_host", method="apply")


@pytest.mark.parametrize(("strictness", "reached"), [("hard", 0), ("soft", 1)])
def test_break_glass_opens_what_is_softly_protected_and_nothing_else(
    settings: Settings, estate: Estate, strictness: str, reached: int
) -> None:
    with scene(settings, estate, strictness) as here:
        head = Cast(here.house).person("head", "commander")
        glass = here.house.store.write(lambda tx: breakglass.ask(tx, here.where, here.alice, "the plant burns"))
        here.house.store.write(lambda tx: breakglass.approve(tx, glass, head, "yes"))
        here.start("in-a-loop")
        if reached:
            assert until(lambda: here.is_now("isolate_host", State.ACTIVE))
        else:
            assert here.refused("isolate_host")
    assert len(estate.log(verb="isolate_host", method="apply")) == reached


@pytest.mark.parametrize("strictness", ["hard", "soft"])
def test_what_was_contained_before_it_was_protected_is_not_renewed_nor_repaired_and_may_be_undone(
    settings: Settings, estate: Estate, strictness: str
) -> None:
    with living(settings) as house:
        alice = Cast(house).person("alice", "responder")
        where = incident(house, alice)
        do(house, where, alice, isolate())
        do(house, where, alice, block(lease=3600))
        assert until(lambda: [row.state for row in _standing(house)] == [State.ACTIVE] * 2)
    estate.act("release_host", f"host:{HOST}", key="somebody-else")
    before = len(estate.log(method="apply"))
    with scene(settings, estate, strictness, repair={"isolate_host": True}) as here:
        drift.check_due(here.house.parts)
        here.house.store.write(drift.ask_now)
        (held,) = [row for row in here.acts("block_ip") if row.target.id == BAD.id]
        run = here.house.store.write(lambda tx: direct.renew(tx, held.id, seconds=7200, why="more", by=here.alice))
        assert run
        assert here.refused("block_ip")
        assert here.refused("isolate_host")
        assert len(estate.log(method="apply")) == before
        undo = here.house.store.write(
            lambda tx: direct.undo(tx, held.id, reason="mistaken", why="wrong", by=here.alice)
        )
        assert undo
        assert until(lambda: here.is_now("block_ip", State.REVERTED))


def _standing(house: House) -> list[ActionRow]:
    with house.store.read() as conn:
        return actions.find(conn, verbs=("isolate_host", "block_ip"))
