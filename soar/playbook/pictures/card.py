"""What the picture of a playbook says of each step: its card, in words and in lines that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soar.model import EntityKind
from soar.phases import Phase
from soar.playbook import durations
from soar.playbook.model import ActionStep, Playbook, PlaybookActionStep, Soar, Step
from soar.playbook.phrases import (
    approval_words,
    destroys,
    heading,
    length_words,
    name_of,
    parameters_words,
    retry_words,
    turns_words,
    value_words,
)
from soar.playbook.pictures.lettering import LONGEST, clean, wrap
from soar.verbs import VERBS, Risk

WIDTH = 300.0
BAND = 30.0
"""The stripe at the left that shows the phase."""
MARGIN = 10.0
ICON = 18.0
CAPTION_SIZE, TITLE_SIZE, ROW_SIZE = 11.0, 14.0, 11.5
CAPTION_STEP, TITLE_STEP, ROW_STEP = 16.0, 18.5, 16.0
_TITLE_LINES, _ROW_LINES = 4, 3
_PAD = 9.0

_SIGNS: Mapping[str, str] = {
    "parallel": "both", "if-condition": "which", "switch-condition": "which", "while-condition": "again",
    "playbook-action": "book",
}  # fmt: skip
_PHASE_OF_ACTIVITY: Mapping[str, Phase] = {
    **dict.fromkeys(
        ("scan-system", "match-indicator", "analyze-collected-data", "identify-indicators", "map-network"),
        Phase.DETECTION,
    ),
    **dict.fromkeys(("restrict-access", "disconnect-system"), Phase.CONTAINMENT),
    **dict.fromkeys(("eliminate-risk", "configure-systems"), Phase.ERADICATION),
    **dict.fromkeys(("revert-system", "restore-data", "restore-capabilities"), Phase.RECOVERY),
    "scan-vulnerabilities": Phase.PREPARATION,
}
"""What a foreign command says of its phase (CACAO 2.0, playbook-activity-type-ov, section 3.1.2)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is said of a step; `icon` is one of soar.playbook.icons, or "" for none."""

    icon: str
    text: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A step as it is drawn. `full` is everything that it says, uncut.

    `sign` is the icon in the place of a phase's letter; `way` says that the step only decides the way.
    """

    step_id: str
    sign: str
    way: bool
    phase: Phase | None
    caption: str
    title: tuple[str, ...]
    rows: tuple[Row, ...]
    full: str

    @property
    def height(self) -> float:
        """With the space above and below the text."""
        lines = sum(len(row.lines) for row in self.rows)
        return _PAD * 2 + (CAPTION_STEP if self.caption else 0) + TITLE_STEP * len(self.title) + ROW_STEP * lines


def card(playbook: Playbook, step: Step, *, undone_by: tuple[str, ...] = (), on_failure: str = "") -> Card:
    """The card of a step. `undone_by` names the steps that take it back; `on_failure` says what no line shows."""
    room = WIDTH - BAND - 2 * MARGIN
    caption = _caption(step)
    said = [(icon, clean(text)) for icon, text in _rows(playbook, step)]
    said += [("undo", f"taken back by {', '.join(undone_by)}")] if undone_by else []
    said += [("fail", clean(on_failure))] if on_failure else []
    rows = [
        Row(icon, text, tuple(wrap(text, ROW_SIZE, room - (ICON if icon else 0), most=_ROW_LINES)))
        for icon, text in said
        if text
    ]
    title = clean(heading(step))
    phase = phase_of(step)
    parts = [caption, title, *(text for _, text in said if text), f"phase: {phase.value}" if phase else ""]
    return Card(
        step_id=step.id,
        sign=_sign(step),
        way=bool(step.heads),
        phase=phase,
        caption=(wrap(caption, CAPTION_SIZE, room, most=1) or [""])[0],
        title=tuple(wrap(title, TITLE_SIZE, room, most=_TITLE_LINES, bold=True)),
        rows=tuple(rows),
        full=". ".join(dict.fromkeys(filter(None, parts)))[:LONGEST],
    )


