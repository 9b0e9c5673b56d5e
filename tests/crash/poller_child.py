"""A node's poller in a process of its own. Told a number, it freezes before its commit of that timer."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
from typing import Any, cast

from api.process import log_to_stderr
from soar.clock import SystemClock
from soar.engine import due
from soar.engine.parts import Parts
from soar.guards.policy import Policy
from soar.store import timers
from soar.store.session import Store, Tx
from tests import wires


def main(url: str, freeze_at: int, idle: str) -> None:
    """Poll until SIGTERM; prints each timer that it takes, and says when it freezes."""
    log_to_stderr()
    timers.IDLE = idle
    store = Store(url, SystemClock())
    parts = Parts(store=store, adapters={}, custodian=cast("Any", None), policy=Policy(), clock=store.clock)
    numbers, taken, real = itertools.count(1), [""], due._do

    def watched(parts: Parts, tx: Tx, timer: Any) -> None:
        real(parts, tx, timer)
        taken[0] = timer.id if next(numbers) == freeze_at else ""

    due._do = watched

    def freeze() -> None:
        if taken[0]:
            print(json.dumps({"frozen": taken[0]}), flush=True)
            taken[0] = ""
            os.kill(os.getpid(), signal.SIGSTOP)

    wires.at_commit(store, freeze)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    print(json.dumps({"ready": os.getpid()}), flush=True)
    due.poll(parts, over, threading.Event())
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
