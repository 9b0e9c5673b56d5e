"""Answers of people: to manual steps, decisions and doubts. An answer wakes the work that asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from soar.engine import outcomes
from soar.engine.outcomes import Context
from soar.engine.run_state import UNDER_WAY
from soar.errors import Conflict, Invalid, Problem
from soar.model import Actor
from soar.protocol import State
from soar.store import actions, runs, tasks, work
from soar.store.session import Tx
from soar.store.tables import actions as action_table
from soar.store.tables import work as work_table

_UNDECIDED = ("yes", "no", "repeat")
_CHOICES: dict[State, tuple[str, ...]] = {
    State.IN_DOUBT: tuple(f"resolve:{word}" for word in _UNDECIDED),
    State.NOT_EFFECTIVE: ("resolve:yes", "resolve:no"),
    State.ACTIVE: ("renew", "release", "dispose"),
    State.OVERDUE: ("renew", "release", "dispose"),
    State.DRIFTED: ("renew", "release", "dispose"),
    State.REVERT_FAILED: ("release", "dispose"),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,), "str": (str,), "int": (int,), "list": (list,), "dict": (dict,), "any": (object,),
}  # fmt: skip


def answer(tx: Tx, task_id: str, actor: Actor, given: Mapping[str, Any]) -> None:
    """Answer a question; raises Conflict when it is answered, Invalid when the answer does not fit."""
    run_id = tasks.get(tx.conn, task_id).run_id
    if run_id is not None:
        runs.get(tx.conn, run_id, lock=True)
    task = tasks.get(tx.conn, task_id, lock=True)
    if task.status != "open":
        raise Conflict("this task is done already")
    if task.kind == "in_doubt":
        raise Invalid("say what happened to the action itself: resolve it")
    if task.kind in ("review", "drift"):
        raise Invalid("the answer is a deed: renew the action, release it, or hand its effect over")
    _check(task.asks, given)
    tasks.close(tx, task, actor, given)
    if task.work_id:
        work.wake(tx, task.work_id)


def choices(state: State) -> tuple[str, ...]:
    """What a person may answer about an action in this state: each is a door of its own."""
    return _CHOICES.get(state, ())


def resolve(tx: Tx, action_id: str, actor: Actor, happened: str, reason: str) -> None:
    """A person decides what became of an action in doubt: it happened (yes), did not (no), or repeat it."""
    run_id = actions.get(tx.conn, action_id).run_id
    run = runs.get(tx.conn, run_id, lock=True) if run_id is not None else None
    tx.conn.execute(sa.select(action_table.c.id).where(action_table.c.id == action_id).with_for_update(key_share=True))
    action = actions.get(tx.conn, action_id)
    if action.state not in (State.IN_DOUBT, State.NOT_EFFECTIVE):
        raise Conflict(f"this action is {action.state.value}; there is nothing to resolve")
    if action.state is State.NOT_EFFECTIVE and happened == "repeat":
        raise Invalid("what was answered and had no effect is done anew by a new run, not repeated")
    if run is not None and run.status not in UNDER_WAY and happened == "repeat":
        raise Conflict("its run is over, so nobody would repeat it; say yes or no, and start a new run")
    said = f"{actor.name} decided: {happened}; {reason}"
    context = Context(work=None, urgency="", ground="", asked=None, owner=actor.id)
    questions = tasks.find(tx.conn, action_id=action_id, status="open")  # what follows may ask another one
    if happened == "yes":
        handle = {} if action.undo_of else {"key": action.id}
        action = actions.move(tx, action, State.CONFIRMED, actor=actor, summary=said, handle=handle)
        outcomes.verified(tx, action, context)
    elif happened == "no":
        outcomes.gave_up(tx, action, State.FAILED, said)
    elif happened == "repeat":
        actions.move(tx, action, State.READY, actor=actor, summary=said)
    else:
        raise Invalid("happened is yes, no or repeat")
    for task in questions:
        tasks.close(tx, task, actor, {"happened": happened})
    held = sa.select(work_table.c.id).where(
        work_table.c.run_id == action.run_id, work_table.c.occurrence == action.step_path,
        work_table.c.attempt == action.generation,
    )  # fmt: skip
    for work_id in tx.conn.execute(held).scalars().all():
        work.wake(tx, work_id)


def _check(asks: Mapping[str, str], given: Mapping[str, Any]) -> None:
    problems = []
    for name, kind in asks.items():
        if name not in given:
            problems.append(Problem(code="missing", message=f"{name} is asked for", pointer=f"/answer/{name}"))
        elif not isinstance(given[name], _TYPES.get(kind, (object,))) or (
            kind == "int" and given[name] in (True, False)
        ):
            problems.append(Problem(code="wrong_type", message=f"{name} must be {kind}", pointer=f"/answer/{name}"))
    problems += [
        Problem(code="unknown", message=f"{name} is not asked for", pointer=f"/answer/{name}")
        for name in given
        if name not in asks
    ]
    if problems:
        raise Invalid("the answer does not fit the question", problems)
