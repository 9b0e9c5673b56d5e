"""Playbooks as values: CACAO Security Playbooks 2.0 (Committee Specification 01), with its names.

A playbook is a dictionary of steps that point at one another. What CACAO has no word for (verbs,
leases, approvals, loops over targets) stands in our step extension, the dataclass `Soar`. A pointer
that is not set is the empty text. `delay` and `timeout` are milliseconds as CACAO has them; times of
our own are seconds.

A document comes back exactly as it was read. So every object has `kept`: the properties for which the
model has no other place. These are custom ones, which CACAO allows, and those that say what their
absence says (`revoked: false`). Objects that the engine hands on as they are (commands, agents,
targets, markings, signatures) are plain mappings.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import rfc8785

from soar.playbook.document import AUTHOR, EXTENSION, EXTENSION_DEFINITION, NAMESPACE, to_document
from soar.playbook.durations import Seconds

DEFAULT_TURNS = 100
"""How often a loop turns at most that sets no bound itself (only foreign playbooks may)."""
EPOCH = "1970-01-01T00:00:00.000Z"
"""When a playbook was made that does not say when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who must agree: `persons` of those with one of the roles `any_of`, within so many seconds."""

    any_of: tuple[str, ...] = ()
    persons: int = 1
    within: Seconds = 0
    on_timeout: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """At most `max` attempts, the first one included; `backoff` seconds before the second, doubling then."""

    max: int
    backoff: Seconds = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soar:
    """Our step extension. Every part is optional; which ones belong together the checker knows.

    `path` is the step's place in words (`contain/0/isolate`). `with_` is a template with `$x` as it
    was written. `for_` is how long to watch: seconds, or a reference. `ends` is "failed" on the end
    of a handler that does not continue.
    """

    slug: str = ""
    path: str = ""
    verb: str = ""
    with_: Mapping[str, Any] = field(default_factory=dict, metadata={"key": "with"})
    for_each: str = ""
    as_: str = field(default="", metadata={"key": "loop_variable"})
    lease: Seconds = 0
    review: Seconds = 0
    for_: Seconds | str = field(default=0, metadata={"key": "for"})
    approval: Approval | None = None
    retry: Retry | None = None
    partial_ok: bool = False
    together: bool = False
    undo: tuple[str, ...] = ()
    reason: str = ""
    manual: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    within: Seconds = 0
    on_timeout: str = ""
    continue_on_failure: bool = False
    phase: str = ""
    max: int = 0
    ends: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have (section 4.1). `soar` is our extension, `step_extensions` are foreign ones."""

    type: ClassVar[str] = ""

    id: str = field(metadata={"inside": False})
    name: str = ""
    description: str = ""
    external_references: tuple[Mapping[str, Any], ...] = ()
    delay: int = 0
    timeout: int = 0
    step_variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    owner: str = ""
    on_completion: str = ""
    on_success: str = ""
    on_failure: str = ""
    soar: Soar | None = field(default=None, metadata={"inside": False})
    step_extensions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict, metadata={"inside": False})

    @property
    def heads(self) -> tuple[str, ...]:
        """The first steps of the branches that this step can open, in order."""
        return ()

    @property
    def following(self) -> tuple[str, ...]:
        """The steps that may come next in the same branch."""
        return tuple(filter(None, (self.on_completion, self.on_success, self.on_failure)))

    @property
    def label(self) -> str:
        """What people call this step."""
        return (self.soar.path if self.soar else "") or self.name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStep(Step):
    """Where the playbook begins (section 4.3)."""

    type: ClassVar[str] = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStep(Step):
    """Ends the playbook, or returns to the step that opened the branch (section 4.4)."""

    type: ClassVar[str] = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStep(Step):
    """Commands, an agent that carries them out, targets (section 4.5)."""

    type: ClassVar[str] = "action"

    commands: tuple[Mapping[str, Any], ...]
    agent: str = ""
    targets: tuple[str, ...] = ()
    in_args: tuple[str, ...] = ()
    out_args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookActionStep(Step):
    """Another playbook as a step (section 4.6)."""

    type: ClassVar[str] = "playbook-action"

    playbook_id: str
    playbook_version: str = ""
    in_args: tuple[str, ...] = ()
    out_args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelStep(Step):
    """Branches that run at the same time (section 4.7)."""

    type: ClassVar[str] = "parallel"

    next_steps: tuple[str, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        return self.next_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class IfStep(Step):
    """One branch or the other (section 4.8)."""

    type: ClassVar[str] = "if-condition"

    condition: str
    on_true: str
    on_false: str = ""

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.on_true, self.on_false)))


