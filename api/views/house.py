"""The house itself on the wire: health, persons, keys, switches, adapters, playbooks, audit."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.views.base import In, Out, ProblemItem, Time, Words

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@'-]{0,63}$")]


class Health(Out):
    """Whether the house answers, what it stands on, and which nodes share its database (0: it works alone)."""

    status: str
    version: str
    roles: list[str]
    database: str
    broker: str
    serving: int
    working: int


class Me(Out):
    """Who the key speaks for, and what that one may do."""

    kind: str
    id: str
    name: str
    roles: list[str]
    permissions: list[str]


class Key(Out):
    """A key, without its secret."""

    id: str
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None


class Person(Out):
    """A person with roles and keys."""

    id: str
    name: str
    active: bool
    roles: list[str]
    keys: list[Key]


class NewPerson(In):
    """A person to add."""

    name: Name
    roles: Annotated[list[str], Field(max_length=20)]


class ChangedPerson(In):
    """A person as they are to be: kept out when not active, and exactly these roles."""

    active: bool
    roles: Annotated[list[str], Field(max_length=20)]


class NewKey(In):
    """How many days a key is good for; without, until it is revoked."""

    days: Annotated[int, Field(ge=1, le=3650)] | None = None


class IssuedKey(Key):
    """A new key. `key` is shown this once."""

    key: str


class Switch(Out):
    """A kill switch that is on: `*`, `adapter:NAME` or `verb:NAME`."""

    name: str
    set_by: str
    reason: str
    set_at: Time


class SetSwitch(In):
    """Why everything (of this kind) must stop."""

    reason: Words


class AdapterRow(Out):
    """A connected system: what it can do, and what is wrong with it now."""

    name: str
    kind: str
    verbs: dict[str, str]
    problems: list[ProblemItem]


class Failure(Out):
    """A module that could not be used."""

    module: str
    reason: str


class Adapters(Out):
    """Connected systems, and modules that failed to load."""

    adapters: list[AdapterRow]
    failures: list[Failure]


class PlaybookLine(Out):
    """A playbook in its newest version; `reasons` say why no new run of it may begin, `signers` whose word it has."""

    slug: str
    name: str
    playbook_id: str
    digest: str
    loaded_at: Time
    may_run: bool
    reasons: list[str]
    signers: list[str]


class PlaybookView(PlaybookLine):
    """A playbook with its CACAO 2.0 document."""

    document: dict[str, Any]


class CheckpointView(Out):
    """The newest signed note over the log, and the key that verifies it. `note` is null before the first."""

    note: str | None
    size: int
    verifier_key: str


class Audit(Out):
    """What a check of every stream and of the whole log found; no problems means nothing was changed."""

    streams: int
    events: int
    size: int
    problems: list[ProblemItem]
