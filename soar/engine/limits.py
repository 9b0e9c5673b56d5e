"""Limits at work: may this call go now, how much has been touched, which targets go first.

Everything is counted in the database, in the transaction that writes the intent, so it holds for
all processes together. What is not limited costs no query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import sqlalchemy as sa

from soar.engine import breakglass
from soar.engine.parts import Parts
from soar.guards.case import Case, Counts, Judgement
from soar.guards.judge import judge
from soar.guards.policy import AdapterLimit, Policy
from soar.playbook.commands import IN_ORDER
from soar.protocol import GOOD, MOVES, UNSENT, State
from soar.store import limits as stored
from soar.store import work
from soar.store.rows import ActionRow
from soar.store.session import Tx
from soar.verbs import VERBS

SHORTEST, LONGEST = 0.02, 30.0
"""Seconds that a call is held up at least and at most before it asks again."""
GUESS = 0.5
"""Seconds that a call is held to take when the line for a free place is guessed."""
BAD = frozenset({State.FAILED, State.NOT_EFFECTIVE})


# --- how fast a connected system is called ---------------------------------------------------


def admit(tx: Tx, parts: Parts, action: ActionRow) -> float:
    """Seconds to wait before this call may be sent; 0.0 takes its place: the intent must follow in this commit.

    Call it last before the intent. Whoever has to wait stands in a line by priority, then age.
    """
    limit = parts.policy.limits.get(action.adapter)
    if limit is None or (limit.rate is None and limit.concurrency is None):
        return 0.0
    tokens = stored.tokens(tx, action.adapter, limit)
    busy = stored.calling(tx.conn, action.adapter, action.id) if limit.concurrency is not None else 0
    priority = stored.priority_of(tx.conn, action)
    soon = tx.now + timedelta(seconds=_turn(limit))
    everybody, near = stored.ahead(tx.conn, action, priority, tx.now, soon)
    if not hold_up(limit, tokens=tokens, busy=busy, ahead=near):
        stored.leave_line(tx, action)
        stored.take(tx, action.adapter, tokens - 1.0 if limit.rate is not None else tokens)
        return 0.0
    seconds = hold_up(limit, tokens=tokens, busy=busy, ahead=everybody)
    stored.stand_in_line(tx, action, priority, tx.now + timedelta(seconds=seconds))
    return seconds


def made_room(tx: Tx, parts: Parts, action: ActionRow) -> None:
    """A call is back: whoever is next in line for its place is woken, and need not wait for the guessed time.

    To be called in the commit of the outcome, once the action is `calling` no more.
    """
    limit = parts.policy.limits.get(action.adapter)
    if limit is None or limit.concurrency is None:
        return
    work_id = stored.next_in_line(tx, action.adapter)
    if work_id is not None:
        work.wake(tx, work_id)


def hold_up(limit: AdapterLimit, *, tokens: float, busy: int, ahead: int) -> float:
    """Seconds until a call's turn, 0.0 when it is now: `busy` calls are on their way, `ahead` wait before it."""
    waits = [0.0]
    if limit.rate is not None and tokens < ahead + 1:
        waits.append((ahead + 1 - tokens) / limit.rate)
    if limit.concurrency is not None and busy + ahead >= limit.concurrency:
        waits.append(GUESS * (busy + ahead - limit.concurrency + 1) / limit.concurrency)
    longest = max(waits)
    return min(max(longest, SHORTEST), LONGEST) if longest > 0 else 0.0


def _turn(limit: AdapterLimit) -> float:
    """Seconds within which somebody in line must come back to be let through first."""
    return max(SHORTEST, 1 / limit.rate if limit.rate else 0.0, GUESS if limit.concurrency else 0.0)


# --- how much has been touched, and what break-glass changes ---------------------------------


def judged(
    conn: sa.Connection, case: Case, action: ActionRow, policy: Policy, *, lock: bool = False, planned: int = 0
) -> Judgement:
    """Ask the guards, with the counts that the caps want, and with break-glass where only that would help.

    `lock`: the count must still be true at the commit (an intent). `planned` are targets of the same
    verb that a plan has named before this one.
    """
    counted = counts(conn, case, action, policy, lock=lock, planned=planned)
    case = case if counted == case.counts else replace(case, counts=counted)
    verdict = judge(case, policy)
    if not any(finding.verdict == "refuse" and not finding.hard for finding in verdict.findings):
        return verdict
    glass = breakglass.in_force(conn, action.incident_id, case.now)
    if glass is None:
        return verdict
    proven = breakglass.canaries(conn, glass, action.verb)
    return judge(replace(case, break_glass=True, canaries=proven), policy)


