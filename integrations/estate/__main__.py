"""`python -m integrations.estate --state lab.json --port 8765`: run the simulated estate."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path

from integrations.estate.server import serve

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until SIGTERM. The first line on standard output is JSON with the base URL."""
    parser = argparse.ArgumentParser(prog="python -m integrations.estate", description="A simulated estate.")
    parser.add_argument("--state", type=Path, required=True, help="file that keeps the estate")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--parent", type=int, default=0, help="process id of the starter: end when it ends (Linux)")
    options = parser.parse_args()
    stop = threading.Event()
    if options.parent:
        _die_with(options.parent, stop)
    serve(options.state, options.port, options.host, ready=_announce, stop=stop)


def _announce(url: str) -> None:
    sys.stdout.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()


def _die_with(parent: int, stop: threading.Event) -> None:
    """Ask Linux for a signal when the parent ends; elsewhere do nothing.

    Linux sends it when the *thread* that started us ends (prctl(2), PR_SET_PDEATHSIG), so the
    handler looks whether the process itself is gone. The first look catches a parent that ended
    before we asked.
    """
    if not sys.platform.startswith("linux"):
        return

    def look(*_: object) -> None:
        if os.getppid() != parent:
            stop.set()

    signal.signal(signal.SIGHUP, look)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    look()


if __name__ == "__main__":
    main()
