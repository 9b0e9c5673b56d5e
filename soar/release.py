"""The release gate: may this hold end? Containment ends when its cause is gone, and two persons say so.

A hold verb (isolate, segment, disable, quarantine) is let go only with proof. A block lifts by
itself at its time; ended early by hand it needs a second person only where the value is malicious.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from soar.errors import Invalid, Problem
from soar.model import EntityKind, Target, Verdict
from soar.verbs import OnExpiry, Verb


class Reason(StrEnum):
    """Why a hold ends. Only *recovered* counts as recovery."""

    RECOVERED = "recovered"
    MISTAKEN = "mistaken"
    SUPERSEDED = "superseded"
    ROLLBACK = "rollback"


class Disposition(StrEnum):
    """What became of a containment when its incident is closed; none may be undecided."""

    RELEASED = "released"
    KEPT_TO_DATE = "kept_to_date"
    HANDED_OVER = "handed_over"
    DESTROYED = "destroyed"
    TARGET_GONE = "target_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProof:
    """What is known of one host: when its latest verify_clean *started* and whether it found it clean; its rebuild."""

    host: Target
    clean_check: tuple[datetime, bool] | None = None
    rebuilt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """What is known of the target since it was contained.

    `hosts`: the host itself; for a network, each host of the incident that was affected.
    `others_holding`: how many other holds keep the same effect standing.
    """

    hosts: tuple[HostProof, ...] = ()
    credential_reset_at: datetime | None = None
    sessions_revoked_at: datetime | None = None
    others_holding: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A wish to end a hold. `verb` is the verb being undone; `by_hand`: a person asks, no timer or rollback."""

    verb: Verb
    target: Target
    contained_at: datetime
    reason: Reason
    facts: ReleaseFacts = ReleaseFacts()
    verdict: Verdict = Verdict.UNKNOWN
    by_hand: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """`missing` are the proofs that are not there, each with its mend; `said` explains the rest."""

    allowed: bool
    missing: tuple[str, ...] = ()
    needs_approval: bool
    said: tuple[str, ...] = ()


def gate(release: Release) -> GateVerdict:
    """Judge one wish to release. Raises Invalid for a verb that contains nothing."""
    verb = release.verb
    if not verb.contains:
        problem = Problem(
            code="no_hold",
            message=f"{verb.name} leaves nothing that could be released",
            pointer="/verb",
            mend=f"Name the verb being undone: {verb.undoes}." if verb.undoes else "",
        )
        raise Invalid(problems=[problem])
    if verb.on_expiry is OnExpiry.LIFT:
        return _block(release)
    said = ["ending a hold always needs a second person"]
    if release.facts.others_holding > 0:
        said.append(f"{release.facts.others_holding} other holds keep {release.target} as it is, so no proof is needed")
        return GateVerdict(allowed=True, needs_approval=True, said=tuple(said))
    if release.reason is Reason.MISTAKEN:
        said.append("it was a mistake, so there is no cause that must be gone")
        return GateVerdict(allowed=True, needs_approval=True, said=tuple(said))
    missing = _missing(release)
    return GateVerdict(allowed=not missing, missing=missing, needs_approval=True, said=tuple(said))


def _block(release: Release) -> GateVerdict:
    """A block passes without a clean check; the second person is for a malicious value let in early by hand."""
    second = release.by_hand and release.verdict is Verdict.MALICIOUS
    said = f"{release.target} is held malicious: ending its block early needs a second person" if second else ""
    return GateVerdict(allowed=True, needs_approval=second, said=(said,) if said else ())


def _missing(release: Release) -> tuple[str, ...]:
    match release.verb.target_kind:
        case EntityKind.HOST:
            own = () if release.verb.target_param == "network" else (HostProof(host=release.target),)
            hosts = release.facts.hosts or own
            return tuple(said for host in hosts if (said := _host(release.contained_at, host)))
        case EntityKind.ACCOUNT:
            return (*_credential(release), *_sessions(release))
        case EntityKind.KEY:
            return (_KEY.format(release.target),)
        case _:
            return ()


_KEY = (
    "{} was out of our hands, and no proof brings it back: issue a new one, and close this containment as destroyed; "
    "or say that the revocation was mistaken"
)


def _host(since: datetime, proof: HostProof) -> str:
    """A clean check that started after the containment, or a rebuild after it; the later fact wins."""
    rebuilt = proof.rebuilt_at if proof.rebuilt_at is not None and proof.rebuilt_at > since else None
    checked, clean = proof.clean_check if proof.clean_check is not None else (None, False)
    if checked is not None and checked > since:
        if clean or (rebuilt is not None and rebuilt > checked):
            return ""
        return f"the last check found {proof.host} not clean: clean it and run verify_clean, or rebuild_host"
    if rebuilt is not None:
        return ""
    old = " (the one there is began before it)" if checked is not None else ""
    return f"{proof.host} has no clean check since it was contained{old}: run verify_clean, or rebuild_host"


def _credential(release: Release) -> tuple[str, ...]:
    reset = release.facts.credential_reset_at
    if reset is not None and reset > release.contained_at:
        return ()
    return (f"the credential of {release.target} was not reset since it was contained: reset_password",)


def _sessions(release: Release) -> tuple[str, ...]:
    """At or after the disable, with no grace for just before: a sign-in may fall between the two."""
    revoked = release.facts.sessions_revoked_at
    if revoked is not None and revoked >= release.contained_at:
        return ()
    return (f"the sessions of {release.target} were not revoked since it was disabled: run revoke_sessions",)
