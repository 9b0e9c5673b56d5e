"""Stories of persons: who armed them today, what that spoils, and how roles and keys end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.migrate import migrate
from soar.engine import approving
from soar.errors import Conflict, Invalid, NotFound, Refused, Unauthenticated
from soar.events import Kind
from soar.ids import new_id
from soar.model import ENGINE, Actor, Severity
from soar.ports import ClockStep
from soar.store import incidents, people, streams
from soar.store.session import Store, Tx
from soar.store.tables import approvals, keys, roles, runs

HOUR = timedelta(hours=1)


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by

    def step(self) -> ClockStep | None:
        return None


class Town:
    """A store whose clock we move, with an administrator made at the first start."""

    def __init__(self, store: Store, clock: Hands) -> None:
        self.store = store
        self.clock = clock
        store.write(lambda tx: streams.append(tx, streams.SYSTEM, Kind.SYSTEM_STARTED))
        self.root = self.person("root", ["admin"], ENGINE)

    def person(self, name: str, wanted: list[str], by: Actor) -> Actor:
        made = self.store.write(lambda tx: people.add_person(tx, name, wanted, by))
        return Actor(kind="person", id=made, name=name, roles=frozenset(wanted))

    def key(self, person: Actor, by: Actor) -> str:
        return self.store.write(lambda tx: people.issue_key(tx, by, person_id=person.id))

    def change(self, person: Actor, wanted: list[str], *, active: bool = True) -> None:
        self.store.write(lambda tx: people.change_person(tx, person.id, active=active, wanted=wanted, by=self.root))

    def issuers(self, person: Actor) -> set[str]:
        with self.store.read() as conn:
            return set(people.issuers_of_day(conn, person.id, self.clock.now()))

    def vote(self, starter: Actor, *voters: Actor, persons: int = 1) -> str:
        """The status of an approval after these persons said yes to what the starter began."""
        asked = self.store.write(lambda tx: _ask(tx, starter, persons))
        for each in voters:
            self.store.write(partial(_say_yes, asked, each))
        with self.store.read() as conn:
            return str(approving.get(conn, asked).status)


def _say_yes(asked: str, who: Actor, tx: Tx) -> None:
    approving.vote(tx, asked, who, "approve", "seen", "d" * 64)


def _ask(tx: Tx, starter: Actor, persons: int) -> str:
    incident = incidents.open_new(tx, "t", Severity.LOW, ENGINE, "w")
    run, asked = new_id(), new_id()
    tx.conn.execute(
        runs.insert().values(
            id=run, incident_id=incident, playbook_digest="p", playbook_slug="p", status="running", state={},
            inputs={}, why="", started_by=starter.id, automatic=False, priority=1, created_at=tx.now,
        )
    )  # fmt: skip
    tx.conn.execute(
        approvals.insert().values(
            id=asked, incident_id=incident, run_id=run, subject="s", digest="d" * 64, digests=["d" * 64],
            any_of=["responder"], persons=persons, on_timeout="deny", status="open", asked_by=starter.id,
            asked_at=tx.now, escalations=0,
        )
    )  # fmt: skip
    return asked


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    clock = Hands()
    url = f"sqlite:///{tmp_path / 'town.db'}"
    migrate(url)
    store = Store(url, clock)
    yield Town(store, clock)
    store.close()


def test_one_administrator_who_arms_two_responders_today_does_not_pass_the_two_person_rule(town: Town) -> None:
    sam, ann = town.person("sam", ["responder"], town.root), town.person("ann", ["responder"], town.root)
    assert town.issuers(sam) == {town.root.id}
    with pytest.raises(Refused, match="as did the other person"):
        town.vote(sam, ann)
    town.clock.forward(25 * HOUR)
    assert town.vote(sam, ann) == "approved"
    town.key(sam, town.root)
    assert town.vote(sam, ann) == "approved"
    town.key(ann, town.root)
    with pytest.raises(Refused, match="as did the other person"):
        town.vote(sam, ann)


def test_two_voters_armed_by_one_administrator_today_are_one_voice(town: Town) -> None:
    sam, zoe = town.person("sam", ["responder"], ENGINE), town.person("zoe", ["responder"], ENGINE)
    ann, bob = town.person("ann", ["responder"], town.root), town.person("bob", ["responder"], town.root)
    with pytest.raises(Refused, match="who votes too"):
        town.vote(sam, ann, bob, persons=2)
    assert town.vote(sam, ann, zoe, persons=2) == "approved"


def test_on_the_first_day_a_team_may_be_set_up_by_one_hand_where_the_settings_say_so(town: Town) -> None:
    town.store.write(lambda tx: people.keep_same_day_rule(tx, "bootstrap"))
    sam, ann = town.person("sam", ["responder"], town.root), town.person("ann", ["responder"], town.root)
    assert town.vote(sam, ann) == "approved"
    with pytest.raises(Refused, match="started the run"):
        town.vote(sam, sam)
    boss = town.person("boss", ["admin", "responder"], ENGINE)
    with pytest.raises(Refused, match="today from"):
        town.vote(boss, town.person("new", ["responder"], boss))
    town.clock.forward(24 * HOUR)
    town.key(sam, town.root)
    town.key(ann, town.root)
    with pytest.raises(Refused, match="as did the other person"):
        town.vote(sam, ann)
    town.store.write(lambda tx: people.keep_same_day_rule(tx, "strict"))
    with town.store.read() as conn:
        assert people.set_up_until(conn) is None


def test_a_hand_does_not_become_another_by_passing_through_a_third_person(town: Town) -> None:
    deputy = town.person("deputy", ["admin"], town.root)
    ann = town.person("ann", ["responder"], deputy)
    assert town.issuers(ann) == {deputy.id, town.root.id}
    assert town.issuers(deputy) == {town.root.id}
    assert town.issuers(town.root) == set()


def test_a_role_that_was_ended_again_was_granted_nevertheless(town: Town) -> None:
    ann = town.person("ann", ["responder"], ENGINE)
    town.change(ann, ["responder"])
    assert town.issuers(ann) == set()
    town.change(ann, ["analyst", "responder"])
    town.change(ann, ["responder"])
    assert town.issuers(ann) == {town.root.id}


def test_who_is_kept_out_or_loses_a_role_does_so_at_once(town: Town) -> None:
    ann = town.person("ann", ["responder", "viewer"], ENGINE)
    secret = town.key(ann, ENGINE)
    town.change(ann, ["viewer"])
    with town.store.read() as conn:
        assert people.authenticate(conn, secret, town.clock.now()).roles == {"viewer"}
    town.change(ann, ["viewer"], active=False)
    town.change(ann, ["viewer"], active=False)
    with town.store.read() as conn, pytest.raises(Unauthenticated):
        people.authenticate(conn, secret, town.clock.now())
    with town.store.read() as conn:
        told = [event.data for event in streams.read(conn, "system") if event.kind == "person.changed"]
    assert [(each["ended"], each["active"], each["armed"]) for each in told] == [
        (["responder"], True, False), ([], False, False),
    ]  # fmt: skip
    town.change(ann, ["viewer"])
    assert town.issuers(ann) == {town.root.id}


def test_the_last_administrator_stays(town: Town) -> None:
    for wanted, active in (([], True), (["admin"], False)):
        with pytest.raises(Conflict, match="nobody would be left"):
            town.change(town.root, wanted, active=active)
    with pytest.raises(Invalid, match="unknown role"):
        town.change(town.root, ["king"])
    with pytest.raises(NotFound):
        town.change(Actor(kind="person", id="x", name="x"), [])
    with town.store.read() as conn:
        assert conn.execute(sa.select(roles.c.role)).scalars().all() == ["admin"]


def test_a_revoked_key_keeps_the_moment_at_which_it_ended(town: Town) -> None:
    town.key(town.person("ann", ["responder"], town.root), town.root)
    with town.store.read() as conn:
        key = str(conn.execute(sa.select(keys.c.id)).scalar_one())
    for _ in range(2):
        town.store.write(lambda tx: people.revoke_key(tx, key, town.root))
        town.clock.forward(HOUR)
    with town.store.read() as conn:
        assert conn.execute(sa.select(keys.c.revoked_at)).scalar_one() == town.clock.now() - 2 * HOUR
        assert [event.kind for event in streams.read(conn, "system")].count("key.revoked") == 1


def test_the_last_key_of_an_administrator_cannot_be_revoked(town: Town) -> None:
    first = town.key(town.root, ENGINE)
    only = key_ids(town)[0]
    with pytest.raises(Conflict, match="last key"):
        town.store.write(lambda tx: people.revoke_key(tx, only, town.root))
    town.key(town.root, ENGINE)
    town.store.write(lambda tx: people.revoke_key(tx, only, town.root))
    with town.store.read() as conn, pytest.raises(Unauthenticated):
        people.authenticate(conn, first, town.clock.now())


def key_ids(town: Town) -> list[str]:
    with town.store.read() as conn:
        return list(conn.execute(sa.select(keys.c.id).order_by(keys.c.id)).scalars())
