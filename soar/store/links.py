"""What ties alerts together: a shared host, account or address joins an alert to the open incident that has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from soar.ids import new_id
from soar.model import IncidentStatus
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import incidents, links

Link = tuple[str, str]
"""(kind, value), kind being host, account or address."""


def find(tx: Tx, wanted: Sequence[Link], since: datetime) -> tuple[str, list[Link]] | None:
    """The open incident seen most recently that shares something, and what it shares; locked to the commit."""
    if not wanted:
        return None
    values = [value for _, value in wanted]
    places = 1 << (len(values) - 1).bit_length()
    given = {f"shared{place}": values[min(place, len(values) - 1)] for place in range(places)}
    found = tx.run(_find(places), given | {"since": since}).all()
    rows = [row for row in found if (row.kind, row.value) in wanted]
    if not rows:
        return None
    chosen: str = rows[0].incident_id
    return chosen, sorted({(row.kind, row.value) for row in rows if row.incident_id == chosen})


def add(tx: Tx, incident_id: str, wanted: Iterable[Link]) -> None:
    """Remember what later alerts may be tied to this incident by."""
    rows = [
        {"id": new_id(), "incident_id": incident_id, "kind": kind, "value": value, "seen_at": tx.now}
        for kind, value in sorted(set(wanted))
    ]
    if rows:
        tx.run(_ADD[tx.postgres], rows)


@cache
def _find(places: int) -> Statement:
    """For so many values, a power of two: so there are few such statements; the last value stands for the rest."""
    return Statement(
        sa.select(links.c.incident_id, links.c.kind, links.c.value)
        .join(incidents, incidents.c.id == links.c.incident_id)
        .where(
            links.c.value.in_([sa.bindparam(f"shared{place}") for place in range(places)]),
            links.c.seen_at >= sa.bindparam("since"),
            incidents.c.status != IncidentStatus.CLOSED.value,
        )
        .order_by(links.c.seen_at.desc(), links.c.id.desc())
        .with_for_update(of=incidents, key_share=True)
    )


_UNIQUE = ("incident_id", "kind", "value")
_LITE, _POST = sqlite.insert(links), postgresql.insert(links)
_ADD = {
    False: Statement(_LITE.on_conflict_do_update(index_elements=_UNIQUE, set_={"seen_at": _LITE.excluded.seen_at})),
    True: Statement(_POST.on_conflict_do_update(index_elements=_UNIQUE, set_={"seen_at": _POST.excluded.seen_at})),
}
