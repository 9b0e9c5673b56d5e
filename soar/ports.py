"""The seams: what the core asks of the world, as Protocols. Outsiders import this module only.

An adapter acts on a target, a source reads a SIEM's alerts, a vault keeps bytes, a doorbell wakes
workers, a clock tells time. Implementations stand in `integrations`, `evidence` and `api`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

from soar.errors import (
    AdapterError,
    Invalid,
    NotSent,
    OutcomeUnknown,
    Problem,
    Rejected,
    Unauthenticated,
)
from soar.model import (
    Alert,
    Applied,
    AppliedStatus,
    Call,
    Entity,
    EntityKind,
    Inspection,
    Item,
    JsonObject,
    Mention,
    Observable,
    Repeat,
    StoredItem,
    Target,
    Verdict,
)

__all__ = [
    "Adapter", "AdapterError", "Alert", "Applied", "AppliedStatus", "Call", "Capability", "Clock", "ClockStep",
    "Collection", "Custodian", "Directory", "Doorbell", "Entity", "EntityKind", "Inspection", "Invalid", "Item",
    "JsonObject", "Mention", "NotSent", "Observable", "OutcomeUnknown", "Problem", "Rejected", "Repeat", "Rights",
    "Signer", "Sink", "Source", "StoredItem", "Target", "TellsRights", "Unauthenticated", "Vault", "Verdict",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """How an adapter does one verb: its repeat class, and whether it can be inspected and undone."""

    repeat: Repeat
    inspects: bool = True
    timeout: float = 30.0


class Sink(Protocol):
    """Where an adapter hands in evidence while it runs. Bytes are safe when `put` returns."""

    def put(self, item: Item, content: BinaryIO) -> StoredItem: ...

    def open(self, item_id: str) -> BinaryIO: ...

    def describe(self, item_id: str) -> StoredItem: ...


class Collection(Sink, Protocol):
    """The sink of one action. `record` writes what came in, in the caller's transaction."""

    def record(self, tx: Any) -> Sequence[StoredItem]: ...


class Custodian(Protocol):
    """Takes evidence in: bytes into the vault, items and custody into the database."""

    def collect(self, *, incident_id: str, action_id: str, target: str, actor: str) -> Collection: ...


@runtime_checkable
class Adapter(Protocol):
    """One connected system. Its methods raise NotSent, Rejected or OutcomeUnknown, nothing else.

    `verbs` is the closed list of what it can do; `inspect` never writes; `apply` brings about the
    effect; `revert` takes back only what `handle` (as `apply` gave it) and `prior` (the inspection
    before the call: `present`, `state`, `ours`) show to be ours (compare and set);
    `check` returns what is wrong with credentials, reachability and rights, [] when all is well.
    """

    name: str
    verbs: Mapping[str, Capability]

    def inspect(self, call: Call) -> Inspection: ...

    def apply(self, call: Call, sink: Sink) -> Applied: ...

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied: ...

    def check(self) -> Sequence[Problem]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a credential lacks for the verbs of its adapter, and what it may do beyond them, in the system's words."""

    missing: tuple[str, ...] = ()
    excess: tuple[str, ...] = ()


@runtime_checkable
class TellsRights(Protocol):
    """An adapter whose system says what the credential may do. `rights` only reads, as `check` does."""

    def rights(self) -> Rights: ...


@runtime_checkable
class Directory(Protocol):
    """An inventory that resolves what an alert names, as of a time. Several answers = ambiguous."""

    name: str

    def resolve(self, mention: Mention, at: datetime) -> Sequence[Entity]: ...


class Delivery(NamedTuple):
    """A webhook call as it came in: header names in lower case, the body's raw bytes."""

    headers: Mapping[str, str]
    body: bytes


class Source(Protocol):
    """One kind of SIEM. `parse` is pure: an already decoded document to alerts, or Invalid."""

    kind: str

    def parse(self, document: JsonObject) -> Sequence[Alert]: ...


class Vault(Protocol):
    """Keeps bytes by their SHA-256; what is stored is never changed."""

    def put(self, content: BinaryIO) -> tuple[str, str, int]:
        """Store a stream; returns (sha256, sha512, size). The bytes are on disk when it returns."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """The bytes, for reading; raises NotFound."""
        ...

    def verify(self, sha256: str) -> bool:
        """Hash the stored bytes again."""
        ...

    def digests(self) -> Iterator[str]:
        """Every digest that is stored."""
        ...


class Doorbell(Protocol):
    """Wakes workers for a row of work, or ("") whoever watches the timers.

    Losing or doubling a ring is harmless: the rows are the truth.
    """

    def ring(self, work_id: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock jumped: `seconds` is how far, against the boot clock."""

    seconds: float


class Clock(Protocol):
    """Wall time that does not jump while the machine runs."""

    def now(self) -> datetime: ...

    def step(self) -> ClockStep | None:
        """A jump of the system's wall clock since the last call, if it was over five seconds."""
        ...


class Signer(Protocol):
    """Signs checkpoints. `key_name` is the C2SP signed-note key name."""

    key_name: str
    public_key: bytes

    def sign(self, message: bytes) -> bytes: ...
