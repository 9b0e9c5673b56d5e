"""Gathers what a drill looks at from the database and the connected systems. Nothing is written anywhere.

Of a connected system only `check` and, where it has it, `rights` are asked; of a playbook only what
its steps say. What becomes of the facts is decided in soar.readiness.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from soar.engine import approving, commanding
from soar.engine.parts import Parts
from soar.engine.planning import Planned
from soar.errors import NotFound, Problem
from soar.events import moment
from soar.model import EntityKind, Severity, Target
from soar.playbook.commands import COMMAND_VERBS, MANUAL
from soar.playbook.model import ActionStep, ParallelStep, Playbook, PlaybookActionStep, Soar, Step
from soar.playbook.trust.gate import Gate
from soar.ports import Adapter, Rights, TellsRights
from soar.readiness.facts import Book, Bounds, Need, OpenTasks, Overdue, Person, Seen, System
from soar.store import people, runs
from soar.store.tables import alerts, effects, events, holds, incidents, keys, switches, tasks
from soar.verbs import BLOCK_VERB, VERBS

PATIENCE = 20.0
"""Seconds for all connected systems to answer together."""
LATE = timedelta(minutes=1)
"""So long after its end a block may still be about to be lifted."""
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII)
_BLOCKS = frozenset(BLOCK_VERB.values())
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


# --- connected systems ----------------------------------------------------------------------------


def systems(adapters: Mapping[str, Adapter], patience: float = PATIENCE) -> tuple[System, ...]:
    """Ask every system at once how it is; one that breaks or keeps silent is told as a problem of its own."""
    pool = ThreadPoolExecutor(max(1, min(16, len(adapters))), thread_name_prefix="drill")
    asked: dict[str, tuple[Future[Any], Future[Any]]] = {
        name: (pool.submit(_problems, adapter), pool.submit(_rights, adapter)) for name, adapter in adapters.items()
    }
    answers: list[Future[Any]] = [each for pair in asked.values() for each in pair]
    wait(answers, timeout=patience)
    found = tuple(_system(name, adapters[name], *pair) for name, pair in asked.items())
    pool.shutdown(wait=False, cancel_futures=True)
    return found


def _problems(adapter: Adapter) -> tuple[Problem, ...]:
    return tuple(adapter.check())


def _rights(adapter: Adapter) -> Rights | None:
    return adapter.rights() if isinstance(adapter, TellsRights) else None


def _system(name: str, adapter: Adapter, checked: Future[Any], rights: Future[Rights | None]) -> System:
    broken = [problem for problem in (_broken(checked), _broken(rights)) if problem is not None]
    problems = tuple(broken[:1]) or checked.result()
    told = None if broken else rights.result()
    return System(name=name, verbs=frozenset(adapter.verbs), problems=problems, rights=told)


def _broken(answer: Future[Any]) -> Problem | None:
    """What an adapter raised, whatever it was, or that it has not answered; None where it has."""
    if not answer.done():
        return Problem(code="silent", message="it does not answer", mend="See whether the system is up.")
    error = answer.exception()
    if error is None:
        return None
    return Problem(code="broken", message=f"its adapter broke: {type(error).__name__}", mend="Mend the adapter.")


# --- persons --------------------------------------------------------------------------------------


def persons(conn: sa.Connection, now: datetime) -> tuple[Person, ...]:
    """Everybody, with the ends of their valid keys and who armed them today."""
    ends: dict[str, list[datetime | None]] = {}
    for row in conn.execute(sa.select(keys.c.person_id, keys.c.expires_at).where(keys.c.revoked_at.is_(None))):
        if row.expires_at is None or row.expires_at > now:
            ends.setdefault(row.person_id, []).append(row.expires_at)
    return tuple(
        Person(
            id=each["id"], name=each["name"], active=each["active"], roles=frozenset(each["roles"]),
            keys=tuple(ends.get(each["id"], ())), armed_by=people.issuers_of_day(conn, each["id"], now),
        )
        for each in people.everyone(conn)
    )  # fmt: skip


def setting_up(conn: sa.Connection, now: datetime) -> bool:
    """Whether this is the first day, on which one hand may arm everybody."""
    until = people.set_up_until(conn)
    return until is not None and now < until


# --- playbooks ------------------------------------------------------------------------------------


def books(conn: sa.Connection, gate: Gate, now: datetime) -> tuple[Book, ...]:
    """The newest version of each playbook, reduced to what it needs; `gate` says who stands for it."""
    found = runs.current_playbooks(conn)
    return tuple(_book(conn, each, signed=bool(gate.judge(each, now).signers)) for each in found)


def _book(conn: sa.Connection, book: Playbook, *, signed: bool) -> Book:
    return Book(
        slug=book.slug or book.id, name=book.name, verbs=frozenset(verbs(book)), needs=tuple(needs(book)),
        calls=tuple(_away(conn, book)), triggers=tuple(each.when for each in book.triggers),
        automatic=any(each.start == "automatic" for each in book.triggers), signed=signed,
        revoked=book.revoked, modified=_time(book.modified) or _NEVER, valid_from=_time(book.valid_from),
        valid_until=_time(book.valid_until),
    )  # fmt: skip


def _time(text: str) -> datetime | None:
    try:
        return moment(text) if text else None
    except ValueError:
        return None


def verbs(book: Playbook) -> Iterator[frozenset[str]]:
    """What a playbook's steps ask for. Of each set one verb is enough: a block is chosen by what is blocked."""
    named = {step.soar.slug: step.soar for step in book.workflow.values() if step.soar and step.soar.slug}
    for step in book.workflow.values():
        soar = step.soar or Soar()
        if commanding.by_command(step) and not soar.undo and isinstance(step, ActionStep):
            yield from (frozenset({verb}) for verb in _commands(step))
        for verb in filter(None, [soar.verb, *(named[slug].verb for slug in soar.undo if slug in named)]):
            group = _BLOCKS if verb == "block_indicators" else frozenset({verb})
            yield group
            if soar.undo:
                yield frozenset(VERBS[each].inverse for each in group if VERBS[each].inverse)


