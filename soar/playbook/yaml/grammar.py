"""The grammar of playbooks in YAML as tables: which keys there are, and what may stand behind each.

The reader and the JSON Schema for editors are both made from these tables, so that neither can know
a key, a word or a bound that the other does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from soar.access import ROLES
from soar.phases import Phase
from soar.playbook.checks.check_steps import MOST_TURNS
from soar.playbook.vocabulary import CACAO_TYPES, PLAYBOOK_ACTIVITIES, PLAYBOOK_TYPES, VARIABLE_TYPES
from soar.release import Reason

Kind = Literal[
    "text", "slug", "time", "milliseconds", "seconds", "length", "flag", "number", "word", "words", "texts",
    "reference", "condition", "dict", "list", "any", "object", "objects", "types", "verb", "steps", "branches", "cases",
    "command", "undo", "named", "handlers",
]  # fmt: skip
"""`length` is a duration or a reference; `word` and `words` are from `words`, `texts` are free ones; `object` has the
keys of `parts`, `objects` is a list and `named` a mapping of such; `list` holds mappings with any keys; `types` maps
names to types."""


@dataclass(frozen=True, slots=True)
class Part:
    """What may stand behind a key. `doc` is what an editor shows, in one short sentence."""

    kind: Kind
    doc: str
    words: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    parts: Mapping[str, Part] = field(default_factory=dict)
    need: bool = False


ON_TIMEOUT = ("escalate", "deny", "go_on")
"""What happens when nobody answers in time."""
MOST_ATTEMPTS = 10
MOST_PERSONS = 10
VOTERS = tuple(name for name, may in ROLES.items() if "approval.vote" in may)

APPROVAL: Mapping[str, Part] = {
    "any_of": Part("texts", "Roles of which somebody must agree.", words=VOTERS, need=True),
    "persons": Part("number", "How many persons.", least=1, most=MOST_PERSONS),
    "within": Part("seconds", "How long they have.", need=True),
    "on_timeout": Part("word", "What silence means.", words=ON_TIMEOUT, need=True),
}
RETRY: Mapping[str, Part] = {
    "max": Part("number", "Attempts in all.", least=2, most=MOST_ATTEMPTS, need=True),
    "backoff": Part("seconds", "The pause before the second attempt; it doubles."),
}
_VARIABLE: Mapping[str, Part] = {
    "type": Part("word", "What kind of value it is.", words=(*VARIABLE_TYPES, *CACAO_TYPES), need=True),
    "default": Part("any", "Its value where nothing else gives one."),
    "description": Part("text", "What it is for."),
    "constant": Part("flag", "Its value never changes."),
    "external": Part("flag", "Its value comes from outside."),
}
VARIABLE: Mapping[str, Part] = {
    **_VARIABLE,
    "from": Part("text", "A path into alert, incident or scope, as in scope.hosts.affected."),
    "required": Part("flag", "No run begins without a value."),
}
STEP_VARIABLE: Mapping[str, Part] = _VARIABLE
TRIGGER: Mapping[str, Part] = {
    "when": Part("condition", "A condition over alert:, incident: and scope:.", need=True),
    "start": Part("word", "Whether it then starts by itself.", words=("automatic", "propose")),
    "rerun": Part("word", "Whether it may run again.", words=("never", "on_new_entity")),
}
SCHEDULE: Mapping[str, Part] = {
    "cron": Part("text", "Minute, hour, day, month, weekday, as in 0 3 * * 1.", need=True),
    "timezone": Part("text", "Where the clock stands, as in Europe/Vienna; UTC where it is not said."),
    "inputs": Part("dict", "Values of the run's variables."),
}

STEP: Mapping[str, Part] = {
    "id": Part("slug", "A short name, by which other steps speak of this one."),
    "name": Part("text", "What people call it."),
    "description": Part("text", "Why it is done."),
    "do": Part("verb", "A verb of the vocabulary.", need=True),
    "for_each": Part("reference", "A list; one action for each element."),
    "as": Part("slug", "The name of the element."),
    "with": Part("dict", "The verb's parameters."),
    "lease": Part("seconds", "When the effect ends by itself."),
    "review": Part("seconds", "When its owner is asked whether it shall go on."),
    "for": Part("length", "How long to watch."),
    "manual": Part("text", "A question to a person.", need=True),
    "outputs": Part("types", "What the person answers: names and types.", words=VARIABLE_TYPES),
    "within": Part("seconds", "How long the person has."),
    "on_timeout": Part("word", "What silence means.", words=ON_TIMEOUT),
    "undo": Part("undo", "The steps to take back.", need=True),
    "reason": Part("word", "Why they are taken back.", words=tuple(map(str, Reason))),
    "if": Part("condition", "Which way it goes.", need=True),
    "then": Part("steps", "What is done where the condition holds.", need=True),
    "else": Part("steps", "What is done where it does not."),
    "parallel": Part("branches", "Branches that run at the same time.", need=True),
    "together": Part("flag", "Every guard and approval passes before the first call."),
    "while": Part("condition", "Again while this holds.", need=True),
    "max": Part("number", "At most so many turns.", least=1, most=MOST_TURNS, need=True),
    "steps": Part("steps", "What is done in each turn.", need=True),
    "switch": Part("reference", "The variable or output to look at.", need=True),
    "cases": Part("cases", "What is done for each value.", need=True),
    "default": Part("steps", "What is done for any other value."),
    "playbook": Part("text", "The short name of another playbook, or its CACAO id.", need=True),
    "version": Part("time", "Its `modified`; without it the newest one."),
    "in": Part("texts", "Names of variables that it is given."),
    "out": Part("texts", "Names of variables that it, or the command, gives back."),
    "command": Part("command", "A CACAO command, or a list of them, in order.", need=True),
    "agent": Part("text", "Who carries it out: a name from `agents`."),
    "targets": Part("texts", "What it is done to: names from `targets`."),
    "approval": Part("object", "Who must agree first.", parts=APPROVAL),
    "retry": Part("object", "More attempts after a known failure.", parts=RETRY),
    "partial": Part("word", "Go on when some targets failed.", words=("ok",)),
    "delay": Part("milliseconds", "A wait before it begins."),
    "timeout": Part("milliseconds", "How long one attempt may take."),
    "on_failure": Part("text", "The handler that a failure goes to."),
    "continue_on_failure": Part("flag", "Go on as if nothing had happened."),
    "phase": Part("word", "The phase of the incident that it belongs to.", words=tuple(map(str, Phase))),
    "owner": Part("text", "The STIX identity that is responsible."),
    "external_references": Part("list", "References of CACAO's."),
    "variables": Part("named", "Variables of this step and of what stands in it.", parts=STEP_VARIABLE),
}
"""Every key of a step, whatever its form, in the order in which they are written."""

ALL = frozenset({
    "id", "name", "description", "delay", "timeout", "on_failure", "continue_on_failure", "phase", "owner",
    "external_references", "variables",
})  # fmt: skip
"""Keys that each form has."""

FORMS: Mapping[str, tuple[str, frozenset[str]]] = {
    "do": (
        "action",
        ALL | {"do", "with", "for_each", "as", "approval", "lease", "review", "for", "retry", "partial"},
    ),
    "manual": ("action", ALL | {"manual", "outputs", "within", "on_timeout"}),
    "undo": ("action", ALL | {"undo", "reason", "approval", "retry", "partial"}),
    "if": ("if-condition", ALL | {"if", "then", "else"}),
    "parallel": ("parallel", ALL | {"parallel", "together", "approval"}),
    "while": ("while-condition", ALL | {"while", "max", "steps"}),
    "switch": ("switch-condition", ALL | {"switch", "cases", "default"}),
    "playbook": ("playbook-action", ALL | {"playbook", "version", "in", "out"}),
    "command": ("action", ALL | {"command", "agent", "targets", "in", "out", "approval", "retry", "partial"}),
}
"""Each form of a step: the type of CACAO step that it becomes, and the keys that it may have."""

_IDS = "CACAO ids."
TOP: Mapping[str, Part] = {
    "id": Part("slug", "The short name of the playbook.", need=True),
    "name": Part("text", "What people call it."),
    "description": Part("text", "What it is for."),
    "created": Part("time", "When it was first made, in UTC with milliseconds."),
    "modified": Part("time", "When this version was made."),
    "created_by": Part("text", "The STIX identity of its author."),
    "revoked": Part("flag", "It is not to be used any more."),
    "valid_from": Part("time", "No run begins before."),
    "valid_until": Part("time", "No run begins after."),
    "derived_from": Part("texts", f"The playbooks that it was made from: {_IDS}"),
    "related_to": Part("texts", f"Other playbooks that belong to it: {_IDS}"),
    "types": Part("words", "What it is about, in CACAO's words.", words=PLAYBOOK_TYPES),
    "activities": Part("texts", "What it does beside what its commands say.", words=PLAYBOOK_ACTIVITIES),
    "priority": Part("number", "1 is the highest; 0 is undefined.", most=100),
    "severity": Part("number", "100 is the highest; 0 is undefined.", most=100),
    "impact": Part("number", "100 is the highest; 0 is undefined.", most=100),
    "industry_sectors": Part("texts", "Sectors that it is for, in CACAO's words."),
    "labels": Part("texts", "Words to find it by."),
    "external_references": Part("list", "References of CACAO's."),
    "markings": Part("texts", "Ids of the marking definitions that hold for all of it."),
    "marking_definitions": Part("dict", "Marking definitions of CACAO's by their ids."),
    "triggers": Part("objects", "When it fits.", parts=TRIGGER),
    "schedules": Part("objects", "When it begins by the clock.", parts=SCHEDULE),
    "urgency": Part("word", "Whether to contain before evidence is collected.", words=("immediate", "normal")),
    "variables": Part("named", "What it works on.", parts=VARIABLE),
    "agents": Part("dict", "Who carries commands out: agents of CACAO's by name."),
    "targets": Part("dict", "What commands are done to: targets of CACAO's by name."),
    "authentication": Part("dict", "How they are reached; secrets by name only (`secret: NAME`)."),
    "steps": Part("steps", "What is done, one after the other.", need=True),
    "handlers": Part("handlers", "Named lists of steps for failures."),
    "on_exception": Part("text", "The handler for a failure that nobody handled."),
}
"""Every key of a playbook, in the order in which they are written."""
