"""An adapter that does nothing but remember: what remains of a step is the engine's own work.

It is found as any adapter is; `bench.house` puts this folder among the integrations. Class B
(state): inspect, intent, call, verify and outcome are all asked for and all stored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from soar.ports import (
    Applied,
    Call,
    Capability,
    Entity,
    EntityKind,
    Inspection,
    JsonObject,
    Mention,
    Problem,
    Repeat,
    Sink,
)

KIND = "noop"
_KINDS = {"host": EntityKind.HOST, "account": EntityKind.ACCOUNT}


class Config(BaseModel):
    """`log`: a file that gets one line for each call, `time phase verb target`; none for none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: Path | None = None


def connect(name: str, config: Config) -> NoopAdapter:
    """The adapter of an estate that exists only in this process."""
    return NoopAdapter(name, config.log)


class NoopAdapter:
    """Remembers in a dictionary what was applied; knows every host and account there is."""

    def __init__(self, name: str, log: Path | None) -> None:
        state, read = Capability(repeat=Repeat.STATE), Capability(repeat=Repeat.READ, inspects=False)
        self.name = name
        self.verbs: Mapping[str, Capability] = {
            "revoke_consent": state, "quarantine_file": state, "restore_file": state, "look_up": read, "notify": state,
        }  # fmt: skip
        self.applied = 0
        self._there: dict[tuple[str, str, str, str], str] = {}
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if log else -1

    def inspect(self, call: Call) -> Inspection:
        """Whether it was applied before, and by which call."""
        self._note("inspect", call)
        key = self._there.get(_place(call))
        return Inspection(present=key is not None, ours=key, state={"key": key})

    def apply(self, call: Call, sink: Sink) -> Applied:  # noqa: ARG002 - nothing is collected
        """Remember it."""
        self._note("apply", call)
        self._there[_place(call)] = call.key
        self.applied += 1
        outputs = {"verdict": "unknown", "confidence": 0} if call.verb == "look_up" else {}
        return Applied(handle={"key": call.key}, outputs=outputs)

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:  # noqa: ARG002 - nothing stands
        """Nothing stands, so nothing is taken back."""
        return Applied()

    def check(self) -> Sequence[Problem]:
        """All is well with nothing."""
        return []

    def resolve(self, mention: Mention, at: datetime) -> Sequence[Entity]:  # noqa: ARG002 - always the same
        """Every name is what it says."""
        kind = _KINDS.get(mention.kind)
        if kind is None:
            return []
        return [Entity(kind=kind, id=mention.value, name=mention.value, source=self.name)]

    def _note(self, phase: str, call: Call) -> None:
        if self._log >= 0:
            os.write(self._log, f"{time.time():.6f} {phase} {call.verb} {call.target}\n".encode())


def _place(call: Call) -> tuple[str, str, str, str]:
    return call.incident, call.verb, str(call.target), str(sorted(call.params.items()))
