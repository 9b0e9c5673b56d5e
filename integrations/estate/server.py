"""Runs the estate: here and now until SIGTERM, or as a child process that dies with its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from integrations.estate.act import Data
from integrations.estate.desk import Desk
from integrations.estate.handler import Server
from integrations.estate.state import Store

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.2


def serve(
    state_file: Path,
    port: int,
    host: str = "127.0.0.1",
    estate: Data | None = None,
    *,
    ready: Callable[[str], None] = lambda _url: None,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Serve the estate in `state_file` until SIGTERM, SIGINT or `wanted` says no. Port 0 takes a free one.

    `estate` is what a missing file starts with (default: the sample). `ready` gets the base URL
    once requests are answered. Must run in the main thread, for the signals.
    """
    server = Server((host, port), Desk(Store(state_file, datetime.now(UTC), estate)))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="estate", daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{server.server_port}")
    try:
        while wanted() and not stop.wait(_LOOK_SECONDS):
            pass
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()


class Lab:
    """A running estate process. Leaving the `with` block stops it; its files stay."""

    def __init__(self, process: subprocess.Popen[str], url: str, state_file: Path) -> None:
        self._process = process
        self.url = url
        self.pid = process.pid
        self.state_file = state_file

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """End the process, by force after five seconds. A second call does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def spawn(folder: Path, *, port: int = 0, estate: Data | None = None) -> Lab:
    """Start the estate kept in `folder` as a child process and wait until it answers.

    Raises RuntimeError when it does not start within 20 seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / "estate.json"
    if estate is not None and not state_file.exists():
        Store(state_file, datetime.now(UTC), estate)
    options = {"--state": state_file, "--port": port, "--parent": os.getpid()}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
        [sys.executable, "-m", "integrations.estate", *(str(word) for pair in options.items() for word in pair)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(_START_SECONDS, process.kill)
    guard.start()
    assert process.stdout is not None
    with process.stdout as said:
        line = said.readline()
    guard.cancel()
    if not line:
        process.kill()
        process.wait()
        raise RuntimeError(f"the lab did not start (exit {process.returncode})")
    return Lab(process, json.loads(line)["url"], state_file)