def phase_of(step: Step) -> Phase | None:
    """The phase that a step belongs to by itself; None for one that takes the phase around it."""
    soar = step.soar or Soar()
    if soar.phase:
        return Phase(soar.phase) if soar.phase in set(Phase) else None
    if soar.undo:
        return Phase.RECOVERY if soar.reason == "recovered" else None
    if soar.verb in VERBS:
        verb = VERBS[soar.verb]
        return None if verb.target_kind is EntityKind.TEAM else verb.phase
    for command in step.commands if isinstance(step, ActionStep) else ():
        phase = _PHASE_OF_ACTIVITY.get(str(command.get("playbook_activity")))
        if phase:
            return phase
    return None


def _sign(step: Step) -> str:
    """What kind of step it is: one that decides the way, asks a person, or does something."""
    if step.type in _SIGNS:
        return _SIGNS[step.type]
    soar = step.soar or Soar()
    commands = step.commands if isinstance(step, ActionStep) else ()
    by_hand = bool(commands) and all(command.get("type") == "manual" for command in commands)
    return "person" if soar.manual or (by_hand and not (soar.verb or soar.undo)) else ""


def _caption(step: Step) -> str:
    """Short name, and the name in words where it says more; of a foreign step what kind it is."""
    title = heading(step)
    known = {title.lower(), step.id, "if", "while", "switch", "parallel"}
    names = [each for each in dict.fromkeys((name_of(step), step.name)) if each.lower() not in known]
    said = " · ".join(each for each in names if not each[:1].isdigit())
    if said or step.soar is not None:
        return clean(said)
    return "a person is asked" if _sign(step) == "person" else step.type.replace("-", " ")


def _rows(playbook: Playbook, step: Step) -> Iterator[tuple[str, str]]:
    """Icon and text of everything else that a reviewer wants to know."""
    soar = step.soar or Soar()
    if soar.for_each:
        yield "each", f"for each {soar.as_} in {soar.for_each}"
    yield "", parameters_words({name: value for name, value in soar.with_.items() if value != f"${soar.as_}"})
    yield from _commands(playbook, step, soar)
    if soar.outputs:
        yield "", "answers: " + ", ".join(f"{name} ({kind})" for name, kind in soar.outputs.items())
    if soar.verb in VERBS and VERBS[soar.verb].risk is Risk.DESTRUCTIVE:
        yield "danger", f"cannot be taken back; destroys {destroys(step)}"
    elif destroys(step):
        yield "danger", f"destroys {destroys(step)}"
    if soar.approval:
        yield "person", f"asks {approval_words(soar.approval)}"
    if soar.undo:
        yield "undo", f"reason: {soar.reason}"
    yield from _times(step, soar)
    if soar.retry:
        yield "again", retry_words(soar.retry)
    if turns := turns_words(step):
        yield "again", turns
    if soar.partial_ok:
        yield "", "goes on when some targets fail"
    if soar.continue_on_failure:
        yield "fail", "goes on after a failure too"


def _commands(playbook: Playbook, step: Step, soar: Soar) -> Iterator[tuple[str, str]]:
    """What a foreign step runs, who carries it out, and at what."""
    if isinstance(step, PlaybookActionStep):
        yield "", f"version {step.playbook_version}" if step.playbook_version else "in its newest version"
    if not isinstance(step, ActionStep) or soar.verb or soar.undo or soar.manual:
        return
    for command in step.commands:
        text = value_words(command.get("command") or command.get("description") or "")
        yield "", f"{command.get('type')}: {text}" if text else str(command.get("type"))
    if step.agent:
        yield "", f"by {_named(playbook.agent_definitions, step.agent)}"
    if step.targets:
        yield "", "on " + ", ".join(_named(playbook.target_definitions, each) for each in step.targets)


def _named(definitions: Mapping[str, object], wanted: str) -> str:
    found = definitions.get(wanted)
    name = found.get("name") if isinstance(found, Mapping) else None
    return str(name or wanted.partition("--")[0])


def _times(step: Step, soar: Soar) -> Iterator[tuple[str, str]]:
    spans = [
        ("waits", durations.in_seconds(step.delay), "first"),
        ("for", soar.for_, ""),
        ("ends after", soar.lease, ""),
        ("review within", soar.review, ""),
        ("answer within", soar.within, {"escalate": "else asks again", "deny": "else no"}.get(soar.on_timeout, "")),
        ("at most", durations.in_seconds(step.timeout), "then it has failed"),
    ]
    said = [" ".join(filter(None, (before, length_words(span), after))) for before, span, after in spans if span]
    if said:
        yield "clock", "; ".join(said)
