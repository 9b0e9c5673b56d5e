"""Pages of a list by cursor: newest first, from behind the id of the last item that was seen."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def page(
    conn: sa.Connection, query: sa.Select[Any], table: sa.Table, after: str | None, limit: int
) -> tuple[list[Any], str | None]:
    """The rows of one page, and the `after` of the next one (None at the end). Ids sort by time."""
    if after is not None:
        query = query.where(table.c.id < after)
    rows = list(conn.execute(query.order_by(table.c.id.desc()).limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None
