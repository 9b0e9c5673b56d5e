"""One action as it would be: what is at the target now, what would change, who would have to agree.

Reads only: the target is inspected, the guards are asked, and no row is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from soar.engine import approving, casefile, contact, effects, limits
from soar.engine.parts import Parts
from soar.engine.planning import Planned
from soar.errors import AdapterError, NotFound
from soar.guards.case import Judgement
from soar.ids import new_id
from soar.model import Inspection
from soar.playbook.document import to_document
from soar.playbook.model import Approval, Playbook
from soar.playbook.trust import markings
from soar.playbook.trust.markings import Tlp
from soar.store.rows import ActionRow
from soar.verbs import VERBS, OnExpiry

_CALLER = "plan"


@dataclass(slots=True)
class Foresight:
    """Looks ahead for one playbook on one incident. `counted` are the actions of each verb planned so far."""

    parts: Parts
    conn: sa.Connection
    incident_id: str
    playbook: Playbook
    counted: Counter[str] = field(default_factory=Counter)
    marking: Tlp | None = field(init=False)

    def __post_init__(self) -> None:
        self.marking = markings.read(to_document(self.playbook)).level

    def row(self, planned: Planned, step: str) -> ActionRow:
        """The action as it would be stored; it is not."""
        now = self.parts.clock.now()
        row = ActionRow(
            id=new_id(), origin=_CALLER, step_path=step, command_index=0, target=planned.target,
            target_name=planned.target_name, verb=planned.verb, generation=1, adapter=planned.adapter,
            params=planned.params, incident_id=self.incident_id, step=step, undo_of=planned.undo_of or None,
            undo_reason=planned.undo_reason, lease_seconds=planned.lease, review_seconds=planned.review,
            caller=_CALLER, created_at=now,
        )  # fmt: skip
        return replace(row, digest=casefile.digest(row, self.playbook.digest))

    def of(self, planned: Planned, step: str, approval: Approval | None) -> dict[str, Any]:
        """The action as plain data. Never raises for a target that cannot be reached: it says so."""
        row, verb = self.row(planned, step), VERBS[planned.verb]
        seen, unreadable = self._inspect(row)
        verdict = self._judge(row, approval)
        judged = dict(verdict.as_plain())
        self.counted[planned.verb] += 1
        return {
            "verb": planned.verb,
            "target": str(planned.target),
            "target_name": planned.target_name,
            "adapter": planned.adapter,
            "params": dict(planned.params),
            "state": {"present": seen.present if seen else None, "summary": seen.summary if seen else unreadable},
            "change": self._change(row, seen, verdict),
            "guards": judged.pop("findings"),
            **judged,
            "undo": "" if planned.undo_of else verb.inverse,
            "lease": planned.lease,
            "review": (planned.review or effects.DEFAULT_REVIEW) if verb.on_expiry is OnExpiry.HOLD else 0,
            "destroys": sorted(verb.destroys),
            "approval": _approval(approval, verdict),
            "class": self._repeat(row),
            "digest": row.digest,
        }

    def _inspect(self, row: ActionRow) -> tuple[Inspection | None, str]:
        """What is there now, or why nobody can say."""
        if row.undo_of:
            return None, "known once it was done"
        try:
            return contact.inspect(self.parts, row), ""
        except (AdapterError, NotFound) as error:
            return None, f"cannot be inspected: {error.message}"

    def _judge(self, row: ActionRow, approval: Approval | None) -> Judgement:
        urgency = self.playbook.urgency
        case = casefile.gather(
            self.conn, row, self.parts.clock.now(), urgency=urgency,
            ground=f"urgency {urgency} of {self.playbook.name}" if urgency else "",
            asked=approving.asked_of(approval) if approval else None,
        )  # fmt: skip
        case = replace(case, marking=self.marking)
        # Caps count this plan's own actions too: the tenth isolation is the tenth.
        planned = self.counted[row.verb]
        return limits.judged(self.conn, case, row, self.parts.policy, planned=planned)

    def _change(self, row: ActionRow, seen: Inspection | None, verdict: Judgement) -> str:
        verb = VERBS[row.verb]
        said = verb.name.replace("_", " ")
        if row.undo_of:
            return f"would {said}"
        if verdict.refused:
            return "nothing: refused"
        if effects.standing(self.conn, row) is not None:
            return "another hold"
        if seen is not None and seen.present:
            return "true already"
        return f"would {said}"

    def _repeat(self, row: ActionRow) -> str:
        return self.parts.adapter(row.adapter).verbs[row.verb].repeat.value


def _approval(approval: Approval | None, verdict: Judgement) -> Mapping[str, Any] | None:
    """Who must agree before this, and why; None where nobody is asked."""
    if not verdict.needs_approval:
        return None
    asks = approval or approving.STANDARD
    why = [finding.reason for finding in verdict.findings if finding.verdict == "ask"]
    return {"any_of": list(asks.any_of), "persons": asks.persons, "within": asks.within, "why": why}
