"""Words of CACAO 2.0 that a playbook needs beside its steps, and what our verbs are in these words."""

from __future__ import annotations

from collections.abc import Mapping

from soar.model import EntityKind
from soar.phases import Phase
from soar.verbs import VERBS, Verb

PLAYBOOK_TYPES = (
    "attack", "detection", "engagement", "investigation", "mitigation", "notification", "prevention", "remediation",
)  # fmt: skip
"""Vocabulary playbook-type-ov (section 3.1.1)."""

PLAYBOOK_ACTIVITIES = (
    "analyze-collected-data", "analyze-engagement-results", "compose-content", "configure-systems", "deliver-content",
    "disconnect-system", "eliminate-risk", "execute-operation", "identify-audience", "identify-channel",
    "identify-indicators", "identify-steps", "map-network", "match-indicator", "prepare-engagement",
    "restore-capabilities", "restore-data", "restrict-access", "revert-system", "scan-system", "scan-vulnerabilities",
    "step-sequence",
)  # fmt: skip
"""Vocabulary playbook-activity-type-ov (section 3.1.2)."""

VARIABLE_TYPES = ("str", "int", "bool", "duration", "list", "dict", "any")
"""Types of our variables and outputs, as verbs declare them."""

CACAO_TYPES = (
    "float", "hash", "hexstring", "ipv4-addr", "ipv6-addr", "long", "mac-addr", "md5-hash", "sha256-hash", "uri",
    "uuid",
)  # fmt: skip
"""Types of variables that only CACAO has a word for (variable-type-ov, section 10.18.4)."""

_CACAO_TYPES = {"str": "string", "int": "integer", "dict": "dictionary"}
_OUR_TYPES = {cacao: ours for ours, cacao in _CACAO_TYPES.items()}

_CATEGORIES: dict[EntityKind, str] = {
    EntityKind.HOST: "endpoint",
    EntityKind.ACCOUNT: "aaa",
    EntityKind.KEY: "aaa",
    EntityKind.MAILBOX: "content-gateway",
    EntityKind.SERVICE: "server",
    EntityKind.OBSERVABLE: "firewall",
    EntityKind.INCIDENT: "orchestrator",
    EntityKind.TEAM: "ticketing",
}
_ACTIVITIES: dict[str, str] = {
    "isolate_host": "disconnect-system",
    "segment_network": "disconnect-system",
    "scan": "scan-system",
    "look_up": "identify-indicators",
    "restore_backup": "restore-data",
    "notify": "deliver-content",
    "open_ticket": "deliver-content",
    "update_ticket": "deliver-content",
    "share_intel": "deliver-content",
}
_BY_PHASE: dict[Phase, str] = {
    Phase.PREPARATION: "configure-systems",
    Phase.DETECTION: "analyze-collected-data",
    Phase.CONTAINMENT: "restrict-access",
    Phase.ERADICATION: "eliminate-risk",
    Phase.RECOVERY: "restore-capabilities",
    Phase.POST_INCIDENT: "analyze-collected-data",
}


def cacao_type(ours: str) -> str:
    """Our word for a variable's type in the vocabulary variable-type-ov (section 10.18.4)."""
    return _CACAO_TYPES.get(ours, ours)


def our_type(cacao: str) -> str:
    """The reverse of cacao_type; unknown words stay."""
    return _OUR_TYPES.get(cacao, cacao)


def cacao_name(name: str) -> str:
    """The name of a variable as CACAO writes it, `__name__`; one that is written so already stays."""
    return name if len(name) > 4 and name.startswith("__") and name.endswith("__") else f"__{name}__"


def bare_name(name: str) -> str:
    """The reverse of cacao_name; also of `__name__:value`, as a reference to it is written."""
    return cacao_name(name.removesuffix(":value"))[2:-2]


def category(verb: Verb) -> str:
    """What kind of equipment carries a verb out (security-category-type-ov, section 7.11.1)."""
    return _CATEGORIES[verb.target_kind]


def activity(verb: Verb) -> str:
    """The playbook activity that a verb is (playbook-activity-type-ov, section 3.1.2)."""
    if verb.undoes:
        return "revert-system"
    return _ACTIVITIES.get(verb.name) or _BY_PHASE[verb.phase]


def outputs_of(verb: str, manual: Mapping[str, str]) -> Mapping[str, str]:
    """Names and types of what a step leaves behind: the verb's outputs, or those a manual step declares."""
    if verb in VERBS:
        return {name: field.type for name, field in VERBS[verb].outputs.items()}
    return manual