@dataclass(frozen=True, slots=True, kw_only=True)
class WhileStep(Step):
    """A branch again and again while the condition holds (section 4.9); `Soar.max` bounds the turns."""

    type: ClassVar[str] = "while-condition"

    condition: str
    on_true: str

    @property
    def heads(self) -> tuple[str, ...]:
        return (self.on_true,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchStep(Step):
    """The branch whose case equals a variable, else the case `default` (section 4.10)."""

    type: ClassVar[str] = "switch-condition"

    switch: str
    cases: Mapping[str, str]

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(self.cases[name] for name in sorted(self.cases))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a playbook. `from_` is a dotted path into the incident's facts.

    `type` is str, int, bool, duration, list, dict or any, or a word of CACAO's for which we have none
    (ipv4-addr, float and so on); foreign playbooks may bring others. `default` is a value of the type.
    """

    type: str
    description: str = ""
    default: Any = None
    constant: bool = False
    external: bool = False
    from_: str = ""
    required: bool = False
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """When a playbook fits, whether it then starts by itself, and whether it may run again."""

    when: str
    start: Literal["automatic", "propose"] = "propose"
    rerun: Literal["never", "on_new_entity"] = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a playbook begins by the clock: five fields of cron, read in a time zone, and the run's inputs."""

    cron: str
    timezone: str = "UTC"
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A whole playbook (section 3.1). `slug`, `urgency`, `triggers` and `schedules` are our playbook extension."""

    id: str
    name: str
    workflow_start: str
    workflow: Mapping[str, Step] = field(metadata={"inside": False})
    description: str = ""
    created_by: str
    created: str
    modified: str
    revoked: bool = False
    valid_from: str = ""
    valid_until: str = ""
    derived_from: tuple[str, ...] = ()
    related_to: tuple[str, ...] = ()
    priority: int = 0
    severity: int = 0
    impact: int = 0
    playbook_types: tuple[str, ...] = ()
    playbook_activities: tuple[str, ...] = ()
    playbook_processing_summary: Mapping[str, bool] = field(default_factory=dict)
    industry_sectors: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    external_references: tuple[Mapping[str, Any], ...] = ()
    workflow_exception: str = ""
    variables: Mapping[str, Variable] = field(default_factory=dict, metadata={"inside": False})
    authentication_info_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    agent_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    target_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extension_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data_marking_definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    markings: tuple[str, ...] = ()
    playbook_extensions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    signatures: tuple[Mapping[str, Any], ...] = ()
    slug: str = field(default="", metadata={"inside": False})
    urgency: str = field(default="", metadata={"inside": False})
    triggers: tuple[Trigger, ...] = field(default=(), metadata={"inside": False})
    schedules: tuple[Schedule, ...] = field(default=(), metadata={"inside": False})
    kept: Mapping[str, Any] = field(default_factory=dict, metadata={"inside": False})

    @property
    def known_as(self) -> str:
        """Its short name; a playbook of others has none, and is known by its id."""
        return self.slug or self.id

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON (RFC 8785) of its CACAO document, in hex."""
        return hashlib.sha256(rfc8785.dumps(to_document(self))).hexdigest()


def playbook_id(slug: str) -> str:
    """The CACAO id of the playbook with this short name."""
    return f"playbook--{uuid.uuid5(NAMESPACE, slug)}"


def made_id(kind: str, playbook: str, path: str) -> str:
    """The id of a part of a playbook: UUIDv5 of the playbook's UUID and the part's path."""
    return f"{kind}--{uuid.uuid5(uuid.UUID(playbook.partition('--')[2]), path)}"


def one_step(slug: str, name: str, soar: Soar, *, urgency: str = "") -> Playbook:
    """A playbook of a single action: what a person asks for outside of any playbook."""
    own = playbook_id(slug)
    path = soar.path or soar.slug or "step"
    start, step, end = (made_id(kind, own, at) for kind, at in (("start", ""), ("action", path), ("end", "")))
    agent = made_id("security-category", own, "agent/orchestrator")
    said = soar.manual or soar.verb or f"undo {', '.join(soar.undo)}"
    action = ActionStep(
        id=step, name=name, on_success=end, commands=({"type": "manual", "command": said},), agent=agent,
        soar=replace(soar, path=path),
    )  # fmt: skip
    return Playbook(
        id=own, name=name, slug=slug, urgency=urgency, created_by=AUTHOR, created=EPOCH, modified=EPOCH,
        workflow_start=start,
        workflow={start: StartStep(id=start, on_completion=step), step: action, end: EndStep(id=end)},
        agent_definitions={agent: {"type": "security-category", "name": "orchestrator", "category": ["orchestrator"]}},
        extension_definitions={EXTENSION: EXTENSION_DEFINITION},
    )  # fmt: skip
