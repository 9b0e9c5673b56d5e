"""What a block may hit: never our own, never half the world, only what was judged malicious."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from soar.guards import addresses, reach
from soar.guards.addresses import PRIVATE, SPECIAL, Network
from soar.guards.approval import settle
from soar.guards.case import Case, Finding, soft
from soar.guards.policy import Policy
from soar.guards.reach import Reach, below
from soar.model import EntityKind, Verdict

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_EMPTY_FILE = frozenset(
    hashlib.new(name, b"", usedforsecurity=False).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")
)
"""The digests of a file with nothing in it: a block of one hits every empty file."""
_BLOCKS_NOTHING = (Finding("never_block", "pass", "blocks nothing"),)
_NO_VERDICT = (Finding("verdict", "pass", "blocks nothing"),)


def never_block(case: Case, policy: Policy) -> Sequence[Finding]:
    """Everything that speaks against cutting this value, in all its spellings.

    Hard: what cannot be read, and addresses that no attacker can have. Soft: the rest. One page on
    a never-block domain may be blocked with an approval; the domain may not.
    """
    if not _blocks(case):
        return _BLOCKS_NOTHING
    findings: list[Finding] = []
    for text in case.named:
        cut = reach.read(case.verb.target_param, text)
        if cut is None:
            what = f"{text[:100]!r} cannot be read as {case.verb.target_param}; write it plainly"
            findings.append(Finding("never_block", "refuse", what, hard=True))
        else:
            findings += _hard(cut)
            findings += [soft("never_block", why, case) for why in _objections(cut, case, policy)]
            findings += _domains(cut, case, policy)
    return findings or [Finding("never_block", "pass", "on no never-block list")]


def verdict(case: Case, policy: Policy) -> Sequence[Finding]:
    """Only what is held malicious, with enough confidence, is blocked; the verdict must be of the blocked value."""
    if not _blocks(case):
        return _NO_VERDICT
    seen = case.observable
    if seen is None:
        why = f"nobody has judged {case.target}; look it up or judge it first"
    elif other := [text for text in case.named if not reach.same(text, seen.value)]:
        why = f"the verdict is of {seen.value}, but the action names {', '.join(other)}"
    elif seen.verdict is not Verdict.MALICIOUS:
        why = f"{seen.value} is held {seen.verdict.value}, not malicious; judge it first"
    elif seen.confidence < policy.block_confidence:
        why = f"{seen.value} is malicious with confidence {seen.confidence}, {policy.block_confidence} is asked for"
    else:
        return [Finding("verdict", "pass", f"{seen.value} is malicious ({seen.confidence})", hard=True)]
    return [Finding("verdict", "refuse", why, hard=True)]


def _blocks(case: Case) -> bool:
    return case.acts and case.verb.contains and case.verb.target_kind is EntityKind.OBSERVABLE


def _hard(cut: Reach) -> Iterator[Finding]:
    if cut.network is not None and (special := addresses.hit(cut.network, SPECIAL)):
        why = f"{cut.text} touches {special}, which is this host, link-local, multicast or reserved"
        yield Finding("never_block", "refuse", why, hard=True)
    if cut.text.casefold() in _EMPTY_FILE:
        yield Finding("never_block", "refuse", f"{cut.text} is the digest of an empty file", hard=True)


def _objections(cut: Reach, case: Case, policy: Policy) -> Iterator[str]:
    yield from _victims(cut, case)
    if cut.network is not None:
        yield from _network_objections(cut.text, cut.network, policy)
    if cut.whole:
        yield from (f"{cut.text} is on the warning list {name}" for name in policy.warning_lists.touching(cut))
    if cut.name and cut.whole and _suffixes().is_public(cut.name):
        yield f"{cut.name} is a public suffix: everything under it would be cut"


def _victims(cut: Reach, case: Case) -> Iterator[str]:
    for own in sorted(case.victim_addresses):
        network = addresses.read(own)
        if network is not None:
            touched = cut.network is not None and addresses.hit(cut.network, (network,)) is not None
        else:
            touched = _same_name(cut, own)
        if touched:
            yield f"{cut.text} is or holds {own}, our own or a victim's"


def _same_name(cut: Reach, own: str) -> bool:
    """A mailbox is met by itself or by its whole domain, a host name by itself or by what cuts its parent."""
    if not cut.name:
        return False
    name = reach.domain(own.rpartition("@")[2])
    if "@" in own and not cut.whole:
        return reach.same(own, cut.text)
    return cut.name == name or (cut.children and bool(name) and below(name, cut.name))


def _network_objections(text: str, network: Network, policy: Policy) -> Iterator[str]:
    if listed := addresses.hit(network, policy.never_block_networks):
        yield f"{text} touches {listed}, which is never blocked"
    if resolver := addresses.hit(network, policy.resolvers):
        yield f"{text} touches the resolver {resolver}"
    undeclared = [form for form in addresses.forms(network) if not addresses.within(form, policy.blockable_networks)]
    if private := next((found for form in undeclared if (found := addresses.hit(form, PRIVATE))), None):
        yield f"{text} touches {private}, private space that is not declared blockable"
    widest = policy.widest_v4 if isinstance(network, IPv4Network) else policy.widest_v6
    if network.prefixlen < widest:
        yield f"{text} is wider than /{widest}"


def _domains(cut: Reach, case: Case, policy: Policy) -> Iterator[Finding]:
    """Names that are never blocked. One page on such a site, or one mailbox, is a matter for a person."""
    for listed in () if cut.whole else policy.warning_lists.touching(cut):
        yield settle("never_block", f"{cut.text} is a part of what is on the warning list {listed}", case)
    for listed in sorted(policy.never_block_domains):
        parent = reach.domain(listed.removeprefix("*."))
        if not cut.name or not parent:
            continue
        if below(cut.name, parent) and not cut.whole and case.verb.target_param == "url":
            yield settle("never_block", f"{cut.text} is a page on {listed}, which is never blocked whole", case)
        elif below(cut.name, parent) or (cut.children and below(parent, cut.name)):
            yield soft("never_block", f"{cut.text} touches {listed}, which is never blocked", case)


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
