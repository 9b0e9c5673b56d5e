"""The house itself: what is protected, where evidence goes, the key that signs, the clock, what stands still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from soar.guards.policy import Protection
from soar.readiness.facts import Facts
from soar.readiness.score import Area, Finding, Level

CLOCK_AMBER, CLOCK_RED = 5.0, 60.0
"""Seconds between the machine's clock and the house's."""
_MEGABYTE = 1024 * 1024


def protected(facts: Facts) -> Iterator[Finding]:
    """What must not be touched is named."""
    policy = facts.policy
    if not policy.configured:
        yield _guard(
            Level.RED, "no_lists", "no protected list is configured",
            "Nothing is contained by itself; every run waits for a person.",
            "Name what must not be touched under guards.hard and guards.soft.",
        )  # fmt: skip
        return
    if policy.hard == Protection():
        yield _guard(
            Level.AMBER, "no_hard", "nothing is protected for good (guards.hard is empty)",
            "A playbook could cut off this house, its management path or the break-glass accounts.",
            "Name our own hosts, accounts, gateways and name servers under guards.hard.",
        )  # fmt: skip
    if policy.soft == Protection():
        yield _guard(
            Level.AMBER, "no_soft", "no asset is protected (guards.soft is empty)",
            "What the business lives on is contained like any workstation.",
            "Name domain controllers, production and the like under guards.soft.",
        )  # fmt: skip


def never_block(facts: Facts) -> Iterator[Finding]:
    """No block may reach what everybody needs."""
    policy = facts.policy
    if not (policy.never_block_networks or policy.never_block_domains):
        yield _guard(
            Level.AMBER, "no_never_block", "the never-block lists are empty",
            "A poisoned indicator could block a partner, or the cloud that everything runs in.",
            "Fill guards.never_block_networks and guards.never_block_domains.",
        )  # fmt: skip
    if not policy.resolvers:
        yield _guard(
            Level.AMBER, "no_resolvers", "our name servers are not named",
            "A block of one of them takes every name from everybody.", "Name them under guards.resolvers.",
        )  # fmt: skip


def _guard(level: Level, code: str, what: str, why: str, mend: str) -> Finding:
    return Finding(area=Area.PROTECTION, level=level, code=code, what=what, why=why, mend=mend)


def vault(facts: Facts) -> Iterator[Finding]:
    """Evidence can be kept, and there is room for it."""
    found, least = facts.vault, facts.bounds.free_mb
    free = found.free_bytes // _MEGABYTE
    if not found.writable:
        yield _evidence(
            Level.RED, "vault", f"the vault takes nothing: {found.why}",
            "No evidence could be collected, and what destroys it would wait.", "Mend the folder vault/ of the data.",
        )  # fmt: skip
    elif free < least:
        yield _evidence(
            Level.RED if free < least // 10 else Level.AMBER, "vault_room",
            f"the vault has room for {free} MB, {least} are wanted",
            "One memory image can fill it in the middle of an incident.",
            "Make room on the disk of the data folder, or lower drills.free_mb.",
        )  # fmt: skip


def key(facts: Facts) -> Iterator[Finding]:
    """The signing key is there, its owner's alone, and a copy of it lies elsewhere."""
    if not facts.key.there:
        yield _evidence(
            Level.RED, "key_gone", "the signing key is gone",
            "After the next start nothing could be signed any more.", "Put signing-key.pem back from its copy.",
        )  # fmt: skip
    elif not facts.key.private:
        yield _evidence(
            Level.RED, "key_open", "others may read the signing key",
            "Whoever has it can sign a log that never was.", "chmod 600 signing-key.pem",
        )  # fmt: skip
    level, what = _BACKUPS[facts.key.backup]
    if what:
        yield _evidence(
            level, "key_copy", what, "Without a copy a broken disk ends the chain of signatures for good.",
            "Copy signing-key.pem to a safe place, and name that file under drills.key_backup.",
        )  # fmt: skip


_BACKUPS: Mapping[str, tuple[Level, str]] = {
    "same": (Level.NOTE, ""),
    "not named": (Level.AMBER, "nobody says where a copy of the signing key lies"),
    "missing": (Level.RED, "the copy of the signing key cannot be read"),
    "other": (Level.RED, "what should be a copy of the signing key is another key"),
}


def clock(facts: Facts) -> Iterator[Finding]:
    """The machine's clock and the house's agree, and nothing was written in the future."""
    off = abs(facts.clocks.ahead)
    if off > CLOCK_AMBER:
        way = "ahead of" if facts.clocks.ahead > 0 else "behind"
        yield _evidence(
            Level.RED if off > CLOCK_RED else Level.AMBER, "clock",
            f"the machine's clock is {off:.0f} s {way} the house's",
            "Times of evidence would not fit those of the systems it came from.",
            "Synchronise the clock (NTP), then start the service again.",
        )  # fmt: skip
    newest = facts.clocks.newest
    if newest is not None and (newest - facts.now).total_seconds() > CLOCK_AMBER:
        yield _evidence(
            Level.RED, "clock_back", f"the newest event says {newest:%Y-%m-%d %H:%M:%SZ}, which is still to come",
            "The order of what happened could not be told any more.", "Set the clock; synchronise it with NTP.",
        )  # fmt: skip


def _evidence(level: Level, code: str, what: str, why: str, mend: str) -> Finding:
    return Finding(area=Area.EVIDENCE, level=level, code=code, what=what, why=why, mend=mend)


def switches(facts: Facts) -> Iterator[Finding]:
    """No kill switch is on."""
    for name in facts.switches:
        yield _operation(
            Level.RED if name == "*" else Level.AMBER, "switch", name, f"the kill switch {name} is on",
            "What it stops is not sent, whatever happens.", f"When its reason is over: soar switch clear '{name}'.",
        )  # fmt: skip


def overdue(facts: Facts) -> Iterator[Finding]:
    """No containment stands beyond its date."""
    for each in facts.overdue:
        what = f"{each.verb} on {each.target} stands beyond its date, {each.since:%Y-%m-%d %H:%MZ}"
        yield _operation(
            Level.AMBER, "overdue", each.id, what, "Nobody has decided whether it is still needed.",
            "Renew it, release it, or hand it over: soar register list.",
        )  # fmt: skip


def tasks(facts: Facts) -> Iterator[Finding]:
    """No question is open for too long."""
    for each in facts.tasks:
        what = f"{each.count} question(s) of {each.incident} are open since {each.since:%Y-%m-%d %H:%MZ}"
        yield _operation(
            Level.AMBER, "tasks", each.incident, what, "A run waits for the answer, or a decision is owed.",
            "Answer them: soar task list.",
        )  # fmt: skip


def _operation(level: Level, code: str, subject: str, what: str, why: str, mend: str) -> Finding:
    return Finding(area=Area.OPERATION, level=level, code=code, subject=subject, what=what, why=why, mend=mend)
