"""One action at one moment, as the guards see it, and what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from soar.model import Entity, JsonObject, Observable, Target
from soar.playbook.trust.markings import Tlp
from soar.verbs import Risk, Verb

"""Either the lists themselves (name, networks), or who can name the lists that hold a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many targets the verb has touched, this one counted in: in this run, this incident, the last
    hour over all runs, and as the largest share (0.0-1.0) of a group that the target belongs to.

    `group_share` is None where nobody knows how many members one of its groups has.
    """

    run: int = 1
    incident: int = 1
    hour: int = 1
    group_share: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One voice on an approval. `granted_by`: who issued this person's role or key the same day.

    `setting_up`: cast on the installation's first day, where the settings let one hand arm everybody.
    """

    person_id: str
    decision: Literal["approve", "deny"]
    digest: str
    kind: Literal["person", "service"] = "person"
    roles: frozenset[str] = frozenset()
    granted_by: frozenset[str] = frozenset()
    setting_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFacts:
    """An approval as it stands.

    `digest` is what was asked about: one action's digest, or the group digest of all `members`.
    `any_of` are the roles that may vote (none named: every person). `issuers` issued the role or
    key of the person who started the run, or who confirmed the alert, the same day. `unopposed`: nobody
    answered in time, and the playbook, which somebody we trust has signed, lets it go on then.
    """

    digest: str
    required: int = 1
    unopposed: bool = False
    voters: tuple[Vote, ...] = ()
    any_of: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything known of one action now.

    `automatic`: started by no person; `starter_id` is the person otherwise, `confirmer_id` who
    confirmed the alert. `ground` says why urgency is immediate. `collected` are evidence classes
    already taken from this target, `box_started` when collecting began, `approved_skip_evidence`
    that the approval shown to its voters named going on without evidence. `victim_addresses` are
    our own and the victims' addresses, host names and mailboxes. `switches` are kill switches that
    are on: `*`, `adapter:NAME`, `verb:NAME`. `break_glass` is open and in force; `canaries` is how
    many actions beyond the cap were verified under it. `marking` is the level of the run's playbook.
    """

    verb: Verb
    target: Target
    now: datetime
    entity: Entity | None = None
    observable: Observable | None = None
    params: JsonObject = field(default_factory=dict)
    adapter: str = ""
    direction: Literal["apply", "revert"] = "apply"
    automatic: bool = True
    starter_id: str = ""
    confirmer_id: str = ""
    urgency: Literal["immediate", "normal"] = "normal"
    ground: str = ""
    counts: Counts = Counts()
    collected: frozenset[str] = frozenset()
    box_started: datetime | None = None
    approved_skip_evidence: bool = False
    victim_addresses: frozenset[str] = frozenset()
    switches: frozenset[str] = frozenset()
    break_glass: bool = False
    canaries: int = 0
    approval: ApprovalFacts | None = None
    action_digest: str = ""
    marking: Tlp | None = None

    @property
    def reverts(self) -> bool:
        """It ends an effect, whichever way it was asked for."""
        return self.direction == "revert" or bool(self.verb.undoes)

    @property
    def acts(self) -> bool:
        """It changes the estate: no read, no message, no undo."""
        return self.verb.risk not in (Risk.READ, Risk.LOW) and not self.reverts

    @property
    def named(self) -> tuple[str, ...]:
        """Every text by which the action names its target: id, parameter, observable. Sorted, once each."""
        texts = {_bare(self.target.id)}
        given = self.params.get(self.verb.target_param)
        if isinstance(given, str):
            texts.add(_bare(given))
        if self.observable is not None:
            texts.add(self.observable.value)
        return tuple(sorted(texts))


YIELDS = "yields to break-glass"
"""How the reason of a finding ends that would have been a refusal without break-glass."""
Word = Literal["pass", "refuse", "ask", "wait"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one guard says. `hard`: break-glass does not change it.

    `evidence` are classes to collect before (verdict wait) or at once after (pass), or that an approval gives up (ask).
    """

    guard: str
    verdict: Word
    reason: str
    hard: bool = False
    evidence: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judgement:
    """All findings on one case."""

    findings: tuple[Finding, ...]

    @property
    def allowed(self) -> bool:
        return all(finding.verdict == "pass" for finding in self.findings)

    @property
    def refused(self) -> bool:
        return any(finding.verdict == "refuse" for finding in self.findings)

    @property
    def needs_approval(self) -> bool:
        return any(finding.verdict == "ask" for finding in self.findings)

    @property
    def needs_evidence(self) -> frozenset[str]:
        """Classes to collect before the action may run."""
        return frozenset().union(*(f.evidence for f in self.findings if f.verdict == "wait"))

    @property
    def owed_evidence(self) -> frozenset[str]:
        """Classes to collect at once after the action, because it was let through without them."""
        return frozenset().union(*(f.evidence for f in self.findings if f.verdict == "pass"))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it may not run now, in words."""
        return tuple(finding.reason for finding in self.findings if finding.verdict != "pass")

    def told(self) -> list[dict[str, Any]]:
        """The findings as JSON-ready data."""
        return [{"guard": f.guard, "verdict": f.verdict, "reason": f.reason, "hard": f.hard} for f in self.findings]

    def as_plain(self) -> Mapping[str, Any]:
        """The judgement as JSON-ready data."""
        return {
            "allowed": self.allowed,
            "refused": self.refused,
            "needs_approval": self.needs_approval,
            "needs_evidence": sorted(self.needs_evidence),
            "owed_evidence": sorted(self.owed_evidence),
            "findings": self.told(),
        }


def soft(guard: str, reason: str, case: Case) -> Finding:
    """A refusal that yields to break-glass, and says so when it does."""
    if case.break_glass:
        return Finding(guard, "pass", f"{reason}; {YIELDS}")
    return Finding(guard, "refuse", reason)


_SCO_PREFIXES = ("ipv4-addr:", "ipv6-addr:", "domain-name:", "url:", "file:", "email-addr:")


def _bare(text: str) -> str:
    """A value without the STIX type that an observable's id puts in front."""
    for prefix in _SCO_PREFIXES:
        if text.startswith(prefix):
            return text.removeprefix(prefix)
    return text
