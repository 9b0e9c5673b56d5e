"""Renewals and repairs beside releases: who ends a containment is never overruled by what keeps it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from api.wiring import House
from soar.engine import approving, asking, closing, control, direct, drift, effects
from soar.protocol import State
from soar.store import actions, incidents, runs, tasks
from soar.store.rows import ActionRow
from soar.store.tables import approvals, events
from soar.store.tables import due as due_table
from tests.stage import Cast, Estate, one_database, rows, until
from tests.story.test_holds import BAD, approve_next, block, do, incident, isolate, state


def blocked(house: House, where: str, by: Any) -> ActionRow:
    do(house, where, by, block(lease=3600))
    assert until(lambda: state(house, where, "block_ip", BAD.id) is State.ACTIVE)
    return rows(house, where, "block_ip")[BAD.id]


def isolated(house: House, where: str, by: Any) -> ActionRow:
    do(house, where, by, isolate())
    assert until(lambda: state(house, where, "isolate_host") is State.ACTIVE)
    return rows(house, where, "isolate_host")["ws-0160"]


def stands(house: House) -> list[dict[str, Any]]:
    with house.store.read() as conn:
        return effects.register(conn)


def action(house: House, action_id: str) -> ActionRow:
    with house.store.read() as conn:
        return actions.get(conn, action_id)


def now(house: House, action_id: str) -> State:
    return action(house, action_id).state


def status(house: House, run: str) -> str:
    with house.store.read() as conn:
        return str(runs.get(conn, run).status)


def asked(house: House, action_id: str, kind: str) -> list[Any]:
    with house.store.read() as conn:
        return tasks.find(conn, action_id=action_id, kind=kind, status="open")


def held_back(house: House, first: ActionRow, by: Any) -> tuple[str, str]:
    """A renewal whose run waits; any wait would do: a rate limit, evidence, a free worker. Its run and action."""

    def write(tx: Any) -> str:
        run = direct.renew(tx, first.id, seconds=7200, why="still bad", by=by)
        assert run is not None
        control.pause_run(tx, run, by, "one moment")
        return run

    run = house.store.write(write)
    with house.store.read() as conn:
        (again,) = actions.find(conn, run_id=run)
    return run, again.id


def undo(house: House, first: ActionRow, by: Any) -> None:
    house.store.write(lambda tx: direct.undo(tx, first.id, reason="mistaken", why="wrong one", by=by))


def open_approval(house: House) -> Any:
    with house.store.read() as conn:
        return conn.execute(approvals.select().where(approvals.c.status == "open")).first()


def contained(estate: Estate, verb: str) -> int:
    return len(estate.log(verb=verb, method="apply", changed=True))


def mend(house: House, *verbs: str) -> None:
    """Check the register now, under a policy that repairs."""
    policy = replace(house.parts.policy, repair=frozenset(verbs))
    house.store.write(drift.ask_now)
    drift.check_due(replace(house.parts, policy=policy))


def test_a_renewal_that_comes_after_the_release_contains_nothing(house: House, estate: Estate, cast: Cast) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    first = blocked(house, incident(house, alice), alice)
    run, again = held_back(house, first, alice)
    undo(house, first, alice)
    approve_next(house, bob)
    assert until(lambda: now(house, first.id) is State.REVERTED)
    house.store.write(lambda tx: control.resume_run(tx, run, alice, "go on"))
    assert until(lambda: status(house, run) == "failed")
    assert (now(house, again), contained(estate, "block_ip"), stands(house)) == (State.REFUSED, 1, [])
    assert "nothing to renew" in action(house, again).summary


def test_a_renewal_does_not_start_while_a_release_waits_for_its_approval(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    first = blocked(house, incident(house, alice), alice)
    run, again = held_back(house, first, alice)
    undo(house, first, alice)
    assert until(partial(open_approval, house))
    house.store.write(lambda tx: control.resume_run(tx, run, alice, "go on"))
    assert until(lambda: status(house, run) == "failed")
    assert (now(house, again), now(house, first.id)) == (State.REFUSED, State.ACTIVE)
    assert contained(estate, "block_ip") == 1
    assert "release of it is under way" in action(house, again).summary


def test_what_a_late_renewal_contained_again_is_on_the_register_and_a_person_is_asked(
    house: House, estate: Estate, cast: Cast
) -> None:
    """Its call is at the target while the containment is ended: nobody can call it back."""
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    first = blocked(house, where, alice)
    estate.fault(verb="block_ip", phase="apply", fault="hang_after", seconds=30)
    house.store.write(lambda tx: direct.renew(tx, first.id, seconds=7200, why="still bad", by=alice))
    assert until(lambda: contained(estate, "block_ip") == 2)
    effect = stands(house)[0]["id"]
    house.store.write(lambda tx: closing.dispose(tx, effect, "handed_over", "CHG-7", alice))
    again = rows(house, where, "block_ip")[BAD.id]
    assert (again.renews, again.state) == (first.id, State.CALLING)
    assert until(lambda: now(house, again.id) is State.IN_DOUBT)
    house.store.write(lambda tx: asking.resolve(tx, again.id, alice, "yes", "seen at the firewall"))
    assert now(house, again.id) is State.ACTIVE
    (entry,) = stands(house)
    (hold,) = entry["holds"]
    assert (entry["action_id"], hold["action_id"], hold["owner"]) == (again.id, again.id, alice.id)
    assert hold["expires_at"] is not None
    with house.store.read() as conn:
        kinds = list(conn.execute(sa.select(events.c.kind)).scalars())
        timers = set(conn.execute(sa.select(due_table.c.kind).where(due_table.c.state == "armed")).scalars())
    assert kinds.count("effect.returned") == 1
    assert {"lease", "drift"} <= timers
    (task,) = asked(house, again.id, "review")
    assert "contained it again" in task.text
    undo(house, again, alice)
    approve_next(house, bob)
    assert until(lambda: now(house, again.id) is State.REVERTED)
    assert (stands(house), len(estate.log(verb="unblock_ip", changed=True))) == ([], 1)
    assert not asked(house, again.id, "review")


@one_database
def test_a_host_that_a_late_repair_contained_again_is_in_scope_as_contained(
    house: House, estate: Estate, cast: Cast
) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    first = isolated(house, where, alice)
    estate.act("release_host", "host:ws-0160", key="the-admin")
    estate.fault(verb="isolate_host", phase="apply", fault="accept_later", seconds=1)
    mend(house, "isolate_host")
    assert until(lambda: len(estate.log(verb="isolate_host", method="apply")) == 2)
    effect = stands(house)[0]["id"]
    house.store.write(lambda tx: closing.dispose(tx, effect, "handed_over", "CHG-7", alice))
    assert now(house, first.id) is State.HANDED_OVER
    again = rows(house, where, "isolate_host")["ws-0160"]
    assert until(lambda: now(house, again.id) is State.ACTIVE)
    assert [each["action_id"] for each in stands(house)] == [again.id]
    with house.store.read() as conn:
        row = incidents.scope_row(conn, where, again.target)
    assert row is not None
    assert row.status == "contained"


def test_no_repair_starts_while_a_release_waits_for_its_approval(house: House, estate: Estate, cast: Cast) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    first = isolated(house, incident(house, alice), alice)
    undo(house, first, alice)
    approval = until(partial(open_approval, house))
    estate.act("release_host", "host:ws-0160", key="the-admin")
    mend(house, "isolate_host")
    mend(house, "isolate_host")
    assert now(house, first.id) is State.DRIFTED
    assert len(asked(house, first.id, "drift")) == 1
    assert stands(house)[0]["repairs"] == 0
    assert contained(estate, "isolate_host") == 1
    house.store.write(lambda tx: approving.vote(tx, approval.id, bob, "deny", "it must stay", approval.digest))
    with house.store.read() as conn:
        (back,) = [row for row in actions.find(conn) if row.undo_of == first.id]
    assert until(lambda: now(house, back.id) is State.DENIED)
    mend(house, "isolate_host")
    assert until(lambda: now(house, first.id) is State.ACTIVE)
    assert contained(estate, "isolate_host") == 2


def test_what_stood_before_there_were_timers_is_looked_at_too(house: House, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    where = incident(house, alice)
    isolated(house, where, alice)
    blocked(house, where, alice)
    (old,) = [each["id"] for each in stands(house) if each["verb"] == "isolate_host"]
    house.store.write(lambda tx: tx.conn.execute(due_table.delete().where(due_table.c.ref == old)))
    assert house.store.write(drift.arm_missing) == 1
    assert house.store.write(drift.arm_missing) == 0
    with house.store.read() as conn:
        looked = conn.execute(sa.select(due_table.c.ref).where(due_table.c.kind == "drift")).scalars()
        assert sorted(looked) == sorted(each["id"] for each in stands(house))
