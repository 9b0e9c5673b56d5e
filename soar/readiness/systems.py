"""Connected systems: do they answer, are their rights right, and can each playbook do what it asks for?"""

from __future__ import annotations

from collections.abc import Iterator

from soar.readiness.coverage import covers
from soar.readiness.facts import Book, Facts, System
from soar.readiness.score import Area, Finding, Level


def answering(facts: Facts) -> Iterator[Finding]:
    """Each adapter reaches its system, and its credential is enough."""
    for system in facts.systems:
        for problem in system.problems:
            yield Finding(
                area=Area.SYSTEMS, level=Level.RED, code="trouble", subject=f"{system.name}:{problem.code}",
                what=f"{system.name}: {problem.message or problem.code}",
                why="What this system does for a playbook will fail when it is needed.",
                mend=problem.mend or f"Mend the connection of {system.name}, then look with soar adapter list.",
            )  # fmt: skip


def rights(facts: Facts) -> Iterator[Finding]:
    """A credential may do what its adapter does, and no more."""
    for system in facts.systems:
        if not system.problems:
            yield from _rights(system)


def _rights(system: System) -> Iterator[Finding]:
    if system.rights is None:
        yield Finding(
            area=Area.SYSTEMS, level=Level.NOTE, code="rights_unknown", subject=system.name,
            what=f"{system.name} cannot tell what its credential may do",
            why="Too many rights are found by nobody until somebody uses them.",
            mend="Look at the credential's rights in the system itself.",
        )  # fmt: skip
        return
    for right in system.rights.missing:
        yield Finding(
            area=Area.SYSTEMS, level=Level.RED, code="missing_right", subject=f"{system.name}:{right}",
            what=f"{system.name}: its credential lacks {right}", why="The calls that need this right will be refused.",
            mend=f"Grant {right} to the credential of {system.name}.",
        )  # fmt: skip
    for right in system.rights.excess:
        yield Finding(
            area=Area.SYSTEMS, level=Level.AMBER, code="excess_right", subject=f"{system.name}:{right}",
            what=f"{system.name}: its credential may also {right}",
            why="Who steals this credential can do more than the playbooks ever need.",
            mend=f"Take {right} from the credential of {system.name}.",
        )  # fmt: skip


def modules(facts: Facts) -> Iterator[Finding]:
    """Every module of an adapter or a source could be loaded."""
    for module in facts.broken:
        yield Finding(
            area=Area.SYSTEMS, level=Level.AMBER, code="broken_module", subject=module,
            what=f"the module {module} could not be loaded", why="Its systems cannot be connected.",
            mend="Mend or remove it; soar adapter list tells the reason.",
        )  # fmt: skip


def inventory(facts: Facts) -> Iterator[Finding]:
    """Something can say which host an address was."""
    if not facts.resolvable:
        yield Finding(
            area=Area.SYSTEMS, level=Level.AMBER, code="no_inventory",
            what="no connected system can say which host or account an alert means",
            why="Every name in an alert becomes a question to a person before anything is contained.",
            mend="Connect an inventory or a directory.",
        )  # fmt: skip


def able(facts: Facts) -> Iterator[Finding]:
    """Every playbook can do all of its steps. One that starts by itself, or fits what was seen lately, must."""
    for book in facts.books:
        missing = facts.missing(book)
        lacks = [f"no connected system does {', '.join(missing)}"] if missing else []
        lacks += [f"it runs {name}, which is not here" for name in book.calls]
        if lacks:
            urgent = book.automatic or any(covers(book, each.technique) for each in facts.seen)
            yield Finding(
                area=Area.PLAYBOOKS, level=Level.RED if urgent else Level.AMBER, code="cannot_run", subject=book.slug,
                what=f"{_title(book)} cannot run to its end: {'; '.join(lacks)}",
                why="It starts by itself, or fits alerts that came lately: it will be needed."
                if urgent else "The incident that it is for would be handled by hand.",
                mend="Connect a system that does this, or leave the step out of the playbook.",
            )  # fmt: skip


def library(facts: Facts) -> Iterator[Finding]:
    """There are playbooks at all."""
    if not facts.books:
        yield Finding(
            area=Area.PLAYBOOKS, level=Level.RED, code="no_playbooks", what="there is no playbook",
            why="Nothing would be proposed for any alert.", mend="Load playbooks, or name files under playbooks.",
        )  # fmt: skip


def _title(book: Book) -> str:
    return f"{book.name} ({book.slug})" if book.name else book.slug
