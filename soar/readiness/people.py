"""Persons: can each approval be given, by whoever starts the run, today, tomorrow and next week?

Votes are not counted anew here: the law is that of the guards (soar.guards.approval), tried out with
the persons that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from soar.access import ROLES
from soar.guards.approval import count_votes
from soar.guards.case import ApprovalFacts, Vote
from soar.readiness.facts import Facts, Need, Person
from soar.readiness.score import Area, Finding, Level

DAY = timedelta(days=1)
_DIGEST = "drill"
NOBODY = Person(id="", name="nobody")
"""Starts an automatic run."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The persons as they will be at a time, when nothing else changes."""

    when: str
    persons: tuple[Person, ...]
    setting_up: bool


def moments(facts: Facts) -> list[Moment]:
    """Now; tomorrow, when nobody's role is of the same day any more; and when the next keys have run out."""
    days = facts.bounds.key_days
    return [
        Moment("now", _present(facts.persons, facts.now), facts.setting_up),
        Moment("tomorrow", _later(facts.persons, facts.now + DAY), False),
        Moment(f"in {days} days", _later(facts.persons, facts.now + timedelta(days=days)), False),
    ]


def _present(persons: Iterable[Person], at: datetime) -> tuple[Person, ...]:
    return tuple(person for person in persons if person.can_act(at))


def _later(persons: Iterable[Person], at: datetime) -> tuple[Person, ...]:
    return tuple(replace(person, armed_by=frozenset()) for person in _present(persons, at))


def approvers(moment: Moment, any_of: frozenset[str], persons: int, starter: Person) -> tuple[Person, ...] | None:
    """So many persons who could approve together what this one started; None where there are not enough."""
    voters = [each for each in moment.persons if _count(moment, any_of, [each], starter)]
    return _enough(moment, any_of, max(1, persons), starter, (), voters)


def _enough(
    moment: Moment, any_of: frozenset[str], wanted: int, starter: Person, chosen: tuple[Person, ...],
    rest: Sequence[Person],
) -> tuple[Person, ...] | None:  # fmt: skip
    """The chosen ones and as many of the rest as are wanted. Who does not go with them is left out at once."""
    if wanted == len(chosen):
        return chosen
    for index, each in enumerate(rest[: len(rest) - (wanted - len(chosen)) + 1]):
        more = (*chosen, each)
        if _count(moment, any_of, more, starter):
            found = _enough(moment, any_of, wanted, starter, more, rest[index + 1 :])
            if found is not None:
                return found
    return None


def _count(moment: Moment, any_of: frozenset[str], voters: Sequence[Person], starter: Person) -> bool:
    """Whether the voices of all these count, each of them, beside those of the others."""
    asked = ApprovalFacts(
        digest=_DIGEST, required=len(voters), any_of=any_of, issuers=starter.armed_by,
        voters=tuple(
            Vote(
                person_id=each.id, decision="approve", digest=_DIGEST, roles=each.roles, granted_by=each.armed_by,
                setting_up=moment.setting_up,
            )
            for each in voters if _may(each, "approval.vote")
        ),
    )  # fmt: skip
    return count_votes(asked, starter=starter.id, confirmer="", digest=_DIGEST).granted


def _may(person: Person, permission: str) -> bool:
    return any(permission in ROLES.get(role, ()) for role in person.roles)


def approvals(facts: Facts) -> Iterator[Finding]:
    """Each approval that a playbook asks for can be given, whoever starts the run, at each time."""
    for (any_of, persons), needs in sorted(_kinds(facts).items(), key=lambda pair: _said(*pair[0])):
        found = None
        for moment in moments(facts):
            found = _approval(moment, any_of, persons, needs)
            if found is not None:
                yield found
                break
        if found is None and any(need.on_timeout == "escalate" for need in needs):
            yield from _escalation(moments(facts)[0], any_of, persons, needs)


def _stuck(moment: Moment, any_of: frozenset[str], persons: int) -> list[Person]:
    """Those whose runs nobody could approve; the same voters do for most of them, so these are tried first."""
    known = approvers(moment, any_of, persons, NOBODY)
    if known is None:
        return [NOBODY]
    return [
        who
        for who in moment.persons
        if _may(who, "run.start")
        and not _count(moment, any_of, known, who)
        and approvers(moment, any_of, persons, who) is None
    ]


