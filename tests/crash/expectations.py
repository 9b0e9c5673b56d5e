"""The crash matrix as it is specified: row, fault, and what each class must end as, with the reason.

A cell reads `state calls effects`: the stored state of the action at the end, how often the target was
called with its key (both workers together), and how often that had an effect. The classes are R (reads),
A (the target takes our key), B (sets a state), C (neither, and nothing to look at: a script) and C+
(neither, but it can be inspected). The last column, B-, is class B at a target that cannot be read
when the second worker asks. "The action" of row K11 is an undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COLUMNS = ("R", "A", "B", "C", "C+", "B-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: where the process is hit (`at`), by what (`act`), what the target does, and the ends.

    `kills` says that the first worker does not live to see the end. `between` is what must be stored
    when the first worker is gone: the action's state, or "" where it is not sent yet (for class C the
    other one, where they differ).
    """

    id: str
    ends: Mapping[str, str]
    why: str
    at: str = ""
    act: str = ""
    target: str = ""
    story: str = "act"
    between: str | None = None

    @property
    def freezes(self) -> bool:
        return self.act in ("stop", "freeze")

    @property
    def kills(self) -> bool:
        return self.act in ("kill", "read_only") or self.target.startswith("hang")


def _each(**ends: str) -> Mapping[str, str]:
    """`seen` is C+, `blind` is B-."""
    return {{"seen": "C+", "blind": "B-"}.get(name, name): end for name, end in ends.items()}


_ONCE = _each(R="done 1 0", A="active 1 1", B="active 1 1", C="done 1 1", seen="active 1 1")
_UNDONE = _each(A="done 1 1", B="done 1 1", C="done 1 1", seen="done 1 1")
_NOT_SENT_DOUBT = _each(R="done 1 0", A="active 1 1", B="active 1 1", C="in_doubt 0 0", seen="in_doubt 0 0")
_DONE_UNHEARD = _each(R="done 2 0", A="active 1 1", B="active 1 1", C="in_doubt 1 1", seen="active 1 1")
_UNDONE_UNHEARD = _each(A="done 1 1", B="done 1 1", C="in_doubt 1 1", seen="done 1 1")
_NEVER = {
    state: _each(**dict.fromkeys(("R", "A", "B", "C", "seen"), f"{state} 0 0")) for state in ("refused", "cancelled")
}

