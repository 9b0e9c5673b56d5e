"""What the commit that ends a step carries besides: the next step as it was planned, or the next work there is."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from api.wiring import House
from soar.engine import entering, running
from soar.engine.job import Job
from soar.engine.run_state import RunState
from soar.engine.runner import Runner
from soar.model import Actor, Call, Inspection
from soar.playbook.yaml.yaml_form import load
from soar.protocol import State
from soar.store.tables import runs, scope
from soar.store.work import Owner
from tests.stage import Cast, rows
from tests.story.test_limits import Silent, house, many_hosts, silent

__all__ = ["house", "silent"]
BOTH = "id: drill\nname: Drill\nurgency: immediate\nsteps:\n" + "".join(
    f"  - {{id: cut{number}, do: isolate_host, with: {{host: ws-{number}}}, review: 1d}}\n" for number in (0, 1)
)


def begin(house: House, by: Actor) -> str:
    """A run that isolates two hosts, one after the other; returns its incident."""
    where = many_hosts(house, by, 2)
    house.store.write(lambda tx: running.start_run(tx, where, load(BOTH), {}, by=by, why="drill", automatic=False))
    return where


def ends(house: House) -> list[str]:
    with house.store.read() as conn:
        return list(conn.execute(sa.select(runs.c.status).order_by(runs.c.id)).scalars())


def test_what_a_commit_reads_is_newer_than_the_look_before_it(house: House, silent: Silent, cast: Cast) -> None:
    """The next target is renamed while it is looked at: the action has the name that is true in the commit."""
    honest = silent.inspect

    def rename(call: Call) -> Inspection:
        if call.target.id == "ws-1":
            house.store.write(
                lambda tx: tx.conn.execute(scope.update().where(scope.c.entity_id == "ws-1").values(name="db-1"))
            )
        return honest(call)

    silent.inspect = rename  # type: ignore[method-assign]
    where = begin(house, cast.person("alice", "responder"))
    assert Runner(house.parts, Owner("one")).work_once()
    found = rows(house, where, "isolate_host")["ws-1"]
    assert (found.state, found.target_name) == (State.ACTIVE, "db-1")


def test_what_was_planned_from_another_state_of_the_run_is_not_sent(
    house: House, silent: Silent, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = entering.Entering.glance

    def of_another(self: Any, job: Job) -> Any:
        seen = planned(self, job)
        assert seen is not None
        return entering.Glance(seen.row.but(params={"host": "ws-9"}), seen.look, RunState())

    monkeypatch.setattr(entering.Entering, "glance", of_another)
    begin(house, cast.person("alice", "responder"))
    assert Runner(house.parts, Owner("one")).work_once()
    assert [call.params["host"] for _, call in silent.sent] == ["ws-0", "ws-1"]
    assert ends(house) == ["succeeded"]


def test_whoever_ends_a_branch_goes_on_with_what_is_ready(house: House, silent: Silent, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    for _ in range(3):
        begin(house, alice)
    assert Runner(house.parts, Owner("one")).work_once()
    assert ends(house) == ["succeeded"] * 3
    assert not Runner(house.parts, Owner("one")).work_once()


def test_whoever_is_to_stop_claims_nothing_more(house: House, silent: Silent, cast: Cast) -> None:
    alice = cast.person("alice", "responder")
    for _ in range(2):
        begin(house, alice)
    assert Runner(house.parts, Owner("one"), lambda: len(silent.sent) >= 2).work_once()
    assert ends(house) == ["succeeded", "running"]
    with house.store.read() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM work WHERE state = 'claimed'")).scalar() == 0
