"""The scope of an incident: what it is about, and how far each thing has come."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi import Path as PathParam

from api.auth import TheHouse, needs
from api.routes.told import detail
from api.views.base import Ident, In, Words
from api.views.incidents import Incident
from soar.errors import Conflict, NotFound
from soar.model import Actor, Entity, EntityKind, IncidentStatus, Mention, ScopeStatus
from soar.store import incidents
from soar.store.session import Tx

router = APIRouter(prefix="/incidents", tags=["incidents"])


class ScopeChange(In):
    """What a person holds of a thing: `suspected`, `affected`, `contained`, ... and why."""

    status: Literal["suspected", "affected", "contained", "eradicated", "restored", "cleared"]
    why: Words


Entity_ = Annotated[str, PathParam(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A host or account as an inventory names it: `user@example.org` and `DOMAIN\\user` are names too."""


@router.put("/{incident}/scope/{kind}/{entity}", summary="Put a thing into scope, or move it on")
def put(
    incident: Ident, kind: Literal["host", "account"], entity: Entity_, body: ScopeChange, house: TheHouse,
    actor: Annotated[Actor, needs("incident.edit")],
) -> Incident:  # fmt: skip
    """A thing that is not in scope yet is resolved first; 404 when no inventory knows it, 409 when several do."""
    status = ScopeStatus(body.status)
    mention = Mention(kind=kind, value=entity, role="affected")
    known = [each for one in house.parts.directories for each in one.resolve(mention, house.store.clock.now())]

    def write(tx: Tx) -> None:
        row = incidents.get(tx.conn, incident)
        if row.status == IncidentStatus.CLOSED.value:
            raise Conflict("this incident is closed")
        here = {(EntityKind(each.kind), each.entity_id) for each in incidents.scope_rows(tx.conn, row.id)}
        if (EntityKind(kind), entity) in here:
            incidents.set_scope(tx, row.id, f"{kind}:{entity}", status, actor, body.why)
        else:
            incidents.add_scope(tx, row.id, _one(known, kind, entity), status, tx.now, actor)

    house.store.write(write)
    with house.store.read() as conn:
        return detail(conn, incidents.get(conn, incident), house.store.clock.now())


def _one(known: list[Entity], kind: str, entity: str) -> Entity:
    if not known:
        raise NotFound(f"no inventory knows this {kind}: {entity!r}")
    if len({each.id for each in known}) > 1:
        raise Conflict(f"{entity!r} could be {', '.join(sorted({each.id for each in known}))}: name one by its id")
    return known[0]
