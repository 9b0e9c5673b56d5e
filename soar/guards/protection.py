"""Protected things: what must never, or only by break-glass, be acted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from soar.guards import addresses, reach
from soar.guards.addresses import Network
from soar.guards.approval import settle
from soar.guards.case import Case, Finding, soft
from soar.guards.policy import Policy, Protection
from soar.guards.reach import below, plain
from soar.model import EntityKind


def resolved(case: Case, _policy: Policy) -> list[Finding]:
    """A host or account that no inventory knows cannot be checked against the protected lists.

    By itself nothing acts on it; a person may, with an approval.
    """
    if not case.acts or case.target.kind not in (EntityKind.HOST, EntityKind.ACCOUNT):
        return [Finding("resolved", "pass", "acts on no host or account")]
    if addresses.read(case.target.id) is not None:
        return [Finding("resolved", "pass", "the target is a network, known by its addresses")]
    if case.entity is not None and plain(case.target.id) in (plain(case.entity.id), plain(case.entity.name)):
        return [Finding("resolved", "pass", f"{case.target} is known to {case.entity.source}")]
    reason = f"{case.target} is not resolved in any inventory, so protection cannot be checked; resolve it"
    if case.automatic:
        return [Finding("resolved", "refuse", reason, hard=True)]
    return [settle("resolved", reason, case)]


def hard(case: Case, policy: Policy) -> list[Finding]:
    """Our own hosts, accounts, management path, break-glass accounts, gateways: never."""
    return [
        Finding("hard_protection", "refuse", f"{case.target} is protected for good: {why}", hard=True)
        for why in _reasons(case, policy.hard)
    ] or [Finding("hard_protection", "pass", "not on the hard list", hard=True)]


def protected(case: Case, policy: Policy) -> list[Finding]:
    """Protected assets and accounts: only under break-glass."""
    return [
        soft("soft_protection", f"{case.target} is protected: {why}", case) for why in _reasons(case, policy.soft)
    ] or [Finding("soft_protection", "pass", "not on the protected list")]


def configured(case: Case, policy: Policy) -> list[Finding]:
    """Without a protected list nothing acts by itself: nobody has said what must not be touched."""
    if policy.configured or not case.automatic or not case.acts:
        return [Finding("configured", "pass", "a protected list is configured, or a person acts", hard=True)]
    reason = (
        f"no protected list is configured, so {case.verb.name} is only proposed; configure one, or start it by hand"
    )
    return [Finding("configured", "refuse", reason, hard=True)]


@dataclass(frozen=True, slots=True)
class _Known:
    """The target in every spelling that a list may use."""

    ids: frozenset[str]
    names: frozenset[str]
    tags: frozenset[str]
    groups: frozenset[str]
    networks: tuple[Network, ...]
    cut: tuple[str, ...]


def _reasons(case: Case, protection: Protection) -> list[str]:
    return list(_matches(_known(case), protection)) if case.acts else []


def _known(case: Case) -> _Known:
    kind, entity = case.target.kind, case.entity
    ids = {plain(text) for text in case.named} | ({plain(entity.id)} if entity else set())
    texts = ids | ({plain(entity.name)} if entity else set())
    reaches = []
    if kind is EntityKind.OBSERVABLE:
        reaches = [r for text in case.named if (r := reach.read(case.verb.target_param, text)) is not None]
    found = [addresses.read(text) for text in (*case.named, *(entity.addresses if entity else ()))]
    return _Known(
        ids=frozenset(ids | {f"{kind.value}:{text}" for text in ids}),
        names=frozenset(name for text in texts for name in _spellings(text, kind))
        | {r.name for r in reaches if r.name},
        tags=frozenset(plain(tag) for tag in entity.tags) if entity else frozenset(),
        groups=frozenset(plain(group) for group in entity.groups) if entity else frozenset(),
        networks=tuple(n for n in (*found, *(r.network for r in reaches)) if n is not None),
        cut=tuple(r.name for r in reaches if r.children),
    )


def _spellings(text: str, kind: EntityKind) -> Iterator[str]:
    """`corp\\\\dc01$`, `dc01.corp.example` and `dc01` are one; so are `admin@corp.example` and `admin`."""
    yield text
    if kind in (EntityKind.HOST, EntityKind.ACCOUNT):
        short = text.rpartition("\\")[2].partition("@")[0].removesuffix("$")
        yield short
        if kind is EntityKind.HOST and addresses.read(text) is None:
            yield short.partition(".")[0]


def _matches(known: _Known, protection: Protection) -> Iterator[str]:
    for ident in sorted(protection.ids):
        if plain(ident) in known.ids:
            yield f"id {ident}"
    for pattern in protection.names:
        glob = plain(pattern)
        if any(fnmatchcase(name, glob) for name in known.names) or any(below(glob, name) for name in known.cut):
            yield f"name {pattern}"
    for kind, mine, listed in (("tag", known.tags, protection.tags), ("group", known.groups, protection.groups)):
        for word in sorted(listed):
            if plain(word) in mine:
                yield f"{kind} {word}"
    for network in sorted({str(one) for n in known.networks if (one := addresses.hit(n, protection.networks))}):
        yield f"network {network}"
