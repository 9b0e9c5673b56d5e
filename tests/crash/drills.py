"""The stories that a child begins: one action of each class, and what is done to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from soar.engine import approving, control, direct, running
from soar.errors import Invalid
from soar.model import ENGINE, Actor, Entity, EntityKind, Observable, ScopeStatus, Severity, Verdict
from soar.playbook.yaml import yaml_form
from soar.ports import Capability, Repeat
from soar.protocol import State
from soar.store import actions, incidents, people
from soar.store.session import Tx
from soar.store.tables import approvals, due, persons, runs, switches, work
from soar.store.tables import incidents as incident_table
from soar.verbs import VERBS
from tests.crash.target import CLASSES

HOST = Entity(kind=EntityKind.HOST, id="ws-0160", name="ws-0160", source="target")
ACCOUNT = Entity(kind=EntityKind.ACCOUNT, id="j.doe", name="j.doe", source="target")
BAD = Observable(type="ipv4-addr", value="203.0.113.66", verdict=Verdict.MALICIOUS, confidence=95)

VERB: Mapping[str, str] = {
    "R": "verify_clean",
    "A": "disable_account",
    "B": "quarantine_file",
    "C": "apply_workaround",
    "C+": "stop_service",
}
"""The verb that stands for each class. C runs a script and leaves nothing to look at; C+ can be looked at."""
_WITH: Mapping[str, str] = {
    "R": "{host: ws-0160}",
    "A": "{account: j.doe}",
    "B": "{host: ws-0160, path: /tmp/dropper}",
    "C": "{host: ws-0160, change: close-share}",
    "C+": "{host: ws-0160, name: spooler}",
}
_UNDO_CLASS: Mapping[str, Capability] = {
    "A": Capability(repeat=Repeat.KEYED, timeout=3.0),
    "B": Capability(repeat=Repeat.STATE, timeout=3.0),
    "C": Capability(repeat=Repeat.UNSAFE, timeout=3.0, inspects=False),
    "C+": Capability(repeat=Repeat.UNSAFE, timeout=3.0),
}
NEXT = "notify"
"""The step after the one under test: it shows that a run went on."""


def capabilities(column: str) -> Mapping[str, Capability]:
    """What the adapter says beside its classes: how the undo of the column's class is done, and the next step."""
    undo = _UNDO_CLASS.get(column, _UNDO_CLASS["B"])
    return {"unblock_ip": undo, NEXT: Capability(repeat=Repeat.KEYED, timeout=3.0, inspects=False)}


def begin(room: Any, story: str) -> None:
    """Begin a story in a fresh database: `act` is one step and the next, `undo` takes a block back."""
    where = room.store.write(_incident)
    if story == "act":
        room.store.write(lambda tx: start(tx, where, room.spec["column"]))
        return
    room.store.write(lambda tx: _start_block(tx, where))
    assert room.work(10.0), "the block that is to be undone did not come to its end"
    with room.store.read() as conn:
        (block,) = actions.find(conn, verbs=("block_ip",), states=(State.ACTIVE,))
    room.store.write(lambda tx: direct.undo(tx, block.id, reason="superseded", why="drill"))


def start(tx: Tx, where: str, column: str) -> str:
    """Start a run of two steps: the verb of the column's class, then the next."""
    review = ", review: 24h" if VERBS[VERB[column]].contains else ""
    step = f"{{id: act, do: {VERB[column]}, with: {_WITH[column]}{review}}}"
    return _run(tx, where, "drill", f"  - {step}\n  - {{id: next, do: {NEXT}, with: {{team: soc, text: done}}}}\n")


def _start_block(tx: Tx, where: str) -> str:
    return _run(tx, where, "block", "  - {id: block, do: block_indicators, with: {from: incident}, lease: 1h}\n")


def _run(tx: Tx, where: str, name: str, steps: str) -> str:
    book = replace(yaml_form.load(_text(name, steps)), urgency="immediate")
    return running.start_run(tx, where, book, {}, by=ENGINE, why="drill", automatic=True)


def warm() -> None:
    """Read one playbook, so that what is loaded late is there before the first fork."""
    yaml_form.load(_text("warm", "  - {id: next, do: notify, with: {team: soc, text: done}}\n"))


def _text(name: str, steps: str) -> str:
    head = f"id: {name}\nname: {name}\ncreated: 2026-11-23T09:00:00.000Z\nmodified: 2026-11-23T09:00:00.000Z\n"
    return f"{head}types: [mitigation]\nsteps:\n{steps}"


