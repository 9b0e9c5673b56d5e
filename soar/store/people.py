"""Persons, their roles, and the keys that speak for them or for services.

A key is shown once when it is issued; the database keeps its SHA-256 (it is 256 random bits, so a
slow hash would add nothing). `soar_` in front lets secret scanners find a leaked one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from soar.access import ROLES
from soar.errors import Conflict, Invalid, NotFound, Unauthenticated
from soar.events import Kind, moment
from soar.ids import new_id
from soar.model import ENGINE, Actor
from soar.store import locks, streams
from soar.store.session import Tx
from soar.store.tables import events, keys, meta, persons, roles

PREFIX = "soar_"
DAY = timedelta(days=1)
SAME_DAY_ISSUER = "same_day_issuer"
"""The row of `meta` that holds the setting guards.same_day_issuer; without it the rule is strict."""

_WHO_ADMINISTRATES = "people: who administrates"


def _check_roles(wanted: Iterable[str]) -> list[str]:
    wanted = sorted(set(wanted))
    unknown = [role for role in wanted if role not in ROLES]
    if unknown:
        raise Invalid(f"unknown role {unknown[0]!r} (known: {', '.join(sorted(ROLES))})")
    return wanted


def add_person(tx: Tx, name: str, wanted: Iterable[str], by: Actor) -> str:
    """Add a person with roles; raises Conflict if the name is taken. Returns the person's id."""
    wanted = _check_roles(wanted)
    if tx.conn.execute(sa.select(persons.c.id).where(persons.c.name == name)).first():
        raise Conflict(f"there is a person {name!r} already")
    person_id = new_id()
    tx.conn.execute(persons.insert().values(id=person_id, name=name, active=True, created_at=tx.now, created_by=by.id))
    for role in wanted:
        tx.conn.execute(
            roles.insert().values(id=new_id(), person_id=person_id, role=role, granted_at=tx.now, granted_by=by.id)
        )
    streams.append(
        tx, streams.SYSTEM, Kind.PERSON_ADDED, actor=by, data={"person": person_id, "roles": wanted},
        values={"name": name},
    )  # fmt: skip
    return person_id


def issue_key(
    tx: Tx, by: Actor, *, person_id: str | None = None, service: str | None = None, wanted: Iterable[str] = (),
    days: int | None = None,
) -> str:  # fmt: skip
    """Issue a key for a person (their roles apply) or a service (the given roles). Returns it, once."""
    if (person_id is None) == (service is None):
        raise Invalid("a key is for a person or for a service")
    wanted = _check_roles(wanted)
    secret = PREFIX + secrets.token_urlsafe(32)
    key_id = new_id()
    tx.conn.execute(
        keys.insert().values(
            id=key_id, person_id=person_id, service=service, secret_sha256=_digest(secret), roles=wanted,
            created_at=tx.now, created_by=by.id, expires_at=tx.now + timedelta(days=days) if days else None,
        )
    )  # fmt: skip
    streams.append(
        tx, streams.SYSTEM, Kind.KEY_ISSUED, actor=by,
        data={"key": key_id, "person": person_id or "", "service": service or "", "roles": wanted},
    )  # fmt: skip
    return secret


def change_person(tx: Tx, person_id: str, *, active: bool, wanted: Iterable[str], by: Actor) -> None:
    """Let a person in or keep them out, and give them exactly these roles; nothing is written for no change.

    Raises NotFound, Invalid for an unknown role, Conflict when nobody would be left to administrate.
    """
    wanted = set(_check_roles(wanted))
    locks.hold(tx, [_WHO_ADMINISTRATES])
    row = tx.conn.execute(sa.select(persons).where(persons.c.id == person_id)).first()
    if row is None:
        raise NotFound(f"no person {person_id!r}")
    held = set(tx.conn.execute(sa.select(roles.c.role).where(roles.c.person_id == person_id)).scalars())
    granted, ended = sorted(wanted - held), sorted(held - wanted)
    if not granted and not ended and active == row.active:
        return
    tx.conn.execute(persons.update().where(persons.c.id == person_id).values(active=active))
    tx.conn.execute(roles.delete().where(roles.c.person_id == person_id, roles.c.role.in_(ended)))
    for role in granted:
        tx.conn.execute(
            roles.insert().values(id=new_id(), person_id=person_id, role=role, granted_at=tx.now, granted_by=by.id)
        )
    administrators = sa.select(persons.c.id).join(roles, roles.c.person_id == persons.c.id)
    if not tx.conn.execute(administrators.where(persons.c.active, roles.c.role == "admin")).first():
        raise Conflict("nobody would be left to administrate; make another administrator first")
    armed = bool(granted) or (active and not row.active)
    streams.append(
        tx, streams.SYSTEM, Kind.PERSON_CHANGED, actor=by,
        data={"person": person_id, "granted": granted, "ended": ended, "active": active, "armed": armed},
    )  # fmt: skip


def revoke_key(tx: Tx, key_id: str, by: Actor) -> None:
    """End a key at once; one that has ended already stays as it is. Raises NotFound, Conflict for the last one."""
    locks.hold(tx, [_WHO_ADMINISTRATES])
    row = tx.conn.execute(sa.select(keys.c.revoked_at).where(keys.c.id == key_id)).first()
    if row is None:
        raise NotFound(f"no key {key_id!r}")
    if row.revoked_at is not None:
        return
    if key_id in _last_admin_keys(tx.conn, tx.now):
        raise Conflict("this is the last key of an administrator; issue another one before revoking it")
    tx.conn.execute(keys.update().where(keys.c.id == key_id).values(revoked_at=tx.now))
    streams.append(tx, streams.SYSTEM, Kind.KEY_REVOKED, actor=by, data={"key": key_id})


