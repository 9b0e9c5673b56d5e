"""`soar doctor`: what is wrong with this installation and its settings, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from api.cli import output
from api.cli.exits import Exit
from api.cli.output import Output
from api.cli.server import Config
from soar.errors import Invalid, SoarError

if TYPE_CHECKING:
    from soar.config import Settings

PACKAGES = ("soar", "integrations", "evidence", "playbooks", "api")
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `status` is ok, warn or fail."""

    check: str
    status: str
    said: str
    mend: str = ""


def doctor(config: Config = None, form: Output = None) -> None:
    """Look for what is wrong here, and how to mend it.

    Python, packages, settings, data folder, keys, clock, database, broker, adapters.
    """
    findings = [*_python(), *_packages(), *_by_settings(config)]
    output.rows([asdict(each) for each in findings], ("status", "check", "said", "mend"), form)
    if any(each.status == "fail" for each in findings):
        raise typer.Exit(Exit.FAILED)


def _python() -> Iterator[Finding]:
    import platform
    import sys

    fits = sys.version_info >= OLDEST_PYTHON
    yield Finding("python", "ok" if fits else "fail", platform.python_version(), "" if fits else "Use 3.11 or newer.")


def _packages() -> Iterator[Finding]:
    """Each of the five packages must be this installation's: their names are plain words that others may use."""
    import importlib.util

    home = _home()
    if home is None:
        yield Finding("packages", "warn", "soar-ir is not installed here", "Install it: pip install soar-ir.")
        return
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        at = Path(found.origin).resolve().parent if found is not None and found.origin else None
        if at == home / name:
            yield Finding(f"package {name}", "ok", str(at))
        else:
            mend = f"Another package of this name stands in front of {home / name}; remove it."
            yield Finding(f"package {name}", "fail", f"comes from {at or 'nowhere'}", mend)


