"""Takes one request after another to the estate: time first, then faults, then the deed, then the log."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations.estate import firewall
from integrations.estate.act import Act, Answer, Data, Refusal, stamp
from integrations.estate.faults import SILENT, Fault, FaultBook, read_fault
from integrations.estate.operations import OPERATIONS
from integrations.estate.state import Store

_MUTE = frozenset({"hang_after", "cut_after"})
_HANGS = frozenset({"hang", "hang_after"})


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the line. Status None: nothing does, the line is held for `hold` seconds, then closed.

    `hold` None with status None and `hangs` means until the server stops.
    """

    status: int | None
    body: Data | bytes
    hangs: bool = False
    hold: float | None = None


class Desk:
    """The estate behind one lock. Every request is logged, whether it reads, changes or is refused."""

    def __init__(self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now
        self._faults = FaultBook()
        self._lock = threading.Lock()

    def answer(self, act: Act) -> Reply:
        """Do what is asked, or what the fault that waits for it says."""
        with self._lock:
            self._catch_up()
            act = replace(act, now=self._now())
            fault = self._faults.take(act.verb, act.target, act.method)
            try:
                return self._served(act, fault)
            except Refusal as refusal:
                status = None if fault and fault.fault in _MUTE else refusal.status
                self._store.record(_entry(act, status, fault))
                return _reply(status, {"error": refusal.message}, fault)

    def calls(self, key: str = "") -> Data:
        """The call log, up to this moment."""
        with self._lock:
            self._catch_up()
            return {"calls": self._store.calls(key)}

    def faults(self) -> Data:
        with self._lock:
            return {"faults": self._faults.listed()}

    def add_fault(self, body: Mapping[str, Any]) -> Data:
        """Let the next matching calls meet a fault; raises Refusal."""
        fault = read_fault(body)
        with self._lock:
            self._faults.add(fault)
        return self.faults()

    def clear_faults(self) -> Data:
        with self._lock:
            self._faults.clear()
        return self.faults()

    def _served(self, act: Act, fault: Fault | None) -> Reply:
        kind = fault.fault if fault else ""
        if kind in SILENT:
            self._store.record(_entry(act, None, fault))
            return _reply(None, {}, fault)
        if kind == "error_500":
            self._store.record(_entry(act, 500, fault))
            return _reply(500, {"error": "the estate failed"}, fault)
        step = _step(act)
        before = self._seen_before(act)
        if before is not None:
            status = None if kind in _MUTE else int(before["status"])
            self._store.record({**_entry(act, status, fault), "duplicate": True})
            return _reply(status, before["body"], fault)
        if fault is not None and kind == "accept_later":
            return self._accept(act, fault)
        status = None if kind in _MUTE else 500 if kind == "act_and_500" else 200
        body = self._done(act, step, _entry(act, status, fault), keep=kind != "lie").body
        return _reply(status, body if kind != "act_and_500" else {"error": "the estate failed"}, fault)

    def _done(self, act: Act, step: Callable[[Data, Act], Answer], entry: Data, *, keep: bool) -> Answer:
        """Run one step on a copy of the state and make the copy the state, with its log entry."""
        operation = OPERATIONS[act.verb]
        if operation.reads or act.method == "inspect":
            answer = step(self._store.data, act)
            self._store.record(entry)
            return answer
        draft = self._draft()
        answer = step(draft, act)
        if not keep:
            self._store.record(entry)
            return answer
        keyed = operation.keyed and act.method == "apply"
        if keyed:
            draft["answers"][_identity(act)] = {"status": 200, "body": answer.body}
        if answer.changed:
            firewall.pass_time(draft, act.now)
        if answer.changed or keyed:
            self._store.commit(draft, {**entry, "changed": answer.changed})
        else:
            self._store.record(entry)
        return answer

    def _seen_before(self, act: Act) -> Data | None:
        if not OPERATIONS[act.verb].keyed or act.method != "apply":
            return None
        seen: Data | None = self._store.data["answers"].get(_identity(act))
        return seen

    def _accept(self, act: Act, fault: Fault) -> Reply:
        """Answer 202 now and do it when its time has come, across a restart too."""
        draft = self._draft()
        due = act.now + timedelta(seconds=1.0 if fault.seconds is None else fault.seconds)
        wish = {name: getattr(act, name) for name in ("method", "verb", "target", "key", "caller")}
        wish |= {"params": dict(act.params), "handle": dict(act.handle)}
        draft["later"].append({"due": stamp(due), "act": wish})
        body = {"summary": f"taken for later, {stamp(due)}"}
        if OPERATIONS[act.verb].keyed and act.method == "apply":
            draft["answers"][_identity(act)] = {"status": 202, "body": body}
        self._store.commit(draft, _entry(act, 202, fault))
        return _reply(202, body, fault)

    def _catch_up(self) -> None:
        """Do what was accepted for a time that has come; let rules end and programs reconnect."""
        now = self._now()
        due = sorted((wish for wish in self._store.data["later"] if wish["due"] <= stamp(now)), key=lambda w: w["due"])
        for wish in due:
            self._do_late(wish, now)
        draft = self._draft()
        if firewall.pass_time(draft, now):
            self._store.replace(draft)

    def _draft(self) -> Data:
        """A copy of the state to work on. Kept answers are never changed in place, so they are shared."""
        data = self._store.data
        return {name: dict(part) if name == "answers" else copy.deepcopy(part) for name, part in data.items()}

    def _do_late(self, wish: Data, now: datetime) -> None:
        act = Act(now=now, **wish["act"])
        draft = self._draft()
        draft["later"].remove(wish)
        entry = {**_entry(act, None, None), "late": True}
        try:
            answer = _step(act)(draft, act)
        except Refusal as refusal:
            draft = self._draft()
            draft["later"].remove(wish)
            self._store.commit(draft, {**entry, "refused": refusal.message})
            return
        if _identity(act) in draft["answers"]:
            draft["answers"][_identity(act)] = {"status": 200, "body": answer.body}
        self._store.commit(draft, {**entry, "changed": answer.changed})


def _step(act: Act) -> Callable[[Data, Act], Answer]:
    operation = OPERATIONS.get(act.verb)
    if operation is None:
        raise Refusal(404, f"the estate has no verb {act.verb!r}")
    if act.method not in operation.methods:
        raise Refusal(405, f"{act.verb} takes {', '.join(operation.methods)}, not {act.method}")
    if not act.key and not operation.reads and act.method != "inspect":
        raise Refusal(400, "a call that changes something needs the header X-Soar-Key")
    return operation.methods[act.method]


def _identity(act: Act) -> str:
    return f"{act.verb} {act.target} {act.key}"


def _entry(act: Act, status: int | None, fault: Fault | None) -> Data:
    """One line of the call log. Status None: no answer was given."""
    entry: Data = {
        "at": stamp(act.now),
        "key": act.key,
        "caller": act.caller,
        "verb": act.verb,
        "target": act.target,
        "method": act.method,
        "status": status,
        "changed": False,
        "duplicate": False,
    }
    return entry if fault is None else {**entry, "fault": fault.fault}


def _reply(status: int | None, body: Data | bytes, fault: Fault | None) -> Reply:
    hangs = fault is not None and fault.fault in _HANGS
    return Reply(status, body, hangs=hangs, hold=fault.seconds if fault is not None else None)
