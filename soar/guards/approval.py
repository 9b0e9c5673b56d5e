"""Approvals: what they are bound to, and whose voice counts.

Persons are counted, never keys; what is approved is one digest, and any change makes another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from soar import canonical
from soar.errors import Invalid, Problem
from soar.guards.case import ApprovalFacts, Case, Finding, Vote
from soar.guards.policy import Policy
from soar.model import JsonObject, Target

_NOT_ASKED = (Finding("approval", "pass", "no approval is asked here", hard=True),)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCount:
    """Who counts, in the order of voting; `ignored` are pairs of person id and why not."""

    required: int
    approved_by: tuple[str, ...]
    ignored: tuple[tuple[str, str], ...]
    denied_by: tuple[str, ...]

    @property
    def granted(self) -> bool:
        return not self.denied_by and len(self.approved_by) >= self.required


def digest_of(
    adapter: str, verb: str, target: Target, params: JsonObject, lease: str | float | None, playbook_digest: str
) -> str:
    """SHA-256 (hex) of the canonical JSON (RFC 8785) of all that an approval of one action covers.

    Raises Invalid where the parameters are no JSON values.
    """
    whole: Any = {
        "v": 1, "adapter": adapter, "verb": verb, "target": str(target),
        "params": dict(params), "lease": lease, "playbook": playbook_digest,
    }  # fmt: skip
    try:
        return hashlib.sha256(canonical.dumps(whole)).hexdigest()
    except canonical.Refused as error:
        problem = Problem(
            code="not_canonical",
            message=f"{verb}: a parameter has no canonical JSON form: {error}",
            pointer="/params",
            mend="Use text, finite numbers below 2^53, booleans, lists and objects with text keys.",
        )
        raise Invalid(problems=[problem]) from error


def group_digest(digests: Iterable[str]) -> str:
    """One digest (hex SHA-256) for several actions, whatever their order."""
    return hashlib.sha256(canonical.dumps({"v": 1, "members": sorted(set(digests))})).hexdigest()


def covers(approval: ApprovalFacts, digest: str) -> bool:
    """True when the approval was asked for this digest: itself, or a member of its group."""
    if not digest:
        return False
    if approval.digest == digest:
        return True
    return digest in approval.members and group_digest(approval.members) == approval.digest


def count_votes(approval: ApprovalFacts, *, starter: str, confirmer: str, digest: str) -> VoteCount:
    """Count the voices on one action (or on the whole group, by its digest).

    `confirmer` is who confirmed the alert of an automatic run, empty for a run that a person began.
    A deny by any person who may vote decides; it needs no independence. At least one voice is needed.
    Of several whom one hand armed the same day, the one with the lowest id (known longest) counts.
    """
    bound = ({approval.digest, digest} if covers(approval, digest) else {digest}) - {""}
    grants: dict[str, frozenset[str]] = {}
    hands: dict[str, frozenset[str]] = {}
    for vote in approval.voters:
        grants[vote.person_id] = grants.get(vote.person_id, frozenset()) | vote.granted_by
        armed_by = frozenset() if vote.setting_up else vote.granted_by
        hands[vote.person_id] = hands.get(vote.person_id, frozenset()) | armed_by
    ignored: list[tuple[str, str]] = []
    candidates: list[str] = []
    denied: list[str] = []
    for vote in approval.voters:
        who = vote.person_id
        why = _unheard(vote, approval, bound)
        if not why and vote.decision == "approve":
            why = _dependent(who, grants[who], approval, starter, confirmer) or _same_hand(hands[who], approval)
            why = why or ("voted before; persons are counted, not keys" if who in candidates else "")
        if why:
            ignored.append((who, why))
        elif vote.decision == "approve":
            candidates.append(who)
        elif who not in denied:
            denied.append(who)
    between = _between_voters(candidates, grants, hands)
    return VoteCount(
        required=max(1, approval.required),
        approved_by=tuple(who for who in candidates if who not in between),
        ignored=(*ignored, *between.items()),
        denied_by=tuple(denied),
    )


def votes(case: Case) -> VoteCount | None:
    """The count for this case; None where no approval was asked."""
    if case.approval is None:
        return None
    confirmer = case.confirmer_id if case.automatic else ""
    return count_votes(case.approval, starter=case.starter_id, confirmer=confirmer, digest=case.action_digest)


def granted(case: Case) -> bool:
    """True when enough persons approved exactly this action."""
    count = votes(case)
    return count is not None and count.granted


def settle(guard: str, reason: str, case: Case) -> Finding:
    """A finding that an approval settles."""
    if granted(case):
        return Finding(guard, "pass", f"{reason}; approved", hard=True)
    return Finding(guard, "ask", reason, hard=True)


def approved(case: Case, _policy: Policy) -> Sequence[Finding]:
    """The approval that the step asks for, if it asks for one."""
    count = votes(case)
    if case.approval is None or count is None:
        return _NOT_ASKED
    if count.denied_by:
        return [Finding("approval", "refuse", f"denied by {', '.join(count.denied_by)}", hard=True)]
    if count.granted:
        return [Finding("approval", "pass", f"approved by {', '.join(count.approved_by)}", hard=True)]
    if case.approval.unopposed and covers(case.approval, case.action_digest):
        return [Finding("approval", "pass", "nobody answered in time, and the signed playbook goes on then", hard=True)]
    reason = f"{len(count.approved_by)} of {count.required} persons approved"
    if not covers(case.approval, case.action_digest):
        reason += "; the approval was asked for something else, so ask anew"
    reason += "".join(f"; {who} does not count: {why}" for who, why in count.ignored)
    return [Finding("approval", "ask", reason, hard=True)]


def _unheard(vote: Vote, approval: ApprovalFacts, bound: set[str]) -> str:
    """Why a vote is no vote on this, whatever it says."""
    if vote.kind != "person" or not vote.person_id:
        return "not a person; services cannot vote"
    if vote.decision not in ("approve", "deny"):
        return f"{vote.decision!r} is neither approve nor deny"
    if approval.any_of and not vote.roles & approval.any_of:
        return f"has none of the roles asked for: {', '.join(sorted(approval.any_of))}"
    if vote.digest not in bound:
        return "voted on something else: the action changed since"
    return ""


def _dependent(who: str, grants: frozenset[str], approval: ApprovalFacts, starter: str, confirmer: str) -> str:
    """Why a person is no second pair of eyes here."""
    if who == starter:
        return "started the run"
    if who == confirmer:
        return "confirmed the alert that started the run"
    if who in approval.issuers:
        return "issued the starter's role or key today"
    if near := sorted(grants & {starter, confirmer, who} - {""}):
        return f"got role or key today from {', '.join(near)}"
    return ""


def _same_hand(hands: frozenset[str], approval: ApprovalFacts) -> str:
    """Why a person whom somebody armed today is not apart from the starter: the same hand armed both."""
    if shared := sorted(hands & approval.issuers):
        return f"got role or key today from {', '.join(shared)}, as did the other person"
    return ""


def _between_voters(
    candidates: list[str], grants: dict[str, frozenset[str]], hands: dict[str, frozenset[str]]
) -> dict[str, str]:
    """Which of those who approve are not apart from each other, and why; the order of votes decides nothing."""
    found = {
        who: f"got role or key today from {', '.join(near)}, who votes too"
        for who in candidates
        if (near := sorted(grants[who] & set(candidates)))
    }
    heard: list[str] = []
    for who in sorted(set(candidates) - set(found)):
        other = next((each for each in heard if hands[who] & hands[each]), None)
        if other is None:
            heard.append(who)
        else:
            shared = ", ".join(sorted(hands[who] & hands[other]))
            found[who] = f"got role or key today from {shared}, as did {other}, who votes too"
    return found
