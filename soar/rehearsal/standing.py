"""What a rehearsed run has contained, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from soar.engine.effects import DEFAULT_REVIEW
from soar.engine.planning import Planned
from soar.playbook.durations import Seconds
from soar.verbs import VERBS, OnExpiry


def label(planned: Planned) -> str:
    """How a call is written in a rehearsal: its verb and its target."""
    return f"{planned.verb} {planned.target_name}"


@dataclass(slots=True)
class Containment:
    """One effect. `ended` is the reason for which it was taken back."""

    planned: Planned
    step: str
    since: Seconds
    doubtful: bool = False
    ended: str = ""

    def state(self, now: Seconds) -> str:
        """What has become of it by now, as one of soar.rehearsal.model.ENDS."""
        if self.ended or self.doubtful:
            return self.ended or "in_doubt"
        over = bool(self.planned.lease) and now >= self.since + self.planned.lease
        if VERBS[self.planned.verb].on_expiry is OnExpiry.LIFT:
            return "lifted" if over else "stands"
        late = now >= self.since + (self.planned.review or DEFAULT_REVIEW)
        return "overdue" if over or late else "stands"


@dataclass(slots=True)
class Register:
    """All containments of one run, in the order in which they were made."""

    made: list[Containment] = field(default_factory=list)

    def place(self, planned: Planned, step: str, now: Seconds, *, doubtful: bool = False) -> None:
        """A call had its effect, or nobody knows whether it had."""
        if VERBS[planned.verb].contains:
            self.made.append(Containment(planned, step, now, doubtful))

    def standing(self, steps: tuple[str, ...], now: Seconds) -> list[Containment]:
        """What these steps have left standing."""
        return [each for each in self.made if each.step in steps and each.state(now) in ("stands", "overdue")]

    def end(self, undone: str, reason: str) -> None:
        """Take one back; `undone` is what its undo names."""
        self.made[int(undone)].ended = reason

    def undos(self, steps: tuple[str, ...], reason: str, now: Seconds) -> list[Planned]:
        """The inverse of each that stands because of these steps."""
        standing = {id(each) for each in self.standing(steps, now)}
        return [
            _inverse(each.planned, str(index), reason) for index, each in enumerate(self.made) if id(each) in standing
        ]

    def told(self, now: Seconds) -> dict[str, str]:
        """What became of everything by `verb target`. Where one effect was made twice, what still stands counts."""
        found: dict[str, str] = {}
        for each in self.made:
            name, state = label(each.planned), each.state(now)
            if found.get(name) not in ("stands", "overdue", "in_doubt"):
                found[name] = state
        return found


def _inverse(planned: Planned, number: str, reason: str) -> Planned:
    inverse = VERBS[VERBS[planned.verb].inverse]
    return Planned(
        verb=inverse.name, target=planned.target, target_name=planned.target_name, adapter=planned.adapter,
        params={name: value for name, value in planned.params.items() if name in inverse.params},
        lease=0, review=0, undo_of=number, undo_reason=reason,
    )  # fmt: skip