def _last_admin_keys(conn: sa.Connection, now: datetime) -> list[str]:
    """The ids of all valid administrators' keys, if there is only one."""
    valid = sa.and_(keys.c.revoked_at.is_(None), sa.or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))
    query = (
        sa.select(keys.c.id)
        .join(persons, persons.c.id == keys.c.person_id)
        .join(roles, roles.c.person_id == persons.c.id)
        .where(valid, persons.c.active, roles.c.role == "admin")
    )
    found = [str(each) for each in conn.execute(query).scalars()]
    return found if len(found) == 1 else []


def authenticate(conn: sa.Connection, secret: str, now: datetime) -> Actor:
    """The actor that a key speaks for; raises Unauthenticated, for every reason in the same words."""
    rows = conn.execute(_BEHIND_KEY, {"digest": _digest(secret)}).all()
    first = rows[0] if rows else None
    if first is None or first.revoked_at or (first.expires_at and first.expires_at <= now):
        raise Unauthenticated("this key is not valid")
    if first.service is not None:
        return Actor(kind="service", id=first.service, name=first.service, roles=frozenset(first.roles))
    if not first.active:
        raise Unauthenticated("this key is not valid")
    held = frozenset(row.role for row in rows if row.role is not None)
    return Actor(kind="person", id=first.person_id, name=first.name, roles=held)


def issuers_of_day(conn: sa.Connection, person_id: str, now: datetime) -> frozenset[str]:
    """Who made this person, granted them a role or issued their key within the last 24 hours.

    Who armed those issuers within that time is told too: a hand does not get another by passing
    through a third person. The engine, which makes the first administrator, is nobody's hand. The
    events are asked, not the rows: a role that was ended again was granted nevertheless.
    """
    arming = (Kind.PERSON_ADDED.value, Kind.PERSON_CHANGED.value, Kind.KEY_ISSUED.value)
    bodies = conn.execute(
        sa.select(events.c.body).where(
            events.c.stream == streams.SYSTEM, events.c.kind.in_(arming), events.c.recorded_at > now - DAY
        )
    ).scalars()
    hands: dict[str, set[str]] = {}
    for said in map(streams.said, bodies):
        data = said["data"]
        kind, _, issuer = said["actor"].partition(":")
        if kind != ENGINE.kind and data.get("armed", True):
            hands.setdefault(data["person"] or data["service"], set()).add(issuer)
    found: set[str] = set()
    asked = {person_id}
    while asked:
        found |= (more := set().union(*(hands.get(each, set()) for each in asked)) - found)
        asked = more
    return frozenset(found)


def keep_same_day_rule(tx: Tx, rule: str) -> None:
    """Put the setting guards.same_day_issuer where the counting of votes finds it."""
    if not tx.conn.execute(meta.update().where(meta.c.name == SAME_DAY_ISSUER).values(value=rule)).rowcount:
        tx.conn.execute(meta.insert().values(name=SAME_DAY_ISSUER, value=rule))


def set_up_until(conn: sa.Connection) -> datetime | None:
    """Until when one hand may arm everybody: 24 hours from the first event of all. None: never (strict)."""
    rule = conn.execute(sa.select(meta.c.value).where(meta.c.name == SAME_DAY_ISSUER)).scalar()
    if rule != "bootstrap":
        return None
    first = sa.select(events.c.body).where(events.c.stream == streams.SYSTEM, events.c.seq == 0)
    body = conn.execute(first).scalar()
    return moment(streams.said(body)["recorded_at"]) + DAY if body else None


def named(conn: sa.Connection, person_id: str) -> str:
    """A person's name, or the id itself for anybody else."""
    found = conn.execute(sa.select(persons.c.name).where(persons.c.id == person_id)).scalar()
    return str(found) if found else person_id


def told(conn: sa.Connection, actor: str) -> str:
    """An event's actor for people to read: `person:<id>` with the person's name in place of the id."""
    kind, _, ident = actor.partition(":")
    return f"{kind}:{named(conn, ident)}"


def everyone(conn: sa.Connection) -> list[dict[str, Any]]:
    """All persons with their roles."""
    held: dict[str, list[str]] = {}
    for row in conn.execute(sa.select(roles).order_by(roles.c.role)):
        held.setdefault(row.person_id, []).append(row.role)
    return [
        {"id": row.id, "name": row.name, "active": row.active, "roles": held.get(row.id, [])}
        for row in conn.execute(sa.select(persons).order_by(persons.c.name))
    ]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_BEHIND_KEY = (
    sa.select(
        keys.c.revoked_at, keys.c.expires_at, keys.c.service, keys.c.roles, keys.c.person_id, persons.c.name,
        persons.c.active, roles.c.role,
    )
    .outerjoin(persons, persons.c.id == keys.c.person_id)
    .outerjoin(roles, roles.c.person_id == persons.c.id)
    .where(keys.c.secret_sha256 == sa.bindparam("digest"))
)  # fmt: skip
"""The key, its person, and a row for each of the person's roles."""
