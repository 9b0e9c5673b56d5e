"""Techniques: which of those that alerts name have a playbook that would run, and which have none.

Technique ids are MITRE ATT&CK Enterprise ids, as T1486 or T1021.002.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from soar.errors import Invalid
from soar.expressions import Expression, parse
from soar.model import Severity
from soar.readiness.facts import Book, Facts
from soar.readiness.score import Area, Finding, Level

_PATH = "alert:techniques"
_NAMED = re.compile(r"'(T\d{4}(?:\.\d{3})?)'", re.ASCII)


def named(book: Book) -> frozenset[str]:
    """The techniques that a playbook's triggers name."""
    return techniques_in(book.triggers)


def techniques_in(triggers: Iterable[str]) -> frozenset[str]:
    """The techniques that these expressions name where they speak of an alert's techniques."""
    return frozenset(word for each in _about(triggers) for word in _NAMED.findall(each.text))


def covers(book: Book, technique: str) -> bool:
    """Whether a trigger speaks of techniques and names this one, or would hold for a grave alert of it alone."""
    alert = {"techniques": [technique], "severity_id": Severity.CRITICAL.id}
    return technique in named(book) or any(
        each.evaluate({"alert": alert, "variables": {}}) for each in _about(book.triggers)
    )


def _about(triggers: Iterable[str]) -> list[Expression]:
    """The expressions that speak of techniques; one that can be read no more fits nothing."""
    found = []
    for text in triggers:
        try:
            expression = parse(text)
        except Invalid:
            continue
        if any(path.startswith(_PATH) for path in expression.paths):
            found.append(expression)
    return found


def seen(facts: Facts) -> Iterator[Finding]:
    """Every technique that alerts named lately has a playbook."""
    for each in facts.seen:
        fitting = [book for book in facts.books if covers(book, each.technique)]
        if fitting and any(facts.runs(book) for book in fitting):
            continue
        said = (
            f"{each.alerts} alert(s) of the last {facts.bounds.alert_days} days, up to {each.worst.value}, "
            f"name {each.technique}"
        )
        if fitting:
            slugs = ", ".join(book.slug for book in fitting)
            yield _finding("only_unable", each.technique, f"{said}, and {slugs} cannot run", _MEND_BOOK)
        else:
            yield _finding("not_covered", each.technique, f"{said}, and no playbook is for it", _MEND_TRIGGER)


def declared(facts: Facts) -> Iterator[Finding]:
    """Every technique that a trigger names has a playbook that would run."""
    known = {each.technique for each in facts.seen}
    able = frozenset().union(*(named(book) for book in facts.books if facts.runs(book)))
    for technique in sorted(frozenset().union(*map(named, facts.books)) - able - known):
        slugs = ", ".join(book.slug for book in facts.books if technique in named(book))
        yield _finding("only_unable", technique, f"{technique} is left to {slugs}, which cannot run", _MEND_BOOK)
    if facts.books and not any(named(book) for book in facts.books):
        yield _finding("no_techniques", "", "no playbook names a technique in its triggers", _MEND_TRIGGER)


_MEND_BOOK = "Mend what keeps the playbook from running."
_MEND_TRIGGER = "Add the technique to the trigger of a playbook that fits, or write one."


def _finding(code: str, technique: str, what: str, mend: str) -> Finding:
    return Finding(
        area=Area.COVERAGE, level=Level.AMBER, code=code, subject=technique, what=what,
        why="An analyst would have to think of everything while it happens.", mend=mend,
    )  # fmt: skip


def table(facts: Facts) -> list[dict[str, object]]:
    """Each technique that was seen or is named, how many alerts had it, and the playbooks for it that would run."""
    counts = {each.technique: each.alerts for each in facts.seen}
    every = sorted(frozenset().union(counts, *map(named, facts.books)))
    return [
        {
            "technique": technique, "alerts": counts.get(technique, 0),
            "playbooks": [book.slug for book in facts.books if covers(book, technique) and facts.runs(book)],
        }
        for technique in every
    ]  # fmt: skip
