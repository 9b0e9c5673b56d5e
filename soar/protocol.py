"""The action protocol: the states of one action, and what follows from what was seen.

    planned -> waiting -> ready -> calling -> confirmed -> verified -> active | done
                                          -> accepted  -> ...

An action is *planned* when its target and parameters are fixed. It *waits* for an approval, is
*ready* when nothing stands in its way, and is *calling* from the commit of its intent until the
commit of its outcome: whoever finds it there must ask the target before doing anything. It is
*verified* when the target was seen to have changed, then *active* while its effect stands, or
*done* if there is nothing to take back. An answer that had no effect is *not_effective*; an
outcome that nobody can tell is *in_doubt*, and stays so until inspection or a person says.
What was true before we came is *satisfied*, and never ours to undo.

`MOVES` is the whole law; nothing else may change a state.
"""

from __future__ import annotations

from enum import StrEnum

from soar.errors import Conflict
from soar.model import Inspection, Repeat


class State(StrEnum):
    """Where an action stands (stored)."""

    PLANNED = "planned"
    WAITING = "waiting"
    READY = "ready"
    CALLING = "calling"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    VERIFIED = "verified"
    ACTIVE = "active"
    DONE = "done"
    SATISFIED = "satisfied"
    NOT_EFFECTIVE = "not_effective"
    IN_DOUBT = "in_doubt"
    FAILED = "failed"
    REFUSED = "refused"
    DENIED = "denied"
    LAPSED = "lapsed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    OVERDUE = "overdue"
    REVERTING = "reverting"
    REVERTED = "reverted"
    REVERT_FAILED = "revert_failed"
    LIFTED = "lifted"
    DRIFTED = "drifted"
    HANDED_OVER = "handed_over"
    TARGET_GONE = "target_gone"


S = State
_ENDED_BY_HAND = {S.HANDED_OVER, S.TARGET_GONE}

MOVES: dict[State, frozenset[State]] = {
    S.PLANNED: frozenset({S.WAITING, S.READY, S.SATISFIED, S.REFUSED, S.FAILED, S.CANCELLED, S.SKIPPED}),
    S.WAITING: frozenset({S.READY, S.DENIED, S.LAPSED, S.REFUSED, S.CANCELLED, S.PLANNED}),
    # ready -> verified: the effect is already ours, so a second hold is all it takes
    S.READY: frozenset({S.CALLING, S.VERIFIED, S.SATISFIED, S.REFUSED, S.FAILED, S.CANCELLED, S.PLANNED}),
    # calling -> ready: it is known that nothing was sent, so the same key may be tried again
    S.CALLING: frozenset({S.ACCEPTED, S.CONFIRMED, S.NOT_EFFECTIVE, S.IN_DOUBT, S.FAILED, S.READY}),
    S.ACCEPTED: frozenset({S.CONFIRMED, S.NOT_EFFECTIVE, S.IN_DOUBT, S.FAILED}),
    S.CONFIRMED: frozenset({S.VERIFIED, S.NOT_EFFECTIVE, S.IN_DOUBT}),
    S.VERIFIED: frozenset({S.ACTIVE, S.DONE}),
    S.ACTIVE: frozenset({S.OVERDUE, S.REVERTING, S.DRIFTED, S.LIFTED} | _ENDED_BY_HAND),
    S.OVERDUE: frozenset({S.ACTIVE, S.REVERTING, S.DRIFTED, S.LIFTED} | _ENDED_BY_HAND),
    S.DRIFTED: frozenset({S.ACTIVE, S.REVERTING, S.LIFTED} | _ENDED_BY_HAND),
    S.REVERTING: frozenset({S.REVERTED, S.LIFTED, S.REVERT_FAILED, S.ACTIVE}),
    S.REVERT_FAILED: frozenset({S.REVERTING, S.REVERTED, S.LIFTED} | _ENDED_BY_HAND),
    S.NOT_EFFECTIVE: frozenset({S.CONFIRMED, S.FAILED} | _ENDED_BY_HAND),
    S.IN_DOUBT: frozenset({S.CONFIRMED, S.READY, S.FAILED} | _ENDED_BY_HAND),
    **{
        end: frozenset()
        for end in (
            S.DONE, S.SATISFIED, S.FAILED, S.REFUSED, S.DENIED, S.LAPSED, S.CANCELLED, S.SKIPPED, S.REVERTED,
            S.LIFTED, S.HANDED_OVER, S.TARGET_GONE,
        )
    },
}  # fmt: skip

STANDING = frozenset({S.ACTIVE, S.OVERDUE, S.DRIFTED, S.REVERTING, S.REVERT_FAILED})
"""The effect is (or may still be) there because of us."""
ON_REGISTER = STANDING | {S.NOT_EFFECTIVE, S.IN_DOUBT, S.CALLING, S.ACCEPTED, S.CONFIRMED, S.VERIFIED}
"""What the register of containments must show."""
UNSETTLED = frozenset({S.CALLING, S.ACCEPTED, S.CONFIRMED, S.IN_DOUBT})
"""Sent, and nobody can say yet what is true at the target."""
UNSENT = frozenset({S.PLANNED, S.WAITING, S.READY})
"""Nothing has left this machine."""
GOOD = STANDING | {S.DONE, S.SATISFIED, S.REVERTED, S.LIFTED}
"""The step got what it wanted."""


def check_move(current: State, to: State) -> None:
    """Raises Conflict unless the table allows this move."""
    if to not in MOVES[current]:
        raise Conflict(f"an action that is {current.value} cannot become {to.value}")


class Recovery(StrEnum):
    """What to do with an action that was found in the middle of its call."""

    ADOPT = "adopt"
    REPEAT = "repeat"
    ASK = "ask"


def recover(repeat: Repeat, key: str, now: Inspection | None, *, undoes: bool = False) -> Recovery:
    """Decide from what the target shows now. The intent was stored only when the effect was absent.

    A read is repeated. An effect that is there now is ours: adopt it. One that is not there is
    repeated under the same key if repeating is safe. If the target cannot be read, or repeating
    is unsafe, somebody must be asked. An undo (`undoes`) wants the effect gone, whoever ended it.
    """
    if repeat is Repeat.READ:
        return Recovery.REPEAT
    if now is None or now.present is None:
        return Recovery.ASK
    if now.present:
        return Recovery.ADOPT if undoes or now.ours in (None, key) else Recovery.ASK
    return Recovery.ASK if repeat is Repeat.UNSAFE else Recovery.REPEAT