def _commands(step: ActionStep) -> Iterator[str]:
    for command in step.commands:
        kind = str(command.get("type"))
        if kind != MANUAL:
            yield COMMAND_VERBS.get(kind, f"command_{kind}")


def _away(conn: sa.Connection, book: Playbook) -> Iterator[str]:
    """The playbooks that a playbook runs and that are not here, in the version that it names."""
    for step in book.workflow.values():
        if isinstance(step, PlaybookActionStep):
            try:
                runs.version(conn, step.playbook_id, step.playbook_version)
            except NotFound:
                yield f"{step.playbook_id} {step.playbook_version}".strip()


def needs(book: Playbook) -> Iterator[Need]:
    """The approvals that a playbook asks for, and those that the engine asks where it names none."""
    covered = _approved_together(book)
    for step in book.workflow.values():
        soar = step.soar or Soar()
        asked = soar.approval
        if asked is None and isinstance(step, ActionStep) and step.id not in covered:
            asked = approving.wanted(_acts(book, step, soar), None)
        if asked is not None:
            yield Need(
                playbook=book.slug or book.id, step=soar.slug or step.label, any_of=frozenset(asked.any_of),
                persons=asked.persons, on_timeout=asked.on_timeout,
            )  # fmt: skip


def _acts(book: Playbook, step: ActionStep, soar: Soar) -> list[Planned]:
    """A step's actions, as far as their approval hangs on them: what they do, and that they undo something."""
    undone = [each.soar for each in book.workflow.values() if each.soar and each.soar.slug in soar.undo]
    names = [VERBS[each.verb].inverse for each in undone if each.verb in VERBS]
    names += [soar.verb] if soar.verb else []
    names += _commands(step) if commanding.by_command(step) else []
    target = Target(kind=EntityKind.SERVICE, id="")
    return [
        Planned(
            verb=name, target=target, target_name="", adapter="", params={}, lease=0, review=0,
            undo_of="undo" if soar.undo else "",
        )
        for name in names if name in VERBS
    ]  # fmt: skip


def _approved_together(book: Playbook) -> set[str]:
    """The steps whose approval is that of the branches they stand in."""
    found: set[str] = set()
    rest = [
        head
        for step in book.workflow.values()
        if isinstance(step, ParallelStep) and step.soar and step.soar.together and step.soar.approval
        for head in step.heads
    ]
    while rest:
        step: Step | None = book.workflow.get(rest.pop())
        if step is not None and step.id not in found:
            found.add(step.id)
            rest += [*step.heads, *(each for each in step.following if each != step.on_failure)]
    return found


