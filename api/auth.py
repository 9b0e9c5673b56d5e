"""Who calls, and may they: `needs("permission")` on every route.

A caller shows `Authorization: Bearer soar_...`. Whatever is wrong with it, the answer is the same
401 after the same work: a digest and a look-up. A known caller without the permission is told the
roles that have it (403).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.wiring import House
from soar.access import PERMISSIONS, authorize
from soar.errors import Unauthenticated
from soar.model import Actor
from soar.store import people

ANYBODY = ""
"""In place of a permission: any valid key will do."""
OPEN = frozenset({("GET", "/health"), ("POST", "/alerts/{source}")})
"""Routes without a key: the first tells nothing, the second has the source's own credential."""
_REFUSAL = "a valid key is needed: send it as Authorization: Bearer soar_..."
_LONGEST_KEY = 256


class Needs:
    """A dependency that gives the actor, if they have this permission."""

    def __init__(self, permission: str) -> None:
        if permission != ANYBODY and permission not in PERMISSIONS:
            raise ValueError(f"no role carries {permission!r}")
        self.permission = permission

    def __call__(self, request: Request) -> Actor:
        actor = _caller(house_of(request), request.headers.get("authorization", ""))
        if self.permission != ANYBODY:
            authorize(actor, self.permission)
        return actor


def needs(permission: str) -> Any:
    """The marker for a parameter: `actor: Annotated[Actor, needs("run.start")]`."""
    return Depends(Needs(permission))


def house_of(request: Request) -> House:
    """The house behind the door."""
    house: House = request.app.state.house
    return house


async def _house(request: Request) -> House:
    return house_of(request)


TheHouse = Annotated[House, Depends(_house)]


def check_guarded(routers: Iterable[APIRouter]) -> None:
    """Raises RuntimeError for a route that asks nobody who they are."""
    for router in routers:
        for route in router.routes:
            if not _guarded(route):
                raise RuntimeError(f"the route {getattr(route, 'path', route)} has no permission")


def _guarded(route: BaseRoute) -> bool:
    if not isinstance(route, APIRoute):
        return False
    if all((method, route.path) in OPEN for method in route.methods or ()):
        return True
    return any(isinstance(each.call, Needs) for each in _all(route.dependant))


def _all(dependant: Dependant) -> Iterable[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from _all(each)


def _caller(house: House, header: str) -> Actor:
    scheme, _, key = header.partition(" ")
    key = key.strip()
    usable = scheme.lower() == "bearer" and 0 < len(key) <= _LONGEST_KEY
    try:
        with house.store.read() as conn:
            actor = people.authenticate(conn, key if usable else "", house.store.clock.now())
    except Unauthenticated:
        raise Unauthenticated(_REFUSAL) from None
    return actor
