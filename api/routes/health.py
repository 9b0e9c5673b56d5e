"""Is the house there, and who am I to it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter

from api.auth import ANYBODY, TheHouse, needs
from api.views.house import Health, Me
from soar.access import permissions
from soar.errors import Unavailable
from soar.model import Actor
from soar.store import streams

router = APIRouter(tags=["house"])
VERSION = version("soar-ir")


@router.get("/health", summary="Whether the database answers and the workers run")
def health(house: TheHouse) -> Health:
    """Open to everybody. 503 when the database cannot be read, or a worker thread has ended."""
    with house.store.read() as conn:
        next(streams.names(conn), None)
    silent = house.silent()
    if silent:
        raise Unavailable(f"these threads have ended: {', '.join(silent)}")
    return Health(status="ok", version=VERSION)


@router.get("/me", summary="Who this key speaks for")
def me(actor: Annotated[Actor, needs(ANYBODY)]) -> Me:
    """The caller with roles and permissions."""
    return Me(
        kind=actor.kind, id=actor.id, name=actor.name, roles=sorted(actor.roles), permissions=sorted(permissions(actor))
    )
