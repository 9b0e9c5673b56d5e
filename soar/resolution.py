"""What an alert names becomes what is in scope: the inventories are asked, and persons where those cannot say.

A mention that an inventory keeps silent about is asked for again, by a timer (`due`, kind `resolve`):
after 5 s, each time after twice as long, at most 5 min, at most 12 times; then a person is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from soar.engine import contact
from soar.errors import AdapterError, Invalid, Problem
from soar.model import Actor, Entity, EntityKind, Mention, Observable, ScopeStatus
from soar.ports import Directory
from soar.store import incidents, links, tasks, work
from soar.store.links import Link
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import due
from soar.store.tables import tasks as task_table

log = structlog.get_logger("soar.resolution")

TRIES = 12
"""So often a silent inventory is asked again before a person is."""
_FIRST, _LONGEST = timedelta(seconds=5), timedelta(minutes=5)
_HIT = frozenset({"affected", "src"})
"""Roles of a mention that make it affected; a related thing or a destination is only suspected."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A mention, what the inventories say it was at the alert's time, and whether one kept silent."""

    mention: Mention
    entities: tuple[Entity, ...]
    silent: bool = False

    @property
    def owed(self) -> bool:
        """Nobody knew it, but not everybody answered."""
        return self.silent and not self.entities


@dataclass(frozen=True, slots=True)
class Seen:
    """A stored alert: its id, its incident, and when it happened."""

    alert_id: str
    incident_id: str
    occurred_at: datetime


def resolve(directories: Sequence[Directory], mentions: Iterable[Mention], at: datetime) -> list[Resolved]:
    """Ask every inventory what each mention was at a time. Calls out: never inside a write."""
    return [_resolve(directories, mention, at) for mention in mentions]


def _resolve(directories: Sequence[Directory], mention: Mention, at: datetime) -> Resolved:
    """One inventory that does not answer must not stop an alert."""
    found: dict[tuple[EntityKind, str], Entity] = {}
    silent = False
    for directory in directories:
        try:
            found |= {(entity.kind, entity.id): entity for entity in contact.resolve(directory, mention, at)}
        except AdapterError as error:
            log.warning("inventory_silent", inventory=directory.name, reason=error.message)
            silent = True
    return Resolved(mention, tuple(found.values()), silent)


def links_of(observables: Iterable[Observable], resolved: Iterable[Resolved]) -> list[Link]:
    """What an alert can be tied to others by: hosts, accounts and their addresses, and what was talked to.

    A destination inside and an address that belongs to nothing known (a resolver, a container bridge)
    tie everything together, so they tie nothing.
    """
    found: list[Link] = []
    for each in resolved:
        if len(each.entities) != 1 or each.mention.role == "dest":
            continue
        entity = each.entities[0]
        if entity.kind in (EntityKind.HOST, EntityKind.ACCOUNT):
            found.append((entity.kind.value, entity.id))
        if each.mention.kind == "address":
            found.append(("address", each.mention.value))
    found += [("address", seen.value) for seen in observables if seen.type in ("ipv4-addr", "ipv6-addr")]
    return list(dict.fromkeys(found))


def settle(tx: Tx, seen: Seen, resolved: Sequence[Resolved], actor: Actor, tries: int = 0) -> bool:
    """Put what was resolved into scope, and ask for the rest; True when the scope grew.

    Affected is what the alert says is, everything else only suspected. What is ambiguous or unknown
    becomes a question to a person; what is owed is asked for again, `tries` being how often that
    was done already.
    """
    grew = False
    hosts = any(_hit_host(each) for each in resolved)
    for each in resolved:
        if len(each.entities) == 1:
            status = _status(each.mention.role)
            grew |= incidents.add_scope(tx, seen.incident_id, each.entities[0], status, seen.occurred_at, actor)
        elif each.entities and each.mention.role != "id":
            _ask_which(tx, seen, each)
        elif _unknown(each) and not (hosts and each.mention.kind == "address"):
            # A named host's further addresses (a bridge, a tunnel) are in no inventory; the host itself is.
            _ask_what(tx, seen.incident_id, each.mention)
    owed = [each.mention for each in resolved if each.owed]
    if owed:
        _ask_again(tx, seen, owed, tries)
    return grew


def choose(tx: Tx, task: Any, answer: Mapping[str, Any], actor: Actor) -> Any:
    """Put the thing that a person chose into scope; returns the id of the alert that named it.

    `task` is the row of kind `ambiguous` as it stood open: its `answer` holds the candidates.
    Raises Invalid when the answer names none of them.
    """
    asked = task.answer
    rows = {f"{each['kind']}:{each['id']}": each for each in asked["candidates"]}
    said = str(answer["entity"])
    fitting = [name for name in rows if said in (name, name.partition(":")[2])]
    if len(fitting) != 1:
        known = ", ".join(sorted(rows))
        message = f"{said!r} is not one of the things that could be meant"
        problem = Problem(
            code="not_a_candidate", message=message, pointer="/answer/entity", mend=f"Name one of: {known}."
        )
        raise Invalid("the answer does not fit the question", [problem])
    entity = _entity(rows[fitting[0]])
    status = ScopeStatus(asked["status"])
    as_of = datetime.fromisoformat(asked["as_of"])
    if not incidents.add_scope(tx, task.incident_id, entity, status, as_of, actor):
        _raise_suspected(tx, task.incident_id, fitting[0], status, actor)
    mention = Mention(**asked["mention"])
    links.add(tx, task.incident_id, links_of((), [Resolved(mention, (entity,))]))
    return asked["alert"]


