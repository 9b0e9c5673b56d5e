"""Starting and standing on servers elsewhere: together, without them, and while they come and go."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.cli.exits import Exit
from soar.store.tables import persons, playbooks
from tests.scale.fleet import Fleet, Member, passwords
from tests.servers import Postgres, free_port
from tests.stage import until


def test_two_services_begin_at_the_same_moment_on_one_empty_database(fleet: Fleet) -> None:
    fleet.broker = ""
    one, two = fleet.serve(), fleet.serve()
    assert one.ready() != two.ready()
    assert (one.said() + two.said()).count("soar_") == 1, "one of them shows the first key, once"
    engine = fleet.engine()
    with engine.store.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(persons)).scalar() == 1
        slugs = conn.execute(sa.select(playbooks.c.slug).where(playbooks.c.current)).scalars().all()
    assert len(slugs) == len(set(slugs)) > 0
    assert until(lambda: one.health().json()["serving"] == 2)
    assert one.health().json()["roles"] == ["api", "ask", "seal", "time", "work"]
    engine.close()
    assert [one.stop(), two.stop()] == [Exit.OK, Exit.OK]


def refusal(member: Member) -> tuple[int, str]:
    code = member.process.wait(60)
    (line,) = member.said().splitlines()
    return code, line


def test_a_start_without_its_servers_says_which_and_how_to_mend_it(fleet: Fleet) -> None:
    port = free_port()
    broker = f"redis://:shown-to-nobody@127.0.0.1:{port}/3"
    database = f"postgresql://soar:shown-to-nobody@127.0.0.1:{port}/soar"
    started: dict[str, Member] = {
        name: start(**changed)
        for name, start, changed in (
            ("serve, no broker", fleet.serve, {"broker_url": broker}),
            ("worker, no broker", fleet.worker, {"broker_url": broker}),
            ("serve, no database", fleet.serve, {"database_url": database, "broker_url": ""}),
            ("worker, no database", fleet.worker, {"database_url": database}),
            ("worker, SQLite", fleet.worker, {"database_url": ""}),
            ("worker, nothing to ring it", fleet.worker, {"broker_url": ""}),
            ("serve, SQLite and a broker", fleet.serve, {"database_url": ""}),
        )
    }
    told = {name: refusal(member) for name, member in started.items()}
    for name in ("serve, no broker", "worker, no broker"):
        code, line = told[name]
        assert code == Exit.FAILED
        assert f"the broker at redis://127.0.0.1:{port}/3 cannot be used" in line
        assert "SOAR_BROKER_URL" in line
    for name in ("serve, no database", "worker, no database"):
        code, line = told[name]
        assert code == Exit.FAILED
        assert f"the database at postgresql://127.0.0.1:{port}/soar cannot be used" in line
        assert "SOAR_DATABASE_URL" in line
    assert told["worker, SQLite"][0] == Exit.INVALID
    assert "a worker needs PostgreSQL" in told["worker, SQLite"][1]
    assert told["worker, nothing to ring it"][0] == Exit.INVALID
    assert "a worker needs a broker" in told["worker, nothing to ring it"][1]
    assert told["serve, SQLite and a broker"][0] == Exit.INVALID
    secrets = {"shown-to-nobody", *passwords(fleet.database, fleet.broker)}
    assert not [name for name, (_, line) in told.items() if any(secret in line for secret in secrets)]


def test_a_database_that_dies_is_a_503_until_it_is_back(fleet: Fleet, database: Postgres) -> None:
    fleet.broker = ""
    serve = fleet.serve()
    assert serve.health().status_code == 200
    database.kill()
    try:
        answers = [serve.health() for _ in range(5)]
    finally:
        back = threading.Timer(0.5, database.start)
        back.start()
    assert {each.status_code for each in answers} == {503}
    assert all(each.headers["retry-after"].isdigit() for each in answers)
    assert all(each.headers["content-type"] == "application/problem+json" for each in answers)
    back.join()
    assert until(lambda: serve.health().status_code == 200)
    assert not [secret for secret in passwords(fleet.database) if secret in serve.said()]
    assert serve.stop() == Exit.OK


def test_a_service_with_another_signing_key_is_turned_away(fleet: Fleet, tmp_path: Path) -> None:
    fleet.broker = ""
    first = fleet.serve()
    first.ready()
    code, line = refusal(fleet.serve(data=str(tmp_path / "elsewhere")))
    assert code == Exit.CONFLICT
    assert "is not the key that this house signs with" in line


@pytest.mark.parametrize("url", ["mysql://a:secret-word@b/c", "secret-word"])
def test_an_address_of_another_kind_is_a_wrong_setting(fleet: Fleet, url: str) -> None:
    member = fleet.worker(database_url=url)
    assert member.process.wait(60) == Exit.INVALID
    assert "secret-word" not in member.said()
