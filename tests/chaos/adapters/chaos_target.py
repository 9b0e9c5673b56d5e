"""The door to the target that outlives everybody, found by the registry as any adapter is."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from soar.ports import Capability, Repeat
from tests.crash.target import SWIFT, TargetAdapter

KIND = "chaos"


class Config(BaseModel):
    """`socket`: where the target listens. `cell`: the name under which it keeps what is done here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    socket: Path
    cell: str


def connect(name: str, config: Config) -> TargetAdapter:
    """Beside the verbs of each class, one more that sets a state."""
    more = {"revoke_consent": Capability(repeat=Repeat.STATE, timeout=SWIFT)}
    adapter = TargetAdapter(str(config.socket), config.cell, more)
    adapter.name = name
    return adapter
