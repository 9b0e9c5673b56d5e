"""What the engine works with, handed in once when the house is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from soar.errors import NotFound
from soar.guards.policy import Policy
from soar.playbook.trust.gate import Gate
from soar.ports import Adapter, Clock, Custodian, Directory
from soar.store.session import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """The engine's surroundings: the store, the connected adapters, evidence, policy, clock."""

    store: Store
    adapters: Mapping[str, Adapter]
    custodian: Custodian
    policy: Policy
    clock: Clock
    directories: tuple[Directory, ...] = field(default=())
    verify_seconds: float = 30.0
    """How long an accepted call (HTTP 202) may take until its effect must show."""
    drift_seconds: float = 900.0
    """How often the target of each standing effect is asked whether it still stands."""

    poll_seconds: float = 1.0
    """How often a step looks again that waits for something which nobody rings for."""
    sweep_seconds: float = 10.0
    """How often claims are looked through for those that nobody lengthens."""
    gate: Gate = field(default_factory=Gate)
    """Asked before every run that begins: may this playbook be run?"""
    longest_step: timedelta = timedelta(days=30)
    """After so long a step that sets no time of its own has failed (CACAO 2.0, section 4.1)."""

    def adapter_for(self, verb: str) -> Adapter:
        """The first connected adapter that can do this verb; raises NotFound."""
        for adapter in self.adapters.values():
            if verb in adapter.verbs:
                return adapter
        raise NotFound(f"no connected adapter can do {verb}")

    def adapter(self, name: str) -> Adapter:
        """The adapter that an action was planned with; raises NotFound if it is connected no more."""
        try:
            return self.adapters[name]
        except KeyError:
            raise NotFound(f"the adapter {name!r} is not connected") from None
