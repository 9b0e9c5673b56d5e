"""A node of workers: `soar worker`, and `python -m api.node`, whose first line on standard output is `READY COUNT`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from api.cli.exits import Exit, guarded
from api.process import announce, die_with_parent, libraries_log_to_stderr, log_to_stderr, reaching
from soar.config import Settings, load
from soar.errors import Invalid


def work(settings: Settings, concurrency: int | None = None, *, ready: Callable[[int], None]) -> int:
    """Run a node until it is told to stop; returns the exit code. Must run in the main thread.

    `ready` gets the number of hands once all of them work. Raises Invalid without PostgreSQL and a
    broker, Unavailable when one of them cannot be reached.
    """
    hands = concurrency or settings.workers
    _check(settings)
    log_to_stderr()
    libraries_log_to_stderr()
    with reaching(settings):
        from api.wiring import move_in
        from api.worker import run_node

        code = _rehearsed(settings)
        if code != Exit.OK:
            return code
        return run_node(settings, hands, lambda leads: move_in(settings, leads=leads), lambda: ready(hands))


def _check(settings: Settings) -> None:
    if not settings.url.startswith("postgresql"):
        raise Invalid(
            "a worker needs PostgreSQL: SQLite belongs to the one process that serves it. "
            "Set database_url (SOAR_DATABASE_URL) to postgresql://..."
        )
    if not settings.broker_url:
        raise Invalid(
            "a worker needs a broker that tells it of work: set broker_url (SOAR_BROKER_URL) to redis://... "
            "Without one, `soar serve` works by itself"
        )


def _rehearsed(settings: Settings) -> int:
    """Build everything once in a child, so that what is wrong is said before hands are made.

    Nothing of it stays in this process: no connection and no thread is ever there to be forked.
    """
    child = os.fork()
    if child == 0:
        os._exit(_rehearse(settings))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _rehearse(settings: Settings) -> int:
    from api.wiring import rehearse

    def once() -> int:
        with reaching(settings):
            rehearse(settings)
        return Exit.OK

    return guarded(once)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m api.node`: the exit codes are those of the command line."""
    parser = argparse.ArgumentParser(prog="python -m api.node", description="Work for a soar elsewhere.")
    parser.add_argument("--config", type=Path, help="settings file (default: the variable SOAR_CONFIG)")
    parser.add_argument("--concurrency", type=int, choices=range(1, 65), metavar="1-64", help="steps at a time")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started it ends (Linux)")
    options = parser.parse_args(argv)
    if options.with_parent:
        die_with_parent()
    return guarded(
        lambda: work(load(options.config), options.concurrency, ready=lambda count: announce(f"READY {count}"))
    )


if __name__ == "__main__":
    sys.exit(main())
