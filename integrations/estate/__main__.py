"""`python -m integrations.estate --state lab.json --port 8765`: run the simulated estate."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from integrations.estate.server import serve


def main() -> None:
    """Serve until SIGTERM. The first line on standard output is JSON with the base URL."""
    parser = argparse.ArgumentParser(prog="python -m integrations.estate", description="A simulated estate.")
    parser.add_argument("--state", type=Path, required=True, help="file that keeps the estate")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--parent", type=int, default=0, help="process id of the starter: end when it ends (POSIX)")
    options = parser.parse_args()
    serve(options.state, options.port, options.host, ready=_announce, wanted=lambda: _lives(options.parent))


def _announce(url: str) -> None:
    sys.stdout.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()


def _lives(parent: int) -> bool:
    """Whether the starter still runs. A process whose parent ended gets another one (POSIX).

    Asked now and then rather than told by the kernel: prctl(2) PR_SET_PDEATHSIG goes off when the
    *thread* that started us ends, and its signal was lost in 6 of 40 kills of a busy parent.
    """
    return not parent or os.name != "posix" or os.getppid() == parent


if __name__ == "__main__":
    main()
