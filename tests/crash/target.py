"""A target system that outlives whoever calls it, with its own log, and the adapter that reaches it.

The target runs in a thread of the test's process and is reached over a unix socket, so that killing
a caller never touches it. It keeps what is true (who holds which effect), and it writes down every
call with key, verb, target, time and caller's process: that log is the witness against the product.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soar.errors import OutcomeUnknown, Problem, Rejected
from soar.ports import Applied, AppliedStatus, Call, Capability, Inspection, JsonObject, Repeat, Sink
from soar.verbs import VERBS

LATER = 0.25
"""Seconds until what was answered with 202 is so."""
SWIFT = 3.0
"""Seconds after which the adapter stops listening for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the target's log. `changed`: the call had an effect (a script that ran again counts again)."""

    cell: str
    op: str
    key: str
    verb: str
    target: str
    pid: int
    at: float
    changed: bool


@dataclass(slots=True)
class Estate:
    """What is true for one cell, and the faults that its next calls meet."""

    holders: dict[tuple[str, str], str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    faults: dict[str, list[str]] = field(default_factory=dict)


class Target:
    """The target system. `fault` lets the next call of an operation in a cell meet one of:

    slow (done, answered a little later), cut_before (no answer, nothing done), cut_after (done, no
    answer), later (202, done a little later), act_and_500 (done, answered 503), lie (answered
    200, nothing done), hang_before and hang_after (never answers), unreadable (answers 500, for an inspection).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log: list[Entry] = []
        self._estates: dict[str, Estate] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        target = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                said = self.rfile.readline()
                if said:
                    answer = target.answer(json.loads(said))
                    if answer is not None:
                        self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that was killed while it read its answer is what this target is for."""

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, cell: str, op: str, *kinds: str) -> None:
        """The next calls of an operation (inspect, apply, revert) in this cell meet these faults, in order."""
        with self._lock:
            self._estate(cell).faults.setdefault(op, []).extend(kinds)

    def log(self, cell: str, *ops: str) -> list[Entry]:
        """The calls of a cell in order: of these operations, else all that write."""
        wanted = ops or ("apply", "revert")
        with self._lock:
            return [entry for entry in self._log if entry.cell == cell and entry.op in wanted]

    def holder(self, cell: str, verb: str, target: str) -> str | None:
        """The key that holds an effect, as the target sees it."""
        with self._lock:
            return self._estate(cell).holders.get((verb, target))

    def answer(self, said: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """One call; None is a line that is cut."""
        with self._lock:
            waiting = self._estate(said["cell"]).faults.get(said["op"])
            fault = waiting.pop(0) if waiting else ""
            if said["op"] == "inspect":
                self._note(said, changed=False)
                return {"status": 500} if fault == "unreadable" else self._shown(said)
            acts = fault not in ("cut_before", "hang_before", "lie", "later")
            refused = self._refusal(said)
            self._note(said, changed=bool(acts and not refused and self._act(said)))
        if fault.startswith(("hang", "slow")):
            self._over.wait(60 if fault != "slow" else LATER)
        if fault == "later":
            threading.Timer(LATER, self._act_late, [said]).start()
        if fault.startswith(("cut", "hang")):
            return None
        if refused:
            return {"status": 409, "error": refused}
        outputs = {} if fault == "lie" else _OUTPUTS.get(said["verb"], {})
        return {"status": {"later": 202, "act_and_500": 503}.get(fault, 200), "outputs": outputs}

    def _estate(self, cell: str) -> Estate:
        return self._estates.setdefault(cell, Estate())

    def _note(self, said: Mapping[str, Any], *, changed: bool) -> None:
        parts = {name: said[name] for name in ("cell", "op", "key", "verb", "target", "pid")}
        self._log.append(Entry(**parts, at=time.time(), changed=changed))

    def _shown(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        undoes = VERBS[said["verb"]].undoes
        key = self._estate(said["cell"]).holders.get((undoes or said["verb"], said["target"]))
        return {"status": 200, "present": (key is None) if undoes else (key is not None), "ours": key}

    def _refusal(self, said: Mapping[str, Any]) -> str:
        """Compare and set: only who holds an effect may take it back."""
        held = self._estate(said["cell"]).holders.get((VERBS[said["verb"]].undoes, said["target"]))
        foreign = said["op"] == "revert" and held is not None and held != said["holder"]
        return f"held by {held}" if foreign else ""

    def _act(self, said: Mapping[str, Any]) -> bool:
        """Bring the effect about; True when something happened. What is unsafe happens at each call."""
        estate, repeat = self._estate(said["cell"]), Repeat(said["repeat"])
        if repeat is Repeat.READ or (repeat is Repeat.KEYED and said["key"] in estate.seen):
            return False
        estate.seen.add(said["key"])
        if said["op"] == "revert":
            gone = estate.holders.pop((VERBS[said["verb"]].undoes, said["target"]), None)
            return gone is not None or repeat is Repeat.UNSAFE
        there = (said["verb"], said["target"]) in estate.holders
        estate.holders.setdefault((said["verb"], said["target"]), said["key"])
        return not there or repeat is Repeat.UNSAFE

    def _act_late(self, said: Mapping[str, Any]) -> None:
        with self._lock:
            changed = self._act(said)
            parts = {name: said[name] for name in ("cell", "key", "verb", "target", "pid")}
            self._log.append(Entry(**parts, op="later", at=time.time(), changed=changed))


_OUTPUTS: Mapping[str, Mapping[str, Any]] = {"verify_clean": {"clean": True, "found": []}}

CLASSES: Mapping[str, Capability] = {
    "verify_clean": Capability(repeat=Repeat.READ, timeout=SWIFT),
    "disable_account": Capability(repeat=Repeat.KEYED, timeout=SWIFT),
    "quarantine_file": Capability(repeat=Repeat.STATE, timeout=SWIFT),
    "apply_workaround": Capability(repeat=Repeat.UNSAFE, timeout=SWIFT, inspects=False),
    "stop_service": Capability(repeat=Repeat.UNSAFE, timeout=SWIFT),
    "isolate_host": Capability(repeat=Repeat.STATE, timeout=SWIFT),
    "release_host": Capability(repeat=Repeat.STATE, timeout=SWIFT),
    "block_ip": Capability(repeat=Repeat.STATE, timeout=SWIFT),
}
"""One verb of each class; `apply_workaround` runs a script that leaves nothing to look at, `stop_service` does."""


class TargetAdapter:
    """Reaches the target over its socket (soar.ports.Adapter). `verbs` may be given other classes."""

    def __init__(self, path: str, cell: str, verbs: Mapping[str, Capability]) -> None:
        self.name = "target"
        self.verbs: Mapping[str, Capability] = {**CLASSES, **verbs}
        self._path = path
        self._cell = cell

    def inspect(self, call: Call) -> Inspection:
        """Whether the effect is there, and whose key it carries."""
        said = self._ask("inspect", call, "")
        if said["status"] != 200:
            raise OutcomeUnknown("the target cannot say")
        words = f"held by {said['ours']}" if said["ours"] else "nobody holds it"
        return Inspection(present=said["present"], ours=said["ours"], state={"holder": said["ours"]}, summary=words)

    def apply(self, call: Call, sink: Sink) -> Applied:
        """Bring the effect about."""
        return self._write("apply", call, "")

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:
        """Take our own effect away."""
        return self._write("revert", call, str(handle.get("key", "")))

    def check(self) -> Sequence[Problem]:
        """Nothing is ever wrong with it."""
        return []

    def _write(self, op: str, call: Call, holder: str) -> Applied:
        said = self._ask(op, call, holder)
        if said["status"] == 409:
            raise Rejected(str(said["error"]))
        if said["status"] >= 500:
            raise OutcomeUnknown(f"the target answered {said['status']}")
        status = AppliedStatus.ACCEPTED if said["status"] == 202 else AppliedStatus.CONFIRMED
        return Applied(status=status, handle={"key": call.key}, outputs=said["outputs"], summary=f"did {call.verb}")

    def _ask(self, op: str, call: Call, holder: str) -> Mapping[str, Any]:
        said = {
            "cell": self._cell, "op": op, "key": call.key, "verb": call.verb, "target": str(call.target),
            "holder": holder, "repeat": self.verbs[call.verb].repeat.value, "pid": os.getpid(),
        }  # fmt: skip
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(call.timeout)
            try:
                line.connect(self._path)
                line.sendall(json.dumps(said).encode() + b"\n")
                heard = line.makefile("rb").readline()
            except OSError as error:
                raise OutcomeUnknown(f"the line broke: {error}") from error
        if not heard:
            raise OutcomeUnknown("the line was cut before the answer")
        answer: Mapping[str, Any] = json.loads(heard)
        return answer
