"""Playbooks as papers: signed, fresh, valid, not revoked (CACAO 2.0, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from soar.readiness.facts import Book, Facts
from soar.readiness.score import Area, Finding, Level


def signatures(facts: Facts) -> Iterator[Finding]:
    """Somebody stands for every playbook. All that nobody signed are one finding."""
    unsigned = [book.slug for book in facts.books if not book.signed]
    if unsigned:
        yield _finding(
            Level.RED if facts.signed_only else Level.AMBER, "unsigned", "",
            f"{len(unsigned)} playbook(s) are signed by nobody whom we trust: {', '.join(unsigned)}",
            "They may not be run here." if facts.signed_only
            else "Nobody can tell a playbook that was reviewed from one that was slipped in.",
            "Sign each one after its review (soar playbook sign), with a key that stands under trust.keys.",
        )  # fmt: skip


def validity(facts: Facts) -> Iterator[Finding]:
    """Every playbook holds now, and will for a while."""
    for book in facts.books:
        found = _invalid(book, facts.now, timedelta(days=facts.bounds.expiry_days))
        if found is not None:
            level, code, said = found
            yield _finding(
                level, code, book.slug, f"{book.slug} {said}",
                "It is not proposed, or will not be when it is needed.",
                "Review it, and load a version that is valid.",
            )  # fmt: skip


def _invalid(book: Book, now: datetime, soon: timedelta) -> tuple[Level, str, str] | None:
    until = book.valid_until
    if book.revoked:
        return Level.RED, "revoked", "is revoked"
    if until is not None and until <= now:
        return Level.RED, "expired", f"was valid until {until:%Y-%m-%d}"
    if book.valid_from is not None and book.valid_from > now:
        return Level.AMBER, "not_yet", f"is valid from {book.valid_from:%Y-%m-%d} on"
    if until is not None and until - now <= soon:
        return Level.AMBER, "expires", f"is valid until {until:%Y-%m-%d}"
    return None


def freshness(facts: Facts) -> Iterator[Finding]:
    """Every playbook was looked at lately."""
    oldest = facts.now - timedelta(days=facts.bounds.fresh_days)
    for book in facts.books:
        if book.modified < oldest:
            yield _finding(
                Level.AMBER, "stale", book.slug,
                f"{book.slug} was last changed on {book.modified:%Y-%m-%d}, over {facts.bounds.fresh_days} days ago",
                "The estate and the attackers have changed since.",
                "Review it, rehearse it, and write the new date under modified.",
            )  # fmt: skip


def _finding(level: Level, code: str, subject: str, what: str, why: str, mend: str) -> Finding:
    return Finding(area=Area.LIBRARY, level=level, code=code, subject=subject, what=what, why=why, mend=mend)
