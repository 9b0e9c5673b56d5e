"""Evidence before what destroys it, and containment first where harm is running."""

from __future__ import annotations

from soar.guards.approval import granted
from soar.guards.case import Case, Finding, Word
from soar.guards.policy import Policy
from soar.phases import Phase
from soar.verbs import Risk


def evidence(case: Case, policy: Policy) -> list[Finding]:
    """What the verb destroys must be collected first, or its time box spent.

    An urgent containment goes first and owes the collection. A destructive verb (kill, delete,
    wipe, rebuild) goes on without evidence only where an approval names that.
    """
    missing = case.verb.destroys - case.collected if case.acts else frozenset()
    if not missing:
        return [_found("pass", f"{case.verb.name} destroys nothing that is not collected")]
    what = f"{case.verb.name} destroys {', '.join(sorted(missing))} on {case.target}"
    destructive = case.verb.risk is Risk.DESTRUCTIVE
    if destructive and case.approved_skip_evidence and granted(case):
        return [_found("pass", f"{what}; an approval lets it go on without")]
    if not destructive and case.urgency == "immediate" and case.verb.phase is Phase.CONTAINMENT:
        ground = case.ground or "urgency immediate"
        return [_found("pass", f"{what}; contained first because of {ground}, collected at once after", missing)]
    if not _box_spent(case, policy):
        return [_found("wait", f"{what}; collect it first", missing)]
    box = f"the time box of {policy.evidence_box:g} s is spent"
    if destructive:
        return [_found("ask", f"{what}; {box}, but only an approval that names the loss lets it go on", missing)]
    return [_found("pass", f"{what}; {box}, so it goes on without")]


def _box_spent(case: Case, policy: Policy) -> bool:
    return case.box_started is not None and (case.now - case.box_started).total_seconds() >= policy.evidence_box


def _found(verdict: Word, reason: str, missing: frozenset[str] = frozenset()) -> Finding:
    return Finding("evidence", verdict, reason, hard=True, evidence=missing)
