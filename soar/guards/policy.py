"""What the configuration forbids or bounds: protected things, never-block lists, caps, freezes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from soar.guards.addresses import Network
from soar.guards.reach import plain
from soar.guards.warning import NO_LISTS, WarningLists
from soar.playbook.trust.markings import Tlp
from soar.verbs import Risk, Verb

Words = Mapping[str, tuple[str, ...]]
"""Words by the one spelling in which they are compared, each as it was written, sorted."""


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern of names: as it was written, in the one spelling, and what says whether a name fits."""

    written: str
    spelled: str
    fits: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Spelled:
    """A protected list, ready to be compared: made once, asked for every action."""

    ids: Words
    names: tuple[Glob, ...]
    tags: Words
    groups: Words


@dataclass(frozen=True, kw_only=True)
class Protection:
    """A list of things that must not be acted on.

    `ids` are entity ids (`ws-0147` or `host:ws-0147`), `names` are globs (`dc*`, `*.corp.example`),
    `tags` and `groups` are what the inventory and the directory say, `networks` hold addresses.
    Upper and lower case are one everywhere. Without slots, so that it is spelled only once.
    """

    ids: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @cached_property
    def spelled(self) -> Spelled:
        """The words of this list in the one spelling."""
        names = [(written, plain(written)) for written in self.names]
        return Spelled(
            ids=_words(self.ids),
            names=tuple(Glob(written, glob, re.compile(fnmatch.translate(glob)).match) for written, glob in names),
            tags=_words(self.tags),
            groups=_words(self.groups),
        )


def _words(written: Iterable[str]) -> Words:
    found: dict[str, tuple[str, ...]] = {}
    for word in sorted(written):
        found[plain(word)] = (*found.get(plain(word), ()), word)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """How many targets one verb may touch; None is no bound. `share_of_group` is 0.0-1.0 of a group's members."""

    per_run: int | None = None
    per_incident: int | None = None
    per_hour: int | None = None
    share_of_group: float | None = None


NO_CAP = Cap()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLimit:
    """How fast one connected system is called. None is no bound.

    `rate` is calls a second over time, `burst` how many at once after a rest, `concurrency` how many
    calls may be on their way at a time, over all processes.
    """

    rate: float | None = None
    burst: int = 1
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A change freeze: from `start` on, until just before `end`."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What may leave: `highest` to teams outside of the house and by export, `ceilings` through each system."""

    highest: Tlp = Tlp.AMBER
    outside_teams: frozenset[str] = frozenset()
    ceilings: Mapping[str, Tlp] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything the guards know from configuration.

    `hard` never yields; `soft` yields to break-glass. `configured` says that a protected list was
    written at all: without one nothing acts by itself. `caps` are by verb, `*` for verbs of medium
    risk and above that have none of their own. `blockable_networks` are internal networks in which
    a block is meant (private addresses are refused elsewhere); `widest_v4` and `widest_v6` are the
    shortest prefix lengths that may be blocked. `block_confidence` is 0-100, `evidence_box` seconds.
    `repair` are the verbs whose effect the engine brings back by itself when it is gone from its target.
    `group_sizes` says how many members a group has, for the share of a group; `canary` how many
    targets of a verb must be verified before the rest of a step is begun; `limits` are by adapter.
    """

    hard: Protection = Protection()
    soft: Protection = Protection()
    configured: bool = False
    never_block_networks: tuple[Network, ...] = ()
    never_block_domains: frozenset[str] = frozenset()
    warning_lists: WarningLists = NO_LISTS
    resolvers: tuple[Network, ...] = ()
    blockable_networks: tuple[Network, ...] = ()
    widest_v4: int = 16
    widest_v6: int = 32
    caps: Mapping[str, Cap] = field(default_factory=dict)
    group_sizes: Mapping[str, int] = field(default_factory=dict)
    canary: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, AdapterLimit] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    block_confidence: int = 80
    evidence_box: float = 60.0
    repair: frozenset[str] = frozenset()
    sharing: Sharing = Sharing()

    def cap(self, verb: Verb, *, acts: bool) -> Cap:
        """The verb's own cap, else the common one where the verb acts on the estate, else none."""
        own = self.caps.get(verb.name)
        return own if own is not None else self.caps.get("*", NO_CAP) if acts else NO_CAP

    def canaries(self, verb: Verb) -> int:
        """How many targets go first: the verb's own number, else the common one for acts, else 0 (all at once)."""
        acts = verb.risk not in (Risk.READ, Risk.LOW) and not verb.undoes
        return self.canary.get(verb.name, self.canary.get("*", 0) if acts else 0)
