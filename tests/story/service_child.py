"""A service in a process of its own, for stories in which it is killed. `--blind` takes its eyes away."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from api.process import log_to_stderr
from api.wiring import build
from soar.config import Settings
from soar.engine import calls
from soar.protocol import Recovery


def main(settings: Path, *, blind: bool) -> None:
    """Run until SIGTERM. A blind service repeats what it finds in its call, without asking the target."""
    log_to_stderr()  # what is printed is for the test: it waits for the word READY
    if blind:
        vars(calls).update(recover=lambda *_, **__: Recovery.REPEAT, inspect=lambda *_: None)
    house = build(Settings(**json.loads(settings.read_text(encoding="utf-8"))))
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    house.start()
    print("READY", flush=True)
    parent = os.getppid()
    while not over.wait(0.2) and os.getppid() == parent:
        pass
    house.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), blind="--blind" in sys.argv)
