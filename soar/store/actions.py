"""Actions in the database: insert under their unique key, move by the table, find."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from soar.errors import Conflict, NotFound
from soar.events import Kind
from soar.model import ENGINE, Actor
from soar.protocol import MOVES, State, check_move
from soar.store import streams
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.store.statement import Statement
from soar.store.tables import actions as table
from soar.verbs import VERBS

_KEY = ("origin", "step_path", "command_index", "target", "verb", "generation")
_SAME = Statement(sa.select(table).where(*(table.c[name] == sa.bindparam(f"key_{name}") for name in _KEY)))
_BY_ID = Statement(sa.select(table).where(table.c.id == sa.bindparam("key")))
_INSERT = Statement(table.insert())


@dataclass(slots=True)
class _Moved:
    """An action as it will be written, and how it came there within this transaction.

    What happens to it within one transaction is one row and one event: nobody ever sees the states
    in between, and the event names them.
    """

    row: ActionRow
    stood: State | None
    """The state that the database holds; None for a new row."""
    actor: Actor
    path: list[State] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def take(self, to: State | None, summary: str, facts: Mapping[str, Any], columns: Mapping[str, Any]) -> ActionRow:
        """One more change."""
        if to is not None:
            self.path.append(to)
            columns = {**columns, "state": to}
        if summary and summary not in self.said:
            self.said.append(summary)
        self.facts.update(facts)
        self.changed.update(columns)
        self.row = self.row.but(**columns)
        return self.row

    def flush(self, tx: Tx) -> None:
        if self.stood is None:
            tx.run(_INSERT, self.row.columns())
        elif self.changed:
            values = self.row.columns()
            tx.run(_update(tuple(sorted(self.changed))), {
                "row": self.row.id, "stood": self.stood.value, **{f"to_{name}": values[name] for name in self.changed}
            })  # fmt: skip
        if self.path:
            self._say(tx)

    def _say(self, tx: Tx) -> None:
        row = self.row
        data: dict[str, Any] = {
            "action": row.id, "verb": row.verb, "state": row.state.value, "phase": VERBS[row.verb].phase.value,
            "adapter": row.adapter, "step": row.step, "generation": row.generation,
        }  # fmt: skip
        if self.path[:-1]:
            data["through"] = [state.value for state in self.path[:-1]]
        if row.run_id:
            data["run"] = row.run_id
        if row.undo_of:
            data |= {"undo_of": row.undo_of, "recovered": row.undo_reason == "recovered"}
        values = {"target": str(row.target), "target_name": row.target_name}
        if self.said:
            values["reason"] = "; ".join(self.said)
        stream = streams.incident_stream(row.incident_id)
        streams.say(tx, stream, Kind.ACTION_MOVED, actor=self.actor, data=data | self.facts, values=values)


@lru_cache(maxsize=256)
def _update(names: tuple[str, ...]) -> Statement:
    """Change these columns of an action that still stands where it was read."""
    return Statement(
        table.update()
        .where(table.c.id == sa.bindparam("row"), table.c.state == sa.bindparam("stood"))
        .values({name: sa.bindparam(f"to_{name}") for name in names}),
        lost="an action has moved since it was read",
    )


def insert(tx: Tx, row: ActionRow, *, new: bool = False) -> ActionRow:
    """Add a planned action, or return the one that already stands under the same unique key.

    `new`: its work was added in this same transaction, so nothing can stand there.
    """
    if not new:
        key = row.columns()
        found = tx.run(_SAME, {f"key_{name}": key[name] for name in _KEY}).first()
        if found:
            return ActionRow.from_row(found)
    tx.pend(f"action:{row.id}", _Moved(row, None, ENGINE, path=[State.PLANNED]))
    return row


def get(conn: sa.Connection, key: str) -> ActionRow:
    """One action; raises NotFound."""
    row = _BY_ID.run(conn, {"key": key}).first()
    if row is None:
        raise NotFound(f"no action {key!r}")
    return ActionRow.from_row(row)


def again(tx: Tx, action: ActionRow) -> ActionRow:
    """The action as it stands now, pending changes included."""
    moved = tx.pending(f"action:{action.id}")
    return moved.row if moved is not None else ActionRow.from_row(tx.run(_BY_ID, {"key": action.id}).first())


def known(conn: sa.Connection, key: str | None) -> ActionRow | None:
    """The action that a key found at a target belongs to, if it is one of ours."""
    row = _BY_ID.run(conn, {"key": key}).first() if key else None
    return ActionRow.from_row(row) if row is not None else None


def move(
    tx: Tx,
    action: ActionRow,
    to: State,
    *,
    actor: Actor = ENGINE,
    summary: str = "",
    facts: Mapping[str, Any] | None = None,
    **columns: Any,
) -> ActionRow:
    """Change an action's state and write the event of it, in one transaction.

    Raises Conflict if the table of moves forbids it or the row has moved since it was read (that at
    the latest when the row is written, at the end of the transaction; a function that reads it anew
    is then run again).
    """
    check_move(action.state, to)
    if summary:
        columns["summary"] = summary
    if not MOVES[to]:
        columns.setdefault("ended_at", tx.now)
    return _moved(tx, action, actor).take(to, summary, facts or {}, columns)


def note(tx: Tx, action: ActionRow, **columns: Any) -> ActionRow:
    """Write columns that are no change of state (an inspection's result, a guard's findings)."""
    moved = tx.pending(f"action:{action.id}")
    actor = moved.actor if moved is not None else ENGINE
    return _moved(tx, action, actor).take(None, "", {}, columns)


def _moved(tx: Tx, action: ActionRow, actor: Actor) -> _Moved:
    """What is pending of this action; another actor's change is an event of its own."""
    key = f"action:{action.id}"
    moved: _Moved | None = tx.pending(key)
    if moved is not None and moved.row.state is not action.state:
        raise Conflict(f"action {action.id} has moved since it was read")
    if moved is not None and moved.actor != actor and moved.path:
        tx.flush()
        moved = None
    if moved is None:
        moved = _Moved(action, action.state, actor)
        tx.pend(key, moved)
    moved.actor = actor
    return moved


_OF_STEP = Statement(
    sa.select(table)
    .where(
        table.c.origin == sa.bindparam("of"),
        table.c.step_path == sa.bindparam("path"),
        table.c.generation == sa.bindparam("turn"),
    )
    .order_by(table.c.id)
)


def of_step(conn: sa.Connection, origin: str, step_path: str, generation: int) -> list[ActionRow]:
    """The actions of one attempt of one step, in the order in which they were planned."""
    given = {"of": origin, "path": step_path, "turn": generation}
    return [ActionRow.from_row(row) for row in _OF_STEP.run(conn, given).all()]


def find(
    conn: sa.Connection,
    *,
    incident_id: str | None = None,
    run_id: str | None = None,
    states: Collection[State] = (),
    verbs: Collection[str] = (),
    target: str | None = None,
    approval_id: str | None = None,
) -> list[ActionRow]:
    """Actions by what is asked for; all conditions must hold."""
    query = sa.select(table).order_by(table.c.id)
    for column, value in (
        ("incident_id", incident_id),
        ("run_id", run_id),
        ("target", target),
        ("approval_id", approval_id),
    ):
        if value is not None:
            query = query.where(table.c[column] == value)
    if states:
        query = query.where(table.c.state.in_([state.value for state in states]))
    if verbs:
        query = query.where(table.c.verb.in_(list(verbs)))
    return [ActionRow.from_row(row) for row in conn.execute(query)]
