"""After the release: a watched host that is hit again is contained again; evidence that is owed is asked for."""

from __future__ import annotations

from typing import Any

from api.wiring import House
from soar.model import Entity, EntityKind, ScopeStatus, Severity
from soar.playbook.model import Soar
from soar.protocol import State
from soar.store import incidents, runs, tasks
from soar.store.tables import runs as run_table
from tests.stage import Cast, Estate, one_database, rows, until
from tests.story.test_holds import do, state

INFECTED = Entity(kind=EntityKind.HOST, id="ws-0147", name="ws-0147", source="lab:inventory")


@one_database
def test_a_watched_host_that_is_hit_again_is_contained_again(house: House, estate: Estate, cast: Cast) -> None:
    alice = cast.person("alice", "responder")

    def write(tx: Any) -> str:
        made = incidents.open_new(tx, "released too early", Severity.HIGH, alice, "drill")
        incidents.add_scope(tx, made, INFECTED, ScopeStatus.AFFECTED, tx.now)
        return made

    where = house.store.write(write)
    run = do(house, where, alice, Soar(slug="watch", verb="watch", with_={"host": "ws-0147"}, for_=60))
    assert until(lambda: state(house, where, "isolate_host", "ws-0147") is State.ACTIVE)
    assert len(estate.log(verb="isolate_host", method="apply")) == 1
    with house.store.read() as conn:
        assert runs.get(conn, run).status == "failed"
        again = conn.execute(run_table.select().where(run_table.c.playbook_slug == "contain-again")).one()
    assert again.automatic
    assert "hit again" in again.why

    # Contained first because harm was running; nobody collected what that destroys, so somebody is asked to.
    owed = until(lambda: _owed(house, where))
    assert "connections" in owed[0].text


def _owed(house: House, where: str) -> list[Any]:
    with house.store.read() as conn:
        return tasks.find(conn, incident_id=where, kind="evidence_owed")


@one_database
def test_an_adapter_that_breaks_in_its_own_way_takes_no_worker_along(house: House, estate: Estate, cast: Cast) -> None:
    """What it raises while writing may have been done: it is asked about, not taken for a failure."""
    alice = cast.person("alice", "responder")
    where = house.store.write(lambda tx: incidents.open_new(tx, "drill", Severity.HIGH, alice, "drill"))
    lab = house.parts.adapters["lab"]
    honest = lab.apply

    def broken(call: Any, sink: Any) -> Any:
        honest(call, sink)
        raise KeyError("an answer without the field that everybody has")

    vars(lab)["apply"] = broken
    do(house, where, alice, Soar(slug="tell", verb="notify", with_={"team": "on-call", "text": "x"}))
    assert until(lambda: state(house, where, "notify", "on-call") is State.DONE)
    vars(lab)["apply"] = honest
    do(house, where, alice, Soar(slug="again", verb="notify", with_={"team": "soc", "text": "y"}))
    assert until(lambda: state(house, where, "notify", "soc") is State.DONE)
    assert len(estate.log(verb="notify", method="apply", changed=True)) == 2
    assert set(rows(house, where, "notify")) == {"on-call", "soc"}
