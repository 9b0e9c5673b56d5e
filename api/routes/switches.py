"""Kill switches: nothing is sent any more, everywhere, through one adapter, or of one verb."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path

from api.auth import TheHouse, needs
from api.views.base import Page
from api.views.house import SetSwitch, Switch
from api.wiring import House
from soar.errors import NotFound
from soar.events import Kind
from soar.model import Actor
from soar.store import streams
from soar.store.session import Tx
from soar.store.tables import switches as table
from soar.verbs import VERBS

router = APIRouter(prefix="/switches", tags=["house"])
_NAMES = r"^(\*|(adapter|verb):[A-Za-z0-9._-]{1,50})$"
Name = Annotated[str, Path(pattern=_NAMES, description="`*`, `adapter:NAME` or `verb:NAME`")]
Setter = Annotated[Actor, needs("switch.set")]


@router.get("", summary="List the kill switches that are on")
def list_switches(house: TheHouse, _: Annotated[Actor, needs("action.read")]) -> Page[Switch]:
    """By name."""
    with house.store.read() as conn:
        rows = conn.execute(sa.select(table).order_by(table.c.name)).all()
    return Page(items=[Switch.model_validate(row) for row in rows], next=None)


@router.put("/{name}", summary="Turn a kill switch on")
def turn_on(name: Name, body: SetSwitch, house: TheHouse, actor: Setter) -> Switch:
    """Holds from the next call on; automatic lifts wait and show as overdue."""
    _check(house, name)

    def write(tx: Tx) -> Switch:
        values = {"set_by": actor.id, "reason": body.reason, "set_at": tx.now}
        if not tx.conn.execute(table.update().where(table.c.name == name).values(**values)).rowcount:
            tx.conn.execute(table.insert().values(name=name, **values))
        _event(tx, actor, name, on=True, reason=body.reason)
        return Switch.model_validate(tx.conn.execute(sa.select(table).where(table.c.name == name)).one())

    return house.store.write(write)


@router.delete("/{name}", status_code=204, summary="Turn a kill switch off")
def turn_off(name: Name, house: TheHouse, actor: Setter) -> None:
    """What waited goes on."""

    def write(tx: Tx) -> None:
        if not tx.conn.execute(table.delete().where(table.c.name == name)).rowcount:
            raise NotFound(f"the switch {name} is not on")
        _event(tx, actor, name, on=False, reason="")

    house.store.write(write)


def _check(house: House, name: str) -> None:
    """A switch that stops nothing would be a false comfort."""
    kind, _, what = name.partition(":")
    if (kind == "adapter" and what not in house.parts.adapters) or (kind == "verb" and what not in VERBS):
        raise NotFound(f"there is no {kind} {what!r}")


def _event(tx: Tx, actor: Actor, name: str, *, on: bool, reason: str) -> None:
    streams.append(
        tx, streams.SYSTEM, Kind.SYSTEM_SWITCH_SET, actor=actor, data={"switch": name, "on": on},
        values={"reason": reason},
    )  # fmt: skip
