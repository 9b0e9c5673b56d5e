"""What every test may ask for."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import structlog

from api.migrate import migrate
from tests import servers

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_REAL = os.environ.get("SOAR_REQUIRE_REAL") == "1"
FILL_THE_MACHINE = {"crash", "chaos", "scale"}
"""Folders whose tests start many processes each, and wait for them by the clock."""
_numbers = itertools.count(1)


def pytest_configure() -> None:
    """What the product logs goes to standard error in one line each; tests speak on standard output.

    A law is true or false however slow the machine is: no example has a deadline (a test has its timeout).
    """
    hypothesis.settings.register_profile("soar", deadline=None)
    hypothesis.settings.load_profile("soar")
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.processors.format_exc_info,
                    structlog.processors.KeyValueRenderer(key_order=["level", "event"])],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr), cache_logger_on_first_use=False,
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who fills the machine is alone on it."""
    for item in items:
        if FILL_THE_MACHINE & set(item.path.relative_to(ROOT).parts):
            item.add_marker("alone")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The numbers: what tests that passed have said. JSON is no number: it is what a command printed in a test."""
    passed = [(each.nodeid, each.capstdout.strip()) for each in terminalreporter.stats.get("passed", [])]
    told = [(name, said) for name, said in passed if said and said[0] not in "{["]
    if told:
        terminalreporter.section("what was measured")
    for name, said in told:
        terminalreporter.write_line(f"{name}\n    " + said.replace("\n", "\n    "))


def missing_real_part(what: str) -> None:
    """A real part that a test needs is absent: a failure where it is required, else said aloud."""
    if REQUIRE_REAL:
        pytest.fail(f"{what} is missing, and SOAR_REQUIRE_REAL=1 asks for it", pytrace=False)
    pytest.skip(f"NOT COVERED HERE: {what} is missing")


@contextmanager
def real_part() -> Iterator[None]:
    """Around the start of a server: one that is not installed is a missing real part."""
    try:
        yield
    except servers.MissingServer as error:
        missing_real_part(str(error))


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real third-party samples (alerts, vectors, playbooks)."""
    folder = Path(os.environ.get("SOAR_SAMPLES", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        missing_real_part(f"the samples folder (set SOAR_SAMPLES, now {folder})")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Postgres]:
    """One PostgreSQL for all tests that do not kill it; `migrated` in it is a database with this version's schema.

    It answers in a time zone that is not ours. No power cut of the machine is played here, so nothing waits for the
    disk: who tests crashes starts a server of their own, which does.
    """
    with real_part(), servers.postgres(settings={"fsync": "off", "timezone": "Pacific/Apia"}) as server:
        migrate(server.create("migrated"))
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Redis]:
    """One Redis for all tests that do not kill it."""
    with real_part(), servers.redis() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: servers.Postgres) -> Iterator[str]:
    """A database of the test's own on PostgreSQL, with this version's schema and nothing in it."""
    name = f"test_{next(_numbers)}"
    yield postgres_server.create(name, "migrated")
    postgres_server.drop(name)


@pytest.fixture
def redis_url(redis_server: servers.Redis) -> str:
    """An empty Redis."""
    redis_server.flush()
    return redis_server.url()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with this version's schema, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "soar.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """A SQLite database of the test's own, with this version's schema and nothing in it."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'soar.db')}"


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest) -> str:
    """What a test stands on; it runs once for each."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, backend: str) -> str:
    """A database of the test's own, with this version's schema and nothing in it: once for each backend."""
    return str(request.getfixturevalue(f"{backend}_url"))
