"""From settings to the guards' policy."""

from __future__ import annotations

from collections.abc import Mapping

from api import warning_lists
from soar.config import GuardSettings, LimitSettings, ProtectionSettings, Settings
from soar.guards.policy import AdapterLimit, Cap, Freeze, Policy, Protection, Sharing
from soar.guards.reach import plain


def policy_of(
    settings: GuardSettings,
    limits: Mapping[str, LimitSettings] | None = None,
    sharing: Sharing | None = None,
) -> Policy:
    """The guards' policy as configured, with the limits of each adapter and what may leave the house."""
    return Policy(
        hard=_protection(settings.hard),
        soft=_protection(settings.soft),
        configured=settings.hard is not None or settings.soft is not None,
        never_block_networks=tuple(settings.never_block_networks),
        never_block_domains=frozenset(settings.never_block_domains),
        warning_lists=warning_lists.read(settings.warning_lists),
        resolvers=tuple(settings.resolvers),
        blockable_networks=tuple(settings.blockable_networks),
        widest_v4=settings.widest_v4,
        widest_v6=settings.widest_v6,
        caps={
            verb: Cap(
                per_run=cap.per_run,
                per_incident=cap.per_incident,
                per_hour=cap.per_hour,
                share_of_group=cap.share_of_group,
            )
            for verb, cap in settings.caps.items()
        },
        group_sizes={plain(name): size for name, size in settings.group_sizes.items()},
        canary=settings.canary,
        limits={
            name: AdapterLimit(rate=each.rate, burst=each.burst, concurrency=each.concurrency)
            for name, each in (limits or {}).items()
        },
        freezes=tuple(Freeze(name=each.name, start=each.start, end=each.end) for each in settings.freezes),
        block_confidence=settings.block_confidence,
        evidence_box=settings.evidence_box,
        repair=frozenset(verb for verb, wanted in settings.repair.items() if wanted),
        sharing=sharing or Sharing(),
    )


def sharing_of(settings: Settings) -> Sharing:
    """What may leave the house, as configured."""
    given = settings.sharing
    return Sharing(
        highest=given.highest, outside_teams=frozenset(given.outside_teams), ceilings=settings.adapter_ceilings
    )  # fmt: skip


def _protection(settings: ProtectionSettings | None) -> Protection:
    if settings is None:
        return Protection()
    return Protection(
        ids=frozenset(settings.ids), names=settings.names, tags=frozenset(settings.tags),
        groups=frozenset(settings.groups), networks=tuple(settings.networks),
    )  # fmt: skip
