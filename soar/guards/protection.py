"""Protected things: what must never, or only by break-glass, be acted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from soar.guards import addresses, reach
from soar.guards.addresses import Network
from soar.guards.approval import settle
from soar.guards.case import Case, Finding, soft
from soar.guards.policy import Policy, Protection, Words
from soar.guards.reach import below, plain
from soar.model import Entity, EntityKind

_NO_THING = (Finding("resolved", "pass", "acts on no host or account"),)
_NETWORK = (Finding("resolved", "pass", "the target is a network, known by its addresses"),)
_NOT_HARD = (Finding("hard_protection", "pass", "not on the hard list", hard=True),)
_NOT_SOFT = (Finding("soft_protection", "pass", "not on the protected list"),)
_CONFIGURED = (Finding("configured", "pass", "a protected list is configured, or a person acts", hard=True),)


def resolved(case: Case, _policy: Policy) -> Sequence[Finding]:
    """A host or account that no inventory knows cannot be checked against the protected lists.

    By itself nothing acts on it; a person may, with an approval.
    """
    if not case.acts or case.target.kind not in (EntityKind.HOST, EntityKind.ACCOUNT):
        return _NO_THING
    if addresses.read(case.target.id) is not None:
        return _NETWORK
    if case.entity is not None and plain(case.target.id) in (plain(case.entity.id), plain(case.entity.name)):
        return [Finding("resolved", "pass", f"{case.target} is known to {case.entity.source}")]
    reason = f"{case.target} is not resolved in any inventory, so protection cannot be checked; resolve it"
    if case.automatic:
        return [Finding("resolved", "refuse", reason, hard=True)]
    return [settle("resolved", reason, case)]


def hard(case: Case, policy: Policy) -> Sequence[Finding]:
    """Our own hosts, accounts, management path, break-glass accounts, gateways: never."""
    return [
        Finding("hard_protection", "refuse", f"{case.target} is protected for good: {why}", hard=True)
        for why in _reasons(case, policy.hard)
    ] or _NOT_HARD


def protected(case: Case, policy: Policy) -> Sequence[Finding]:
    """Protected assets and accounts: only under break-glass."""
    return [
        soft("soft_protection", f"{case.target} is protected: {why}", case) for why in _reasons(case, policy.soft)
    ] or _NOT_SOFT


def configured(case: Case, policy: Policy) -> Sequence[Finding]:
    """Without a protected list nothing acts by itself: nobody has said what must not be touched."""
    if policy.configured or not case.automatic or not case.acts:
        return _CONFIGURED
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
    if not case.acts:
        return []
    return list(_matches(_known(case.target.kind, case.verb.target_param, case.named, case.entity), protection))


@lru_cache(maxsize=1024)
def _known(kind: EntityKind, param: str, named: tuple[str, ...], entity: Entity | None) -> _Known:
    """A target as it is named in an action, and the entity that it is."""
    ids = {plain(text) for text in named} | ({plain(entity.id)} if entity else set())
    texts = ids | ({plain(entity.name)} if entity else set())
    reaches = []
    if kind is EntityKind.OBSERVABLE:
        reaches = [r for text in named if (r := reach.read(param, text)) is not None]
    found = [addresses.read(text) for text in (*named, *(entity.addresses if entity else ()))]
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
    spelled = protection.spelled
    yield from (f"id {ident}" for ident in _common(known.ids, spelled.ids))
    for glob in spelled.names:
        if any(glob.fits(name) for name in known.names) or any(below(glob.spelled, name) for name in known.cut):
            yield f"name {glob.written}"
    yield from (f"tag {word}" for word in _common(known.tags, spelled.tags))
    yield from (f"group {word}" for word in _common(known.groups, spelled.groups))
    if protection.networks:
        for network in sorted({str(one) for n in known.networks if (one := addresses.hit(n, protection.networks))}):
            yield f"network {network}"


def _common(mine: frozenset[str], listed: Words) -> list[str]:
    return sorted(written for word in mine & listed.keys() for written in listed[word])
