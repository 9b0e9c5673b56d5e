"""What a drill looks at, as values. Whoever gathers them reads only: no connected system is ever changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from soar.errors import Problem
from soar.guards.policy import Policy
from soar.model import Severity
from soar.ports import Rights


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One connected system, as its adapter found it. `rights` is None where it cannot tell them."""

    name: str
    verbs: frozenset[str]
    problems: tuple[Problem, ...] = ()
    rights: Rights | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may act here.

    `keys` are the ends of the keys that are valid now; None is a key without end. `armed_by` are
    those who made this person, granted a role or issued a key within the last 24 hours.
    """

    id: str
    name: str
    active: bool = True
    roles: frozenset[str] = frozenset()
    keys: tuple[datetime | None, ...] = (None,)
    armed_by: frozenset[str] = frozenset()

    def can_act(self, at: datetime) -> bool:
        """Whether this person is let in at a time, as far as it is known now."""
        return self.active and any(end is None or end > at for end in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """An approval that a step will ask for: `persons` of those with one of the roles `any_of`."""

    playbook: str
    step: str
    any_of: frozenset[str]
    persons: int = 1
    on_timeout: str = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A playbook of the library, reduced to what it needs.

    Of each set in `verbs` one verb must be done by some adapter. `calls` are playbooks that it runs
    and that are not here. `triggers` are expressions; `automatic` says that one begins by itself.
    `signed`: somebody whom we trust stands for it.
    """

    slug: str
    name: str = ""
    verbs: frozenset[frozenset[str]] = frozenset()
    calls: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    triggers: tuple[str, ...] = ()
    automatic: bool = False
    signed: bool = True
    revoked: bool = False
    modified: datetime
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """Where evidence is kept: whether it takes bytes (else why not), and how many it still has room for."""

    writable: bool = True
    why: str = ""
    free_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """The key that signs the log. `backup` is what stands at the place that the settings name for a copy."""

    there: bool = True
    private: bool = True
    backup: Literal["same", "other", "missing", "not named"] = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How many seconds the machine's clock is ahead of the house's, and when the newest event was written."""

    ahead: float = 0.0
    newest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An ATT&CK technique that alerts named lately; `worst` is the most severe of them."""

    technique: str
    alerts: int
    worst: Severity = Severity.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A containment whose date has passed and that still stands."""

    id: str
    verb: str
    target: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTasks:
    """Questions of one incident that nobody has answered for too long; `since` is the oldest."""

    incident: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the settings call too old, too little, too long."""

    fresh_days: int = 365
    expiry_days: int = 30
    key_days: int = 7
    free_mb: int = 1024
    task_hours: float = 24.0
    alert_days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a drill of the configured estate knows.

    `setting_up`: on the installation's first day the settings let one hand arm everybody.
    `resolvable` says that some connected system is an inventory. `signed_only`: a playbook that nobody
    whom we trust has signed may not be run. `switches` are kill switches that are on. `broken` are
    modules that could not be loaded.
    """

    now: datetime
    policy: Policy
    systems: tuple[System, ...] = ()
    broken: tuple[str, ...] = ()
    resolvable: bool = True
    persons: tuple[Person, ...] = ()
    setting_up: bool = False
    books: tuple[Book, ...] = ()
    signed_only: bool = False
    vault: Vault = Vault()
    key: SigningKey = SigningKey()
    clocks: Clocks = Clocks()
    seen: tuple[Seen, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    tasks: tuple[OpenTasks, ...] = ()
    switches: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def done(self) -> frozenset[str]:
        """The verbs that some connected system does."""
        return frozenset().union(*(system.verbs for system in self.systems))

    def missing(self, book: Book) -> tuple[str, ...]:
        """What a playbook asks for that no connected system does, in words."""
        done = self.done
        return tuple(sorted(_either(group) for group in book.verbs if not group & done))

    def runs(self, book: Book) -> bool:
        """Whether a new run of a playbook may begin, and could do every step."""
        admitted = book.signed or not self.signed_only
        return admitted and not (book.revoked or book.calls or self.missing(book) or self.outside(book))

    def outside(self, book: Book) -> bool:
        """Whether a playbook is not valid now."""
        begun = book.valid_from is None or book.valid_from <= self.now
        return not begun or (book.valid_until is not None and book.valid_until <= self.now)


def _either(group: Iterable[str]) -> str:
    """A verb, or several of which one is enough."""
    words = sorted(group)
    return words[0] if len(words) == 1 else f"({' or '.join(words)})"
