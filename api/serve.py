"""Runs the house behind HTTP until it is told to stop: `soar serve`, and `python -m api.serve`.

The second form is for programs: its first line on standard output is `READY http://host:port`,
written once requests are answered. Logs are JSON lines on standard error.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from api.cli.exits import Exit, guarded, say
from api.process import announce, die_with_parent, log_to_stderr, reaching
from soar.config import ServerSettings, Settings, load
from soar.errors import Unavailable

GRACE_SECONDS = 5
"""How long open requests may go on after the signal to stop."""


class _Server(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def serve(settings: Settings, *, ready: Callable[[str], None]) -> int:
    """Build the house, serve it, close it; returns the exit code. Must run in the main thread.

    `ready` gets the base URL once requests are answered. On the very first start the
    administrator's key is told on standard error, once. Raises Conflict when another process owns
    the data folder, Invalid for wrong settings, Unavailable when the port, the data folder or the
    database cannot be had.
    """
    log_to_stderr()
    with _listening(settings.server) as (taken, url), reaching(settings):
        from api.app import create_app
        from api.wiring import build

        house = build(settings)
        try:
            if house.first_key is not None:
                _tell_first_key(house.first_key)
            options = uvicorn.Config(
                create_app(house), log_config=None, access_log=False, proxy_headers=False, server_header=False,
                ws="none", timeout_graceful_shutdown=GRACE_SECONDS,
            )  # fmt: skip
            server = _Server(options, ready=lambda: ready(url))
            _stop_on_signals(server)
            house.start()
            gc.freeze()  # what was built stays to the end; looking through it again and again is time lost
            server.run(sockets=[taken])
        finally:
            house.close()
    return Exit.OK if server.started else Exit.FAILED


@contextmanager
def _listening(settings: ServerSettings) -> Iterator[tuple[socket.socket, str]]:
    """The socket, taken before anything is built, and the URL that leads to it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        taken = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        # `create_server` adds what it was doing to the system's words; name resolution has words of its own.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise Unavailable(f"{settings.host} port {settings.port} cannot be had: {why}") from error
    with taken:
        # Accepted sockets inherit this; asyncio sets it by itself only on sockets that name their protocol.
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host = f"[{settings.host}]" if family is socket.AF_INET6 else settings.host
        yield taken, f"http://{host}:{taken.getsockname()[1]}"


def _stop_on_signals(server: uvicorn.Server) -> None:
    """Also before and after uvicorn's own handlers: it raises what it caught once more at its end."""

    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _tell_first_key(key: str) -> None:
    say("This is the first start. The administrator's key is shown this once; keep it where only you can read it:")
    say(f"  {key}")


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m api.serve`: the exit codes are those of the command line."""
    parser = argparse.ArgumentParser(prog="python -m api.serve", description="Serve soar on this machine.")
    parser.add_argument("--config", type=Path, help="settings file (default: the variable SOAR_CONFIG)")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on; 0 takes a free one")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started it ends (Linux)")
    options = parser.parse_args(argv)
    if options.with_parent:
        die_with_parent()
    wanted: dict[str, Any] = {
        name: value for name in ("host", "port") if (value := getattr(options, name)) is not None
    }  # fmt: skip
    given = {"server": wanted} if wanted else {}
    return guarded(lambda: serve(load(options.config, **given), ready=lambda url: announce(f"READY {url}")))


if __name__ == "__main__":
    sys.exit(main())