# --- what came in, what stands ----------------------------------------------------------------------


def seen(conn: sa.Connection, since: datetime) -> tuple[Seen, ...]:
    """The techniques that alerts named since then. What a rule is about, its newest alert says."""
    each_rule = conn.execute(
        sa.select(
            sa.func.max(alerts.c.id).label("newest"), sa.func.sum(alerts.c.count).label("many"),
            sa.func.max(alerts.c.severity_id).label("worst"),
        )
        .where(alerts.c.last_seen >= since)
        .group_by(alerts.c.source, alerts.c.rule_id)
    ).all()  # fmt: skip
    counts: dict[str, int] = {}
    worst: dict[str, int] = {}
    for row in each_rule:
        facts = conn.execute(sa.select(alerts.c.facts).where(alerts.c.id == row.newest)).scalar_one()
        for technique in _techniques(facts):
            counts[technique] = counts.get(technique, 0) + int(row.many)
            worst[technique] = max(worst.get(technique, 0), row.worst)
    return tuple(
        Seen(technique=name, alerts=count, worst=Severity.of(worst[name])) for name, count in sorted(counts.items())
    )


def _techniques(facts: Any) -> set[str]:
    told: Iterable[Any] = facts.get("techniques") or () if isinstance(facts, Mapping) else ()
    return {each for each in told if isinstance(each, str) and _TECHNIQUE.fullmatch(each)}


def overdue(conn: sa.Connection, now: datetime) -> tuple[Overdue, ...]:
    """Containments that stand although the date of one of their holds has passed."""
    rows = conn.execute(
        sa.select(effects.c.id, effects.c.verb, effects.c.target, holds.c.review_at, holds.c.expires_at)
        .join_from(effects, holds, holds.c.effect_id == effects.c.id)
        .where(effects.c.ended_at.is_(None), holds.c.ended_at.is_(None))
        .where(sa.or_(holds.c.review_at < now, holds.c.expires_at < now - LATE))
        .order_by(effects.c.id, holds.c.id)
    ).all()
    found: dict[str, Overdue] = {}
    for row in rows:
        since = min(each for each in (row.review_at, row.expires_at) if each is not None)
        found.setdefault(row.id, Overdue(id=row.id, verb=row.verb, target=row.target, since=since))
    return tuple(found.values())


def open_tasks(conn: sa.Connection, before: datetime) -> tuple[OpenTasks, ...]:
    """Questions that were asked before this time and are open still, by incident."""
    rows = conn.execute(
        sa.select(
            incidents.c.number, sa.func.count().label("many"), sa.func.min(tasks.c.opened_at).label("since")
        )
        .join_from(tasks, incidents, incidents.c.id == tasks.c.incident_id)
        .where(tasks.c.status == "open", tasks.c.opened_at < before)
        .group_by(incidents.c.number)
        .order_by(incidents.c.number)
    ).all()  # fmt: skip
    return tuple(OpenTasks(incident=f"INC-{row.number}", count=row.many, since=row.since) for row in rows)


def thrown(conn: sa.Connection) -> tuple[str, ...]:
    """The kill switches that are on."""
    return tuple(conn.execute(sa.select(switches.c.name).order_by(switches.c.name)).scalars())


def newest_event(conn: sa.Connection) -> datetime | None:
    """When the newest event was written; ids sort by time."""
    at: datetime | None = conn.execute(sa.select(events.c.recorded_at).order_by(events.c.id.desc()).limit(1)).scalar()
    return at


def known(parts: Parts, bounds: Bounds) -> dict[str, Any]:
    """What the database and the connected systems say, by the names of soar.readiness.facts.Facts."""
    now = parts.clock.now()
    asked = systems(parts.adapters)
    with parts.store.read() as conn:
        return {
            "now": now, "policy": parts.policy, "systems": asked, "resolvable": bool(parts.directories),
            "persons": persons(conn, now), "setting_up": setting_up(conn, now), "books": books(conn, parts.gate, now),
            "signed_only": parts.gate.policy.signed_only,
            "seen": seen(conn, now - timedelta(days=bounds.alert_days)), "overdue": overdue(conn, now),
            "tasks": open_tasks(conn, now - timedelta(hours=bounds.task_hours)), "switches": thrown(conn),
            "bounds": bounds,
        }  # fmt: skip