def _home() -> Path | None:
    """The folder that the installation's own record names: site-packages, or the project when editable."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    try:
        installed = distribution("soar-ir")
    except PackageNotFoundError:
        return None
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return Path(unquote(urlsplit(origin["url"]).path)).resolve()
    return Path(str(installed.locate_file(""))).resolve()


def _by_settings(config: Path | None) -> Iterator[Finding]:
    from soar.config import load

    try:
        settings = load(config)
    except Invalid as error:
        for said in [str(problem) for problem in error.problems] or [error.message]:
            yield Finding("settings", "fail", said, "Mend the settings file or the environment.")
        return
    yield Finding("settings", "ok", str(config or "from SOAR_CONFIG, the environment and defaults"))
    if settings.guards.hard is None and settings.guards.soft is None:
        mend = "Name what must never be touched under guards.hard and guards.soft."
        yield Finding("protected lists", "warn", "none: nothing is contained automatically, only proposed", mend)
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _data_folder, _secret_files, _clock, _database, _broker, _adapters,
    )  # fmt: skip
    for check in checks:
        yield from check(settings)


def _data_folder(settings: Settings) -> Iterator[Finding]:
    import os

    folder = settings.data
    if not folder.exists():
        above = next(each for each in folder.absolute().parents if each.exists())
        fits = os.access(above, os.W_OK)
        said = f"{folder} is not there yet" + ("" if fits else f", and {above} cannot be written to")
        yield Finding("data folder", "ok" if fits else "fail", said)
        return
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("data folder", "fail", f"{folder} cannot be written to", "Give it to the user that runs soar.")
        return
    held = folder.stat()
    if held.st_uid != os.geteuid():
        mend = "Run as its owner: what is written now would not be theirs."
        yield Finding("data folder", "warn", f"{folder} belongs to user id {held.st_uid}", mend)
    elif held.st_mode & 0o077:
        yield Finding("data folder", "warn", f"{folder} is open to others", f"chmod 700 {folder}")
    else:
        yield Finding("data folder", "ok", str(folder))
    yield Finding("data folder lock", "ok", "a running soar has it" if _held(folder / "lock") else "free")


def _held(lock: Path) -> bool:
    """True while a running soar owns the folder. A missing lock is not made."""
    import fcntl

    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _secret_files(settings: Settings) -> Iterator[Finding]:
    """The signing key and each secret that stands in a file: there, and for its owner alone."""
    named = {"signing key": settings.data / "signing-key.pem"}
    for name, source in settings.sources.items():
        for reference in source.secrets:
            scheme, _, where = reference.partition(":")
            if scheme == "file":
                named[f"secret of source {name}"] = Path(where)
    for what, file in named.items():
        if not file.is_file():
            fresh = what == "signing key"
            yield Finding(what, "ok" if fresh else "fail", f"{file} is not there{' yet' if fresh else ''}")
        elif file.stat().st_mode & 0o077:
            yield Finding(what, "fail", f"{file} can be read by others", f"chmod 600 {file}")
        else:
            yield Finding(what, "ok", str(file))


def _clock(settings: Settings) -> Iterator[Finding]:
    """A clock that stands before what was written down last has gone back."""
    import time
    from datetime import UTC, datetime

    now = time.time()
    said = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%SZ}"
    written = [file.stat().st_mtime for file in settings.data.glob("soar.db*")]
    ahead = max(written, default=now) - now
    if ahead > 5:
        mend = "Set the clock; synchronise it with NTP."
        yield Finding("clock", "fail", f"{said} is {ahead:.0f} s before the last write of the database", mend)
    else:
        yield Finding("clock", "ok", said)


def _database(settings: Settings) -> Iterator[Finding]:
    """A database elsewhere: does it answer, and which nodes share it?"""
    if not settings.url.startswith("postgresql"):
        return
    import sqlalchemy as sa

    from api.process import reaching
    from soar.clock import SystemClock
    from soar.store import nodes
    from soar.store.session import Store

    store = Store(settings.url, SystemClock())
    try:
        with reaching(settings), store.engine.connect() as conn:
            yield Finding("database", "ok", settings.database_address)
            if not sa.inspect(conn).has_table("nodes"):
                return
            living = nodes.living(conn, store.clock.now())
    except SoarError as error:
        yield Finding("database", "fail", error.message, "soar needs it to start; while it is away soar answers 503.")
        return
    finally:
        store.close()
    for kind, name in (("serve", "nodes that serve"), ("worker", "nodes that work")):
        alive = [node for node in living if node.kind == kind]
        said = ", ".join(f"{node.host} ({node.pid})" for node in alive) or "none"
        missing = kind == "worker" and not alive and bool(settings.broker_url)
        yield Finding(name, "warn" if missing else "ok", said, "Start one: soar worker." if missing else "")
        for node in alive:
            if node.silent or node.dropped:
                said = f"{node.host} ({node.pid}): {node.silent} threads ended, {node.dropped} messages dropped"
                yield Finding(name, "warn", said, "Its log says why; restart it if threads ended.")


def _broker(settings: Settings) -> Iterator[Finding]:
    """Redis, where workers elsewhere are rung through it."""
    if not settings.broker_url:
        return
    from api.worker import Courier

    courier = Courier(settings)
    try:
        courier.ask()
        yield Finding("broker", "ok", settings.broker_address)
    except SoarError as error:
        yield Finding("broker", "fail", error.message, "Without it work goes on, two seconds later at most.")
    finally:
        courier.close()


def _adapters(settings: Settings) -> Iterator[Finding]:
    import evidence
    import integrations
    import integrations.sources
    from soar.registry import Registry

    registry = Registry()
    for package in (integrations, integrations.sources, evidence):
        registry.scan(package)
    for failure in registry.failures:
        yield Finding(f"module {failure.module}", "fail", failure.reason, "Mend or remove the module.")
    for name, given in settings.adapters.items():
        own = {key: value for key, value in given.items() if key != "limits"}
        yield from _adapter(registry, name, own)


def _adapter(registry: Any, name: str, given: dict[str, Any]) -> Iterator[Finding]:
    """Connect one adapter and let it look at its system: credentials, reachability, rights."""
    what = f"adapter {name}"
    try:
        problems = registry.connect(name, str(given.pop("kind", name)), given).check()
    except SoarError as error:
        for said in [str(each) for each in getattr(error, "problems", ())] or [error.message]:
            yield Finding(what, "fail", said)
        return
    if not problems:
        yield Finding(what, "ok", "connected; nothing is wrong")
    for problem in problems:
        yield Finding(what, "fail", f"{problem.code}: {problem.message}", problem.mend)
