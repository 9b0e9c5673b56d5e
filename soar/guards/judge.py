"""May this action run? Every guard is asked, and every finding is reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from soar.guards import approval, blocks, evidence, limits, protection, sharing
from soar.guards.case import Case, Finding, Judgement
from soar.guards.policy import Policy

Guard = Callable[[Case, Policy], Sequence[Finding]]

GUARDS: tuple[Guard, ...] = (
    limits.kill_switch,
    protection.resolved,
    protection.hard,
    protection.protected,
    protection.configured,
    blocks.never_block,
    blocks.verdict,
    limits.caps,
    limits.freeze,
    evidence.evidence,
    sharing.sharing,
    approval.approved,
)


def judge(case: Case, policy: Policy) -> Judgement:
    """Ask every guard; the case runs only where all of them pass. Touches nothing."""
    return Judgement(tuple(finding for guard in GUARDS for finding in guard(case, policy)))
