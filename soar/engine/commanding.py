"""From a step to its actions, be they of our verbs or CACAO commands: each command at each target (section 4.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from soar.engine import filling, planning, routes
from soar.engine.parts import Parts
from soar.engine.planning import Planned, StepPlan
from soar.errors import Invalid, NotFound, Problem
from soar.model import EntityKind, Target
from soar.playbook.commands import COMMAND_VERBS, LOOKS_AT, MANUAL
from soar.playbook.model import ActionStep, Playbook, Soar, Step
from soar.store.tables import evidence_items
from soar.strict_text import shown

_ADDRESSES = ("url", "dname", "ipv4", "ipv6", "l2mac", "vlan")
"""The kinds of address in the order in which one is chosen (section 7.6)."""
MOST_ITEMS = 1000
"""How many items of evidence one command searches."""
_SECRETS = ("password", "token", "private_key", "oauth_header")


def by_command(step: Step) -> bool:
    """The step acts by CACAO commands, not by a verb or an undo of ours."""
    acts = isinstance(step, ActionStep) and routes.kind_of(step) == "action"
    return acts and not (step.soar and step.soar.verb)


def plan_step(
    parts: Parts, conn: sa.Connection, incident_id: str, run_id: str | None, playbook: Playbook, step: Step,
    variables: Mapping[str, Any],
) -> StepPlan:  # fmt: skip
    """What a step would do, given the variables that are known. Raises Invalid and NotFound, with the reason."""
    if isinstance(step, ActionStep) and by_command(step):
        return plan_commands(parts, playbook, step, variables, _collected(conn, incident_id, step))
    return planning.plan_step(parts, conn, incident_id, run_id, step.soar or Soar(), variables)


def plan_commands(
    parts: Parts, playbook: Playbook, step: ActionStep, variables: Mapping[str, Any],
    evidence: Mapping[str, Sequence[str]],
) -> StepPlan:  # fmt: skip
    """What the step would do; `evidence` holds the items that each type of command would search.

    Raises Invalid for what is not defined or has no value, NotFound without an adapter.
    """
    agent = _defined(playbook.agent_definitions, step.agent, "agent", step)
    named = [_defined(playbook.target_definitions, each, "target", step) for each in step.targets] or [agent]
    targets = [_endpoint(playbook, each, variables) for each in named]
    planned = [
        _planned(parts, step, filling.fill(command, variables), _endpoint(playbook, agent, variables), target, evidence)
        for command in step.commands
        for target in targets
    ]
    return StepPlan(actions=tuple(planned))


def _planned(
    parts: Parts, step: ActionStep, command: dict[str, Any], agent: dict[str, Any], target: dict[str, Any],
    evidence: Mapping[str, Sequence[str]],
) -> Planned:  # fmt: skip
    kind = command["type"]
    if kind == MANUAL:
        raise _refused("mixed_commands", f"{step.label} mixes manual commands with others; split the step")
    if kind not in COMMAND_VERBS:
        raise _refused("unknown_command", f"{step.label}: nothing here carries out a command of type {shown(kind)}")
    verb = COMMAND_VERBS[kind]
    try:
        adapter = parts.adapter_for(verb).name
    except NotFound:
        message = f"{step.label}: no connected system carries out a command of type {kind}; configure one"
        raise NotFound(message) from None
    place = _host(target) or str(target.get("name") or kind)
    searched = {"evidence": list(evidence[kind])} if kind in evidence else {}
    return Planned(
        verb=verb, target=Target(kind=EntityKind.SERVICE, id=place), target_name=str(target.get("name") or place),
        adapter=adapter, params={"target": place, "command": command, "agent": agent, "endpoint": target, **searched},
        lease=0, review=0,
    )  # fmt: skip


def _collected(conn: sa.Connection, incident_id: str, step: ActionStep) -> dict[str, list[str]]:
    """The items of the incident's evidence, oldest first, that each type of command of this step would search."""
    types = {str(command["type"]) for command in step.commands}
    return {kind: _items(conn, incident_id, classes, step) for kind, classes in LOOKS_AT.items() if kind in types}


def _items(conn: sa.Connection, incident_id: str, classes: frozenset[str], step: ActionStep) -> list[str]:
    wanted = sa.select(evidence_items.c.id).where(evidence_items.c.incident_id == incident_id)
    if classes:
        wanted = wanted.where(evidence_items.c.evidence_class.in_(sorted(classes)))
    found = list(conn.execute(wanted.order_by(evidence_items.c.id).limit(MOST_ITEMS + 1)).scalars())
    if len(found) > MOST_ITEMS:
        raise _refused("too_much_evidence", f"{step.label}: the incident holds more than {MOST_ITEMS} items to search")
    return found


def _defined(definitions: Mapping[str, Any], key: str, what: str, step: ActionStep) -> Mapping[str, Any]:
    if not isinstance(definitions.get(key), Mapping):
        raise _refused(f"undefined_{what}", f"{step.label}: {what} {shown(key)} is not defined")
    found: Mapping[str, Any] = definitions[key]
    return found


def _endpoint(playbook: Playbook, defined: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """An agent or target with its variables filled in, and with the name of its secret instead of any secret."""
    found: dict[str, Any] = filling.texts(
        {name: value for name, value in defined.items() if name != "authentication_info"}, variables, filling.as_it_is
    )
    key = defined.get("authentication_info")
    if key:
        known = playbook.authentication_info_definitions.get(key)
        if not isinstance(known, Mapping):
            raise _refused("undefined_authentication", f"authentication {shown(str(key))} is not defined")
        found["authentication"] = _authentication(known)
    return found


def _authentication(known: Mapping[str, Any]) -> dict[str, Any]:
    """Who logs in, and the name under which the key store knows the secret (section 6.2: kms, kms_key_identifier)."""
    if not known.get("kms") and any(known.get(name) for name in _SECRETS):
        raise _refused("literal_secret", "a playbook holds a secret itself; name one of the key store (kms: true)")
    said = {name: known[name] for name in ("type", "username", "user_id") if known.get(name)}
    return {**said, "secret": str(known.get("kms_key_identifier", ""))}


def _host(endpoint: Mapping[str, Any]) -> str:
    """The host as the guards know hosts, by name or address, whatever scheme, port and path stand around it."""
    given = next(_addresses(endpoint.get("address")), "")
    return urlsplit(given).hostname or "" if "://" in given else given


def _addresses(address: Any) -> Iterator[str]:
    for kind in _ADDRESSES:
        of_kind = address.get(kind) if isinstance(address, Mapping) else None
        yield from (str(each) for each in (of_kind if isinstance(of_kind, list) else [of_kind]) if each)


def _refused(code: str, message: str) -> Invalid:
    return Invalid(message, [Problem(code=code, message=message)])
