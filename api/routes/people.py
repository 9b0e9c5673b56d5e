"""Persons and their keys."""

from __future__ import annotations

import hashlib
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter

from api.auth import TheHouse, needs
from api.views.base import Ident, Page, mapping, pick
from api.views.house import ChangedPerson, IssuedKey, Key, NewKey, NewPerson, Person
from soar.errors import NotFound
from soar.model import Actor
from soar.store import people
from soar.store.session import Tx
from soar.store.tables import keys, persons

router = APIRouter(tags=["people"])


@router.get("/people", summary="List persons")
def list_people(house: TheHouse, _: Annotated[Actor, needs("person.read")]) -> Page[Person]:
    """With their roles and keys, by name."""
    with house.store.read() as conn:
        return Page(items=_people(conn), next=None)


@router.post("/people", status_code=201, summary="Add a person")
def add(body: NewPerson, house: TheHouse, actor: Annotated[Actor, needs("person.edit")]) -> Person:
    """A name that is taken is a conflict. Who grants a role can be no second pair of eyes with its holder that day."""

    def write(tx: Tx) -> Person:
        person_id = people.add_person(tx, body.name, body.roles, actor)
        return next(each for each in _people(tx.conn) if each.id == person_id)

    return house.store.write(write)


@router.put("/people/{person}", summary="Change a person's roles, or keep them out")
def change(
    person: Ident, body: ChangedPerson, house: TheHouse, actor: Annotated[Actor, needs("person.edit")]
) -> Person:
    """At once, for all their keys. That nobody would be left to administrate is a conflict."""

    def write(tx: Tx) -> Person:
        people.change_person(tx, person, active=body.active, wanted=body.roles, by=actor)
        return next(each for each in _people(tx.conn) if each.id == person)

    return house.store.write(write)


@router.post("/people/{person}/keys", status_code=201, summary="Issue a key for a person")
def issue(person: Ident, body: NewKey, house: TheHouse, actor: Annotated[Actor, needs("key.issue")]) -> IssuedKey:
    """The key is in this answer and nowhere else."""

    def write(tx: Tx) -> IssuedKey:
        if tx.conn.execute(sa.select(persons.c.id).where(persons.c.id == person)).first() is None:
            raise NotFound(f"no person {person!r}")
        secret = people.issue_key(tx, actor, person_id=person, days=body.days)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        row = tx.conn.execute(sa.select(keys).where(keys.c.secret_sha256 == digest)).one()
        return pick(IssuedKey, mapping(row), key=secret)

    return house.store.write(write)


@router.post("/keys/{key}/revoke", status_code=204, summary="Revoke a key")
def revoke(key: Ident, house: TheHouse, actor: Annotated[Actor, needs("key.issue")]) -> None:
    """It is worth nothing from now on."""
    house.store.write(lambda tx: people.revoke_key(tx, key, actor))


def _people(conn: sa.Connection) -> list[Person]:
    issued: dict[str, list[Key]] = {}
    for row in conn.execute(sa.select(keys).order_by(keys.c.id)):
        issued.setdefault(row.person_id or "", []).append(Key.model_validate(row))
    return [Person(**person, keys=issued.get(person["id"], [])) for person in people.everyone(conn)]