MATRIX: tuple[Row, ...] = (
    Row(
        id="K0", at="claiming", act="kill", ends=_ONCE, between="",
        why="before the claim is committed nothing has happened: another worker does it, once",
    ),
    Row(
        id="K1", at="claimed", act="kill", ends=_ONCE, between="",
        why="claimed, no intent: the claim runs out, another worker does it, once",
    ),
    Row(
        id="K2", at="intent_stored", act="kill", ends={**_NOT_SENT_DOUBT, "B-": "in_doubt 0 0"}, between="calling",
        why="SAFETY 2: found in `calling`, not there -> the same key again (A, B); class C or unreadable -> in_doubt",
    ),
    Row(
        id="K3 cut before", target="cut_before",
        ends=_each(R="done 2 0", A="active 2 1", B="active 2 1", C="in_doubt 1 0", seen="in_doubt 1 0",
                   blind="in_doubt 1 0"),
        why="the line is cut and nothing was done: asked, not there -> repeated under its key; C is never repeated",
    ),
    Row(
        id="K3 cut after", target="cut_after", ends={**_DONE_UNHEARD, "B-": "in_doubt 1 1"},
        why="the line is cut after the deed: prior state absent and there now -> adopt, C too where it can be seen",
    ),
    Row(
        id="K3 hang before", target="hang_before", between="calling",
        ends=_each(R="done 2 0", A="active 2 1", B="active 2 1", C="in_doubt 1 0", seen="in_doubt 1 0",
                   blind="in_doubt 1 0"),
        why="killed while the target hangs and has done nothing: as cut before",
    ),
    Row(
        id="K3 hang after", target="hang_after", ends={**_DONE_UNHEARD, "B-": "in_doubt 1 1"}, between="calling",
        why="killed while the target hangs and has done it: as cut after",
    ),
    Row(
        id="K4", at="answered", act="kill", ends={**_DONE_UNHEARD, "B-": "in_doubt 1 1"}, between="calling",
        why="the answer was heard and lost with the process: inspection finds it and it is adopted",
    ),
    Row(
        id="K5", at="outcome_written", act="kill", ends={**_DONE_UNHEARD, "B-": "in_doubt 1 1"}, between="calling",
        why="outcome, event and next work are one transaction: nothing of it is stored, so it is as K4",
    ),
    Row(
        id="K6", at="outcome_stored", act="kill", ends=_ONCE,
        why="the outcome is stored with the next work: it is never done again, and the run goes on",
    ),
    Row(
        id="K7", target="later",
        ends=_each(R="done 1 0", A="active 1 1", B="active 1 1", C="in_doubt 1 0 or in_doubt 1 1",
                   seen="active 1 1"),
        why="202 is not effective: polled until it is so; what cannot be looked at is in doubt, whenever it comes",
    ),
    Row(
        id="K8", target="act_and_500", ends={**_DONE_UNHEARD, "B-": "in_doubt 1 1"},
        why="a 5xx says nothing: inspection finds it and it is adopted; C that cannot be seen is in doubt",
    ),
    Row(
        id="K9", target="lie",
        ends=_each(R="not_effective 1 0", A="not_effective 1 0", B="not_effective 1 0", C="done 1 0",
                   seen="not_effective 1 0"),
        why="answered as done, but it is not so; of a script that leaves nothing to look at, only the answer is known",
    ),
    Row(
        id="K10 claimed", at="claimed", act="stop", ends=_ONCE,
        why="frozen past its claim before the intent: another worker does it, the frozen one may not even begin",
    ),
    Row(
        id="K10 intent", at="intent_stored", act="stop", ends=_NOT_SENT_DOUBT,
        why="frozen past its claim between intent and send: the fence is looked at before the send, which is refused",
    ),
    Row(
        id="K10 sent", act="freeze", target="slow", ends=_DONE_UNHEARD,
        why="frozen past its claim while the target works: as cut after; what it hears at last, it may not write",
    ),
    Row(
        id="K10 answered", at="answered", act="stop", ends=_DONE_UNHEARD,
        why="frozen past its claim after the answer: its outcome is refused, the other worker's inspection stands",
    ),
    *(
        Row(id=f"K11 {point}", story="undo", at=point, act="kill", ends=ends, why=why)
        for point, ends, why in (
            ("claiming", _UNDONE, "an undo is an action with a key of its own: as K0"),
            ("claimed", _UNDONE, "as K1"),
            (
                "intent_stored",
                _each(A="done 1 1", B="done 1 1", C="in_doubt 0 0", seen="in_doubt 0 0"),
                "as K2: it stands still, so it is repeated; class C is asked about",
            ),
            ("answered", _UNDONE_UNHEARD, "as K4: it is gone, whoever ended it; a blind undo is in doubt"),
            ("outcome_written", _UNDONE_UNHEARD, "as K5"),
            ("outcome_stored", _UNDONE, "as K6"),
        )
    ),
    Row(
        id="K12 switch before", at="claimed", act="kill_switch", ends=_NEVER["refused"],
        why="the kill switch is thrown before the intent: no send",
    ),
    Row(
        id="K12 switch", at="intent_stored", act="kill_switch", ends=_NEVER["refused"],
        why="the kill switch is thrown between intent and send: no send later than half a second after",
    ),
    Row(
        id="K12 cancel before", at="claimed", act="cancel", ends=_NEVER["cancelled"],
        why="the run is cancelled before the intent: no send",
    ),
    Row(
        id="K12 cancel", at="intent_stored", act="cancel", ends=_NEVER["cancelled"],
        why="the run is cancelled between intent and send: no send",
    ),
    Row(
        id="K12 pause before", at="claimed", act="pause", ends=_ONCE,
        why="the run is paused before the intent: no send until it is resumed, then once",
    ),
    Row(
        id="K12 pause", at="intent_stored", act="pause", ends=_ONCE,
        why="the run is paused between intent and send: no send until it is resumed, then once",
    ),
    Row(
        id="K13", at="claimed", act="read_only", ends=_ONCE, between="",
        why="the database refuses every write: the intent cannot be stored, so nothing is sent; resumes after",
    ),
)  # fmt: skip
