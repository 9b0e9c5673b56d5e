"""Who may do what: roles, permissions, and the one question `authorize(actor, permission)`.

A permission names an effect (`run.start`, `approval.vote`), never a page. Roles are sets of
permissions. A service identity (a SIEM, an automation) has only what its key says, and can never
vote: approvals count persons.
"""

from __future__ import annotations

from soar.errors import Forbidden
from soar.model import Actor

READ = frozenset({"incident.read", "run.read", "action.read", "approval.read", "playbook.read", "timeline.read"})
_CONTROL = {"run.plan", "run.start", "run.pause", "run.retry", "run.cancel"}
_ANALYST = READ | _CONTROL | {"incident.edit", "task.answer", "evidence.list"}
_RESPONDER = _ANALYST | {
    "approval.vote",
    "action.release",
    "action.renew",
    "action.resolve",
    "incident.close",
    "disposition.set",
    "run.skip",
}

ROLES: dict[str, frozenset[str]] = {
    "viewer": READ,
    "analyst": _ANALYST,
    "responder": _RESPONDER,
    "approver": READ | {"approval.vote"},
    "forensic": READ | {"evidence.list", "evidence.read", "package.create", "package.read", "audit.read"},
    "auditor": READ | {"evidence.list", "audit.read", "person.read"},
    "admin": READ
    | {
        "person.read",
        "person.edit",
        "key.issue",
        "switch.set",
        "playbook.edit",
        "audit.read",
        "adapter.read",
        "drill.start",
    },
    "source": frozenset({"alert.post"}),
}
"""Role -> permissions. `asset_owner` and other names may be granted too: they matter to approvals only.

A package holds raw evidence, so `package.read` stands only beside `evidence.read`.
"""

APPROVAL_ROLES = frozenset({"asset_owner", "commander", "counsel"})
"""Roles without permissions of their own beyond voting, asked for by name in approvals."""
for _role in APPROVAL_ROLES:
    ROLES[_role] = ROLES["approver"]

PERMISSIONS = frozenset().union(*ROLES.values())


def permissions(actor: Actor) -> frozenset[str]:
    """Everything this actor may do."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in actor.roles))


def authorize(actor: Actor, permission: str) -> None:
    """Raises Forbidden unless one of the actor's roles carries the permission."""
    if permission not in PERMISSIONS:
        raise Forbidden(f"no role carries {permission!r}")
    if permission not in permissions(actor):
        needed = ", ".join(sorted(role for role, may in ROLES.items() if permission in may))
        raise Forbidden(f"{permission} needs one of these roles: {needed}")
    if permission == "approval.vote" and actor.kind != "person":
        raise Forbidden("approvals are given by persons; this key belongs to a service")
