"""What leaves the house: never more than the playbook's marking allows (CACAO 2.0 section 8, TLP 2.0)."""

from __future__ import annotations

from soar.guards.case import Case, Finding
from soar.guards.policy import Policy
from soar.playbook.trust import markings

_STAYS = [Finding("sharing", "pass", "nothing leaves the house that may not")]


def sharing(case: Case, policy: Policy) -> list[Finding]:
    """Hard: where the call goes is bound to a milder level than the playbook's, or shares at one. Never of an undo."""
    if case.reverts:
        return _STAYS
    said = markings.refusal(
        case.verb.name, case.params, case.marking, adapter_ceiling=policy.sharing.ceilings.get(case.adapter),
        teams_ceiling=policy.sharing.highest, outside_teams=policy.sharing.outside_teams,
    )  # fmt: skip
    return [Finding("sharing", "refuse", said, hard=True)] if said else _STAYS