def _approval(moment: Moment, any_of: frozenset[str], persons: int, needs: Sequence[Need]) -> Finding | None:
    stuck = _stuck(moment, any_of, persons)
    if not stuck:
        return None
    now, asked = moment.when == "now", _said(any_of, persons)
    if NOBODY in stuck:
        return _finding(
            Level.RED if now else Level.AMBER, "nobody_approves" if now else "nobody_later", asked,
            f"{moment.when} nobody could give the approval of {_words(any_of, persons)} ({_where(needs)})",
        )  # fmt: skip
    code = "starter_alone" if now else "starter_alone_later"
    names = ", ".join(who.name for who in stuck[:3]) + (f" and {len(stuck) - 3} more" if len(stuck) > 3 else "")
    what = f"{moment.when} nobody could approve ({_words(any_of, persons)}) what {names} started ({_where(needs)})"
    return _finding(Level.AMBER, code, asked, what)


def _escalation(moment: Moment, any_of: frozenset[str], persons: int, needs: Sequence[Need]) -> Iterator[Finding]:
    if approvers(moment, any_of, persons + 1, NOBODY) is None:
        what = f"an approval of {_words(any_of, persons)} that is not answered has nobody else to go to"
        yield _finding(Level.AMBER, "no_escalation", _said(any_of, persons), f"{what} ({_where(needs)})")


def _finding(level: Level, code: str, subject: str, what: str) -> Finding:
    return Finding(
        area=Area.PEOPLE, level=level, code=code, subject=subject, what=what,
        why="The playbook would stand still there. Whoever starts a run cannot approve it, and whom one hand armed "
        "the same day is one pair of eyes.",
        mend="Give the role and a key to more persons, by another hand than theirs, and a day before it matters.",
    )  # fmt: skip


def _kinds(facts: Facts) -> dict[tuple[frozenset[str], int], list[Need]]:
    """The approvals of all playbooks, those that ask for the same together."""
    found: dict[tuple[frozenset[str], int], list[Need]] = {}
    for book in facts.books:
        for need in book.needs:
            found.setdefault((need.any_of, need.persons), []).append(need)
    return found


def _said(any_of: frozenset[str], persons: int) -> str:
    return f"{persons}:{'|'.join(sorted(any_of)) or 'anybody'}"


def _words(any_of: frozenset[str], persons: int) -> str:
    who = " or ".join(sorted(any_of)) or "any role"
    return f"{persons} person{'' if persons == 1 else 's'} ({who})"


def _where(needs: Sequence[Need]) -> str:
    books = list(dict.fromkeys(need.playbook for need in needs))
    return ", ".join(books[:3]) + (f" and {len(books) - 3} more" if len(books) > 3 else "")


def starters(facts: Facts) -> Iterator[Finding]:
    """Somebody can start a run and answer a question."""
    for moment in moments(facts):
        if not any(_may(each, "run.start") and _may(each, "task.answer") for each in moment.persons):
            now = moment.when == "now"
            yield Finding(
                area=Area.PEOPLE, level=Level.RED if now else Level.AMBER, code="nobody_starts",
                what=f"{moment.when} nobody can start a run or answer a question",
                why="What is proposed stays a proposal, and a question stays open.",
                mend="Give somebody the role analyst or responder, and a key.",
            )  # fmt: skip
            return


def commanders(facts: Facts) -> Iterator[Finding]:
    """Break-glass needs a commander and a second person."""
    here = moments(facts)[0].persons
    leading = [each for each in here if "commander" in each.roles]
    if leading and any(_may(other, "approval.vote") for one in leading for other in here if other is not one):
        return
    yield Finding(
        area=Area.PEOPLE, level=Level.AMBER, code="no_commander",
        what="nobody has the role commander" if not leading else "the commander is the only person who may vote",
        why="Nobody can be turned to when an approval is not answered, and break-glass cannot be opened.",
        mend="Give the role commander to a person, and the right to vote to another one.",
    )  # fmt: skip
