"""Limits that hold for every target: kill switch, caps, change freeze, and canaries before the rest."""

from __future__ import annotations

from collections.abc import Sequence

from soar.guards.approval import settle
from soar.guards.case import Case, Finding, soft
from soar.guards.policy import Policy
from soar.verbs import Verb

_NO_SWITCH = (Finding("kill_switch", "pass", "no kill switch is on", hard=True),)
_UNCAPPED = (Finding("caps", "pass", "an undo is not capped"),)
_WITHIN = (Finding("caps", "pass", "within the caps"),)
_NO_FREEZE = (Finding("freeze", "pass", "no change freeze is in force"),)


def switches_of(verb: Verb, adapter: str, *, undo: bool) -> frozenset[str]:
    """The kill switches that stop a call: everything, its adapter, its verb; an undo is known by both its verbs."""
    verbs = {verb.name, verb.inverse} if undo else {verb.name}
    return frozenset({"*", f"adapter:{adapter}", *(f"verb:{name}" for name in verbs if name)})


def kill_switch(case: Case, _policy: Policy) -> Sequence[Finding]:
    """Everything, one adapter or one verb is switched off."""
    if not case.switches:
        return _NO_SWITCH
    thrown = sorted(case.switches & switches_of(case.verb, case.adapter, undo=case.direction == "revert"))
    if thrown:
        return [Finding("kill_switch", "refuse", f"kill switch on: {', '.join(thrown)}", hard=True)]
    return _NO_SWITCH


def caps(case: Case, policy: Policy) -> Sequence[Finding]:
    """How many targets in a run, an incident, an hour, and what share of a group; this one counts.

    Break-glass widens a cap in steps: one canary beyond it, and with each verified action two
    more, so that the waves are 1, 2, 4, 8. The share yields once a canary is verified.
    """
    if case.reverts:
        return _UNCAPPED
    cap = policy.cap(case.verb, acts=case.acts)
    extra = 2 * max(0, case.canaries) + 1 if case.break_glass else 0
    findings = []
    for count, bound, what in (
        (case.counts.run, cap.per_run, "in this run"),
        (case.counts.incident, cap.per_incident, "in this incident"),
        (case.counts.hour, cap.per_hour, "in an hour"),
    ):
        if bound is not None and count > bound:
            over = f"{case.verb.name}: target {count} {what}, the cap is {bound}"
            findings.append(_stepped(over, case, count <= bound + extra))
    share, bound_share = case.counts.group_share, cap.share_of_group
    if bound_share is not None and share is None:
        unknown = f"{case.verb.name} is capped at {bound_share:.0%} of a group, and nobody knows how large it is"
        findings.append(settle("caps", f"{unknown}; set guards.group_sizes", case))
    elif bound_share is not None and share is not None and not share <= bound_share:
        over = f"{case.verb.name}: {share:.0%} of a group, the cap is {bound_share:.0%}"
        findings.append(_stepped(over, case, case.canaries > 0))
    return findings or _WITHIN


def freeze(case: Case, policy: Policy) -> Sequence[Finding]:
    """A change freeze stops new changes; ending what we did is never frozen."""
    frozen = [freeze for freeze in policy.freezes if freeze.start <= case.now < freeze.end] if case.acts else []
    said = [soft("freeze", f"change freeze {one.name} until {one.end.isoformat()}", case) for one in frozen]
    return said or _NO_FREEZE


def _stepped(over: str, case: Case, widened: bool) -> Finding:
    if case.break_glass and not widened:
        return Finding("caps", "refuse", f"{over}; break-glass widens it after the next verified canary")
    return soft("caps", over, case)