def counts(
    conn: sa.Connection, case: Case, action: ActionRow, policy: Policy, *, lock: bool = False, planned: int = 0
) -> Counts:
    """How many targets the verb has touched, where a cap asks for it; what is not asked for stays 1.

    On PostgreSQL with `lock`, others that count the same verb wait until this transaction ends.
    """
    cap = policy.cap(case.verb, acts=case.acts)
    bounds = (cap.per_run, cap.per_incident, cap.per_hour, cap.share_of_group)
    if case.reverts or all(bound is None for bound in bounds):
        return Counts()
    if lock:
        stored.lock_verb(conn, action.verb)
    share = 0.0 if cap.share_of_group is None else _share(conn, case, action, policy)
    return Counts(
        run=1 if cap.per_run is None else stored.in_run(conn, action) + planned,
        incident=1 if cap.per_incident is None else stored.in_incident(conn, action) + planned,
        hour=1 if cap.per_hour is None else stored.in_hour(conn, action, case.now) + planned,
        group_share=share,
    )


def _share(conn: sa.Connection, case: Case, action: ActionRow, policy: Policy) -> float | None:
    return stored.group_share(conn, action, case.entity, policy.group_sizes, case.now)


# --- which targets go first --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wave:
    """Ids of a step's actions: those that may go on now, and those that are not begun and never will be.

    The rest waits for a canary. `why` says what stopped them.
    """

    go: frozenset[str]
    stopped: frozenset[str] = frozenset()
    why: str = ""


def waves(actions: Sequence[ActionRow], policy: Policy) -> bool:
    """Some of these actions wait for others: canaries are set, or they are commands in their order."""
    return bool(policy.canary) or (len(actions) > 1 and any(row.verb in IN_ORDER for row in actions))


def wave(actions: Sequence[ActionRow], policy: Policy) -> Wave:
    """Which actions of a step may go on now: its first targets alone, until enough of them are verified.

    Ask again after each action, since each may settle the next.
    Actions are taken verb by verb in their order. One that ended without being sent (refused, denied,
    satisfied, held by us already) proves nothing, so the next takes its place. What was sent is
    always gone on with. One canary that failed stops all that is unsent of its verb.
    """
    commands = [row for row in actions if row.verb in IN_ORDER]
    verbs = list(dict.fromkeys(row.verb for row in actions if row.verb not in IN_ORDER))
    waves = [_in_order(commands)] if commands else []
    waves += [_wave_of([row for row in actions if row.verb == verb], policy.canaries(VERBS[verb])) for verb in verbs]
    return Wave(
        go=_together(each.go for each in waves),
        stopped=_together(each.stopped for each in waves),
        why="; ".join(each.why for each in waves if each.why),
    )


def _in_order(rows: Sequence[ActionRow]) -> Wave:
    """One command after another (CACAO 2.0, section 4.5): the next goes once those before it have succeeded."""
    unsent = [row for row in rows if row.state in UNSENT]
    sent = frozenset(row.id for row in rows if row.state not in UNSENT)
    bad = next((row for row in rows if not MOVES[row.state] and row.state not in GOOD), None)
    if bad is not None:
        why = f"{bad.verb} on {bad.target_name} is {bad.state.value}, so the commands after it are not sent"
        return Wave(go=sent, stopped=frozenset(row.id for row in unsent), why=f"{why}: {bad.summary}")
    first = next((row for row in rows if row.state not in GOOD), None)
    return Wave(go=sent | {first.id} if first is not None else sent)


def _wave_of(rows: Sequence[ActionRow], wanted: int) -> Wave:
    unsent = [row for row in rows if row.state in UNSENT]
    sent = frozenset(row.id for row in rows if row.state not in UNSENT)
    canaries = [row for row in rows if row.state in UNSENT or row.called_at is not None or row.state in BAD][:wanted]
    bad = next((row for row in canaries if row.state in BAD), None)
    if bad is not None:
        why = f"the canary {bad.verb} on {bad.target_name} is {bad.state.value}, so the rest is not sent"
        return Wave(go=sent, stopped=frozenset(row.id for row in unsent), why=f"{why}: {bad.summary}")
    if all(row.verified_at is not None for row in canaries):
        return Wave(go=sent | {row.id for row in unsent})
    return Wave(go=sent | {row.id for row in canaries})


def _together(parts: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*parts)
