"""Is the house there, and who am I to it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter

from api.auth import ANYBODY, TheHouse, needs
from api.bells import Relay
from api.views.house import Health, Me
from soar.access import permissions
from soar.errors import Unavailable
from soar.model import Actor
from soar.store import nodes

router = APIRouter(tags=["house"])
VERSION = version("soar-ir")


@router.get("/health", summary="Whether the database answers and the workers run")
def health(house: TheHouse) -> Health:
    """Open to everybody. 503 when the database cannot be read, or a thread has ended.

    A broker that is `away` makes work slower by two seconds, and nothing else: this stays 200.
    """
    with house.store.read() as conn:
        kinds = [node.kind for node in nodes.living(conn, house.store.clock.now())]
    silent = house.silent()
    if silent:
        raise Unavailable(f"these threads have ended: {', '.join(silent)}")
    bells = house.bells
    broker = ("ok" if bells.well else "away") if isinstance(bells, Relay) else "none"
    return Health(
        status="ok", version=VERSION, roles=sorted(house.roles), database=house.store.url.get_backend_name(),
        broker=broker, serving=kinds.count("serve"), working=kinds.count("worker"),
    )  # fmt: skip


@router.get("/me", summary="Who this key speaks for")
def me(actor: Annotated[Actor, needs(ANYBODY)]) -> Me:
    """The caller with roles and permissions."""
    return Me(
        kind=actor.kind, id=actor.id, name=actor.name, roles=sorted(actor.roles), permissions=sorted(permissions(actor))
    )
