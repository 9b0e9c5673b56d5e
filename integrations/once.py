"""What the adapters for commands have in common: what a command did nobody can look at, nor take back."""

from __future__ import annotations

from collections.abc import Mapping

from soar.ports import Applied, Call, Capability, Inspection, JsonObject, Rejected


class Once:
    """An adapter whose verbs are each sent once and leave nothing of which it could know."""

    sent = "a command"
    """What it sends, for its messages."""
    name: str
    verbs: Mapping[str, Capability]

    def inspect(self, call: Call) -> Inspection:
        """There is nothing to look at: only its author knows what a command changes."""
        self.refuse_unknown(call)
        return Inspection(present=None, state={}, summary=f"{self.sent} leaves nothing to inspect")

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:  # noqa: ARG002 - nothing is ours
        """Nothing that was sent can be taken back."""
        raise Rejected(f"{self.sent} cannot be taken back")

    def refuse_unknown(self, call: Call) -> None:
        """Raises Rejected for a verb of somebody else."""
        if call.verb not in self.verbs:
            raise Rejected(f"{self.name} cannot do {call.verb}")