def _incident(tx: Tx, title: str = "drill") -> str:
    made = incidents.open_new(tx, title, Severity.HIGH, ENGINE, "drill")
    for entity in (HOST, ACCOUNT):
        incidents.add_scope(tx, made, entity, ScopeStatus.AFFECTED, tx.now)
    incidents.add_observable(tx, made, BAD)
    incidents.judge_observable(tx, made, BAD.id, BAD.verdict, BAD.confidence, "drill")
    return made


def _running(room: Any) -> str:
    with room.store.read() as conn:
        found = conn.execute(sa.select(runs.c.id).where(runs.c.status.in_(("running", "paused")))).scalars().all()
    return str(found[-1])


def _kill_switch(room: Any) -> None:
    row = {"name": "*", "set_by": "drill", "reason": "drill"}
    room.store.write(lambda tx: tx.conn.execute(switches.insert().values(**row, set_at=tx.now)))


def _cancel(room: Any) -> None:
    run = _running(room)
    room.store.write(lambda tx: control.cancel_run(tx, run, ENGINE, "drill"))


def _pause(room: Any) -> None:
    run = _running(room)
    room.store.write(lambda tx: control.pause_run(tx, run, ENGINE, "drill"))


def resume(room: Any) -> None:
    """Let a paused run go on."""
    run = _running(room)
    room.store.write(lambda tx: control.resume_run(tx, run, ENGINE, "drill"))


THROWN: Mapping[str, Callable[[Any], None]] = {"kill_switch": _kill_switch, "cancel": _cancel, "pause": _pause}
"""What persons throw in while a worker stands between intent and send."""


def two_incidents(room: Any) -> None:
    """Two incidents contain one host, then the first lets it go. Told again, it goes on where it was."""
    bob, alice = (room.store.write(partial(_person, name=name)) for name in ("bob", "alice"))
    for title in ("first", "second"):
        room.store.write(partial(_contain, title=title))
    assert room.work(10.0)
    with room.store.read() as conn:
        held = actions.find(conn, verbs=("isolate_host",))
        undone = (
            actions.find(conn, verbs=("release_host",))
            or conn.execute(sa.select(runs.c.id).where(runs.c.playbook_slug == "direct-release")).all()
        )
    if not undone:
        room.store.write(lambda tx: direct.undo(tx, held[0].id, reason="mistaken", why="drill", by=alice))
    assert room.work(10.0)
    with room.store.read() as conn:
        asked = conn.execute(sa.select(approvals).where(approvals.c.status == "open")).first()
    if asked is not None:
        room.store.write(lambda tx: approving.vote(tx, asked.id, bob, "approve", "drill", asked.digest))


def _person(tx: Tx, name: str) -> Actor:
    roles = frozenset({"responder"})
    found = tx.conn.execute(sa.select(persons.c.id).where(persons.c.name == name)).scalar()
    return Actor(kind="person", id=found or people.add_person(tx, name, roles, ENGINE), name=name, roles=roles)


def _contain(tx: Tx, title: str) -> None:
    if tx.conn.execute(sa.select(incident_table.c.id).where(incident_table.c.title == title)).first() is None:
        step = "  - {id: isolate, do: isolate_host, with: {host: ws-0160}, review: 24h}\n"
        _run(tx, _incident(tx, title), title, step)


TOLD: Mapping[str, Callable[[Any], None]] = {"two_incidents": two_incidents}
"""Stories of several steps: each can be told again from its beginning, and goes on from the rows."""


def settled(conn: sa.Connection) -> bool:
    """No work is ready or held, and no timer will wake any."""
    waking = ("wake", "step_retry", "step_delay")
    busy = sa.select(work.c.id).where(work.c.state.in_(("ready", "claimed")))
    timers = sa.select(due.c.id).where(due.c.state == "armed", due.c.kind.in_(waking))
    # One statement, so that a timer that wakes its row between two looks is not missed by both.
    return not conn.execute(sa.select(sa.or_(busy.exists(), timers.exists()))).scalar()


UNDO_VERB = "unblock_ip"


def verb_under_test(story: str, column: str) -> str:
    """The verb whose action a cell is about."""
    if story == "act":
        return VERB[column]
    if column not in _UNDO_CLASS:
        raise Invalid(f"class {column} has nothing to undo")
    return UNDO_VERB


assert set(VERB.values()) <= set(CLASSES)
