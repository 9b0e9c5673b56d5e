"""May this playbook be run, and who stands for it? Pure: values in, a verdict out.

`revoked`, `valid_from` and `valid_until` hold for every new run. That somebody we trust signed it is
asked where the policy says so. A run that began goes on, whatever becomes of its playbook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from soar import canonical
from soar.errors import Problem, Refused
from soar.playbook.document import to_document
from soar.playbook.model import Playbook
from soar.playbook.trust import signing
from soar.playbook.trust.keys import Keyring
from soar.playbook.trust.signing import Checked, instant
from soar.strict_text import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """What the configuration asks: with `signed_only`, a good signature by a key of the ring."""

    signed_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Somebody whom we trust has signed: the name, the key's fingerprint (hex SHA-256), which signature.

    `countersigned_by` are names whom we trust that confirmed it, nearest first.
    """

    name: str
    key: str
    signature: str
    countersigned_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """What was found of each signature, and who of those that we trust stands behind one."""

    all_of: tuple[Checked, ...]
    signers: tuple[Signer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether new runs may begin; if not, every reason. `signatures` is what was found of each."""

    runs: bool
    reasons: tuple[Problem, ...] = ()
    signers: tuple[Signer, ...] = ()
    signatures: tuple[Checked, ...] = ()


def verdict(
    playbook: Playbook, document: Mapping[str, Any], now: datetime, ring: Keyring, policy: TrustPolicy
) -> Verdict:
    """Judge a playbook by its dates and by the signatures on the CACAO document that it was read from.

    With `signed_only` the document must be the playbook to the last byte of its canonical form: else
    one thing would be signed and another one run.
    """
    judged = judge_signatures(document, now, ring)
    reasons = list(_dates(playbook, now))
    if policy.signed_only:
        reasons += _unsigned(judged, ring)
        if judged.signers and _digest(document) != playbook.digest:
            message = "what was signed is not what would be run: the playbook has parts that are not kept"
            reasons.append(Problem(code="not_what_was_signed", message=message))
    return Verdict(runs=not reasons, reasons=tuple(reasons), signers=judged.signers, signatures=judged.all_of)


@dataclass(frozen=True, slots=True)
class Gate:
    """What every start of a playbook asks: the keys that we trust, and what is asked for."""

    ring: Keyring = field(default_factory=Keyring)
    policy: TrustPolicy = field(default_factory=TrustPolicy)

    def judge(self, playbook: Playbook, now: datetime) -> Verdict:
        """The verdict on a playbook as it would be run."""
        return verdict(playbook, to_document(playbook), now, self.ring, self.policy)

    def admit(self, playbook: Playbook, now: datetime) -> None:
        """Raises Refused, with every reason, where no new run may begin."""
        reasons = [reason.message for reason in self.judge(playbook, now).reasons]
        if reasons:
            raise Refused(f"{playbook.name} may not be run: " + "; ".join(reasons), reasons=reasons)


def judge_signatures(document: Mapping[str, Any], now: datetime, ring: Keyring) -> Signatures:
    """Check every signature on a CACAO document, and say whom of those that we trust it has."""
    checked = signing.check(document, now, ring)
    return Signatures(all_of=checked, signers=tuple(_signers(checked, ring)))


def trusted(checked: Checked, ring: Keyring) -> bool:
    """A good signature by a key of the ring, under a name that the key may sign as."""
    return checked.good and not _stranger(checked, ring)


def finding(checked: Checked, ring: Keyring) -> str:
    """One signature in words: whose it is, and what keeps it from counting."""
    if not checked.good:
        return "; ".join(problem.message for problem in checked.problems)
    return _stranger(checked, ring) or "good, by a key that is trusted"


def _dates(playbook: Playbook, now: datetime) -> Iterator[Problem]:
    if playbook.revoked:  # its times do not matter then
        yield Problem(code="playbook_revoked", message="the playbook is revoked", pointer="/revoked")
        return
    for name, text in (("valid_from", playbook.valid_from), ("valid_until", playbook.valid_until)):
        time, at = instant(text), f"/{name}"
        if text and time is None:
            yield Problem(code="bad_timestamp", message=f"{name} is no timestamp in UTC: {shown(text)}", pointer=at)
        elif time is not None and name == "valid_from" and now < time:
            yield Problem(code="playbook_not_yet_valid", message=f"the playbook is valid from {text} on", pointer=at)
        elif time is not None and name == "valid_until" and now >= time:
            yield Problem(code="playbook_expired", message=f"the playbook was valid until {text}", pointer=at)


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical.dumps(document)).hexdigest()


def _stranger(checked: Checked, ring: Keyring) -> str:
    """Why a good signature does not count for us; empty where it does."""
    entry = ring.of(checked.key) if checked.key else None
    if entry is None:
        known = checked.key.fingerprint if checked.key else ""
        return f"good, but by a key that is not trusted (SHA-256 {known})"
    if checked.signee not in entry.names:
        return f"good, but the key of {', '.join(sorted(entry.names))} does not sign as {shown(checked.signee)}"
    return ""


def _signers(checked: Sequence[Checked], ring: Keyring) -> Iterator[Signer]:
    for each in checked:
        if trusted(each, ring) and each.key and not _replaced(each, checked):
            confirmed = tuple(inner.signee for inner in _within(each) if trusted(inner, ring))
            yield Signer(name=each.signee, key=each.key.fingerprint, signature=each.id, countersigned_by=confirmed)


def _within(checked: Checked) -> Iterable[Checked]:
    inner = checked.countersigned
    while inner is not None:
        yield inner
        inner = inner.countersigned


def _replaced(checked: Checked, all_of: Sequence[Checked]) -> bool:
    """A newer version of the same signature, by the same key, stands beside it: that one counts.

    It counts also where it says that it is revoked or over, so that a signature can be taken back.
    """
    own = instant(checked.modified)
    return any(
        other.id == checked.id and other.key == checked.key and _authentic(other) and own is not None
        and (newer := instant(other.modified)) is not None and newer > own
        for other in all_of
    )  # fmt: skip


_OVER = frozenset({"signature_revoked", "signature_expired", "signature_not_yet_valid"})


def _authentic(checked: Checked) -> bool:
    """Made by its key over this playbook, in force or not."""
    return all(problem.code in _OVER for problem in checked.problems)


def _unsigned(judged: Signatures, ring: Keyring) -> list[Problem]:
    """Why nobody whom we trust stands for the playbook."""
    checked = judged.all_of
    if judged.signers:
        return []
    mend = "Have it signed (soar playbook sign) by somebody whose key is in the folder of trusted keys."
    if not checked:
        return [Problem(code="unsigned", message="the playbook is not signed", mend=mend)]
    return [
        Problem(
            code=next((problem.code for problem in each.problems), "signature_not_trusted"),
            message=f"{each.id or each.place}: {_replaced_words(each, checked) or finding(each, ring)}",
            pointer=each.place, mend=mend,
        )
        for each in checked
    ]  # fmt: skip


def _replaced_words(checked: Checked, all_of: Sequence[Checked]) -> str:
    return "replaced by a newer version of it" if checked.good and _replaced(checked, all_of) else ""
