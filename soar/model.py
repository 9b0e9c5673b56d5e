"""The values that travel through the house: frozen, keyword-only, without behaviour of their own.

Times are timezone-aware UTC. Ids are UUIDv7 strings, so they sort by the time they were made.
Nothing here touches the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from soar.phases import Phase

JsonObject = Mapping[str, Any]


class Severity(StrEnum):
    """Words for OCSF severity_id 0-6 (OCSF 1.8, attribute `severity_id`)."""

    UNKNOWN = "unknown"
    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    FATAL = "fatal"

    @property
    def id(self) -> int:
        return _SEVERITY_IDS[self]

    @classmethod
    def of(cls, severity_id: int) -> Severity:
        """The word for an OCSF id; ids outside 0-6 read as unknown."""
        words = list(cls)
        return words[severity_id] if 0 <= severity_id < len(words) else cls.UNKNOWN


_SEVERITY_IDS = {word: severity_id for severity_id, word in enumerate(Severity)}


class Verdict(StrEnum):
    """What is held of an observable (OCSF reputation, shortened)."""

    UNKNOWN = "unknown"
    BENIGN = "benign"
    SUSPICIOUS = "suspicious"
    MALICIOUS = "malicious"


class Determination(StrEnum):
    """STIX 2.1 Incident Core extension, property `determination`."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    FALSE_POSITIVE = "false-positive"
    BLOCKED = "blocked"
    FAILED_ATTEMPT = "failed-attempt"


class IncidentStatus(StrEnum):
    """OCSF 2005 Incident Finding `status_id` 1-5."""

    NEW = "new"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    RESOLVED = "resolved"
    CLOSED = "closed"


class ScopeStatus(StrEnum):
    """How far one affected thing has come."""

    SUSPECTED = "suspected"
    AFFECTED = "affected"
    CONTAINED = "contained"
    ERADICATED = "eradicated"
    RESTORED = "restored"
    CLEARED = "cleared"


class EntityKind(StrEnum):
    """What a scope row or an action target can be."""

    HOST = "host"
    ACCOUNT = "account"
    MAILBOX = "mailbox"
    KEY = "key"
    SERVICE = "service"
    OBSERVABLE = "observable"
    INCIDENT = "incident"
    TEAM = "team"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """Something an alert names: `kind` host, account or address; `value` as the source wrote it."""

    kind: str
    value: str
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observable:
    """A value that can be looked up or blocked. `type` is a STIX 2.1 SCO type name."""

    type: str
    value: str
    verdict: Verdict = Verdict.UNKNOWN
    confidence: int = 0

    @property
    def id(self) -> str:
        return f"{self.type}:{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One finding of a source, in our words (near OCSF 2004 Detection Finding).

    `source_alert_id` is the source's own id of the finding; `dedupe_key` is rule plus entities.
    `occurred_at` is when the finding's cause happened, `raised_at` when the source said so.
    """

    source: str
    source_alert_id: str
    rule_id: str
    rule_name: str
    title: str
    severity: Severity
    occurred_at: datetime
    raised_at: datetime
    techniques: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()
    observables: tuple[Observable, ...] = ()
    dedupe_key: str = ""
    facts: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A mention resolved to a thing we can act on, as of the alert's time.

    `source` is the inventory that answered, `known_since` since when the fact held there
    (a DHCP lease's start, an account's creation), `groups` what the directory files it under.
    """

    kind: EntityKind
    id: str
    name: str
    source: str
    known_since: datetime | None = None
    addresses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Target:
    """What one action acts on."""

    kind: EntityKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> Target:
        kind, _, ident = text.partition(":")
        return cls(kind=EntityKind(kind), id=ident)


class Repeat(StrEnum):
    """What repeating a call does at the target; declared by an adapter for each verb.

    R reads; A hands our key to the target, which drops a second call; B sets a state; C is none
    of these and is never repeated without proof that the first call did nothing.
    """

    READ = "R"
    KEYED = "A"
    STATE = "B"
    UNSAFE = "C"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One resolved action, as an adapter sees it. `key` is the action row's id."""

    key: str
    verb: str
    target: Target
    params: JsonObject
    incident: str = ""
    caller: str = ""
    timeout: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is true at the target now.

    `present`: the effect that the verb wants is there (None: the target cannot tell).
    `ours`: the target shows that the effect carries our key. `state` is the raw fact, kept as
    prior state and compared when undoing. `summary` says it in words.
    """

    present: bool | None
    state: JsonObject
    ours: str | None = None
    summary: str = ""


class AppliedStatus(StrEnum):
    """What a target answered: done now, or taken for later (HTTP 202)."""

    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A target's answer to a call. `handle` is what undo needs; `outputs` are the verb's own."""

    status: AppliedStatus = AppliedStatus.CONFIRMED
    handle: JsonObject = field(default_factory=dict)
    outputs: JsonObject = field(default_factory=dict)
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Evidence as an adapter hands it in: what it is and where it came from.

    `evidence_class` is one of connections, memory, processes, disk, sessions, mail, logs, files.
    """

    name: str
    evidence_class: str
    source: str
    path: str = ""
    method: str = "live"
    tool: str = ""
    acquired_at: datetime | None = None
    source_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """An item whose bytes are safely in the vault."""

    id: str
    item: Item
    sha256: str
    sha512: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something: a person, a service identity (a SIEM, a key) or the engine itself."""

    kind: str
    id: str
    name: str
    roles: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


ENGINE = Actor(kind="engine", id="soar", name="soar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as it stands in a stream.

    `at` is when it happened, `recorded_at` when it was written down; an entry written late keeps
    both. `data` is plain; `values` are redactable: the stored bytes hold only salted commitments.
    """

    id: str
    stream: str
    seq: int
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    data: JsonObject
    values: JsonObject
    phase: Phase | None = None