def waiting(conn: sa.Connection, now: datetime) -> list[Any]:
    """The timers whose mentions are to be asked for again now, oldest first.

    One that the poller has marked as fired still counts: only `done` is over, so that a crash
    between the two loses nothing.
    """
    query = sa.select(due).where(due.c.kind == "resolve", due.c.state.in_(("armed", "fired")), due.c.at <= now)
    return list(conn.execute(query.order_by(due.c.at)))


def finish(tx: Tx, timer_id: str) -> bool:
    """End such a timer; False when another process has ended it."""
    ended = due.update().where(due.c.id == timer_id, due.c.state.in_(("armed", "fired"))).values(state="done")
    return bool(tx.conn.execute(ended).rowcount)


def mentions_in(data: Mapping[str, Any]) -> list[Mention]:
    """The mentions that a timer's data names."""
    return [Mention(**each) for each in data["mentions"]]


def ask_once(tx: Tx, incident_id: str, kind: str, text: str, asks: Mapping[str, str]) -> str | None:
    """Ask a person, unless the same was asked in this incident before: None then."""
    if tx.run(_ASKED, {"incident": incident_id, "about": kind, "words": text}).first() is not None:
        return None
    return tasks.open_task(tx, incident_id, kind=kind, text=text, asks=asks)


def _ask_again(tx: Tx, seen: Seen, owed: Sequence[Mention], tries: int) -> None:
    if tries >= TRIES:
        names = ", ".join(f"{each.kind} {each.value}" for each in owed)
        text = f"An inventory stayed silent {tries} times: {names} could not be resolved. Put into scope what is meant."
        ask_once(tx, seen.incident_id, "unresolved", text, {"note": "str"})
        return
    data = {
        "alert": seen.alert_id, "mentions": [asdict(each) for each in owed],
        "occurred_at": seen.occurred_at.isoformat(), "tries": tries + 1,
    }  # fmt: skip
    work.arm(tx, tx.now + min(_FIRST * 2**tries, _LONGEST), "resolve", seen.incident_id, 0, data)


def _ask_which(tx: Tx, seen: Seen, each: Resolved) -> None:
    names = ", ".join(f"{entity.name} ({entity.kind.value}:{entity.id}, {entity.source})" for entity in each.entities)
    text = f"{each.mention.kind} {each.mention.value} could be any of: {names}. Which one is meant?"
    task_id = ask_once(tx, seen.incident_id, "ambiguous", text, {"entity": "str"})
    if task_id is None:
        return
    asked = {
        "candidates": [_plain(entity) for entity in each.entities], "mention": asdict(each.mention),
        "status": _status(each.mention.role).value, "as_of": seen.occurred_at.isoformat(), "alert": seen.alert_id,
    }  # fmt: skip
    tx.conn.execute(task_table.update().where(task_table.c.id == task_id).values(answer=asked))


def _ask_what(tx: Tx, incident_id: str, mention: Mention) -> None:
    text = f"No inventory knows the {mention.kind} {mention.value}, which an alert says is affected. What is it?"
    ask_once(tx, incident_id, "unknown_entity", text, {"note": "str"})


_ASKED = Statement(
    sa.select(task_table.c.id)
    .where(
        task_table.c.incident_id == sa.bindparam("incident"), task_table.c.kind == sa.bindparam("about"),
        task_table.c.text == sa.bindparam("words"),
    )
    .limit(1)
)  # fmt: skip


def _raise_suspected(tx: Tx, incident_id: str, target: str, status: ScopeStatus, actor: Actor) -> None:
    rows = incidents.scope_rows(tx.conn, incident_id)
    now = next(row.status for row in rows if f"{row.kind}:{row.entity_id}" == target)
    if now == ScopeStatus.SUSPECTED.value:
        incidents.set_scope(tx, incident_id, target, status, actor, "said to be the one that is meant")


def _unknown(each: Resolved) -> bool:
    return not each.entities and not each.silent and each.mention.role in _HIT


def _status(role: str) -> ScopeStatus:
    return ScopeStatus.AFFECTED if role in _HIT else ScopeStatus.SUSPECTED


def _hit_host(each: Resolved) -> bool:
    return each.mention.kind == "host" and each.mention.role in _HIT and len(each.entities) == 1


def _plain(entity: Entity) -> dict[str, Any]:
    since = entity.known_since
    return {**asdict(entity), "kind": entity.kind.value, "known_since": since.isoformat() if since else None}


def _entity(plain: Mapping[str, Any]) -> Entity:
    since = plain["known_since"]
    read: dict[str, Any] = {name: tuple(plain[name]) for name in ("addresses", "tags", "groups")}
    read |= {"kind": EntityKind(plain["kind"]), "known_since": datetime.fromisoformat(since) if since else None}
    return Entity(**{**plain, **read})
