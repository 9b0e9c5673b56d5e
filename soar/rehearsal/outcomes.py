"""Reads how steps come out: `given: steps:` of a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soar.engine.routes import kind_of
from soar.playbook.checks.check_steps import fits
from soar.playbook.model import (
    ActionStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    Soar,
    Step,
    SwitchStep,
    Variable,
    WhileStep,
)
from soar.playbook.places import nearest
from soar.playbook.vocabulary import outputs_of
from soar.playbook.yaml.fields import Reader
from soar.rehearsal.model import DECISIONS, RESULTS, TARGET_RESULTS, Outcome, TargetOutcome, Vote
from soar.strict_text import escaped, shown
from soar.verbs import BLOCK_VERB

_ACT = ("result", "reason", "outputs", "takes", "targets", "approval", "evidence")
_ASK = ("result", "reason", "answer", "takes")
_GROUP = ("approval", "evidence")
_OTHER = ("result", "reason", "outputs", "takes")


@dataclass(frozen=True, slots=True)
class Steps:
    """A playbook's steps by the names that a rehearsal uses."""

    playbook: Playbook
    names: Mapping[str, str]
    by_name: Mapping[str, Step] = field(init=False)

    def __post_init__(self) -> None:
        found = {name: self.playbook.workflow[step_id] for step_id, name in self.names.items()}
        object.__setattr__(self, "by_name", found)

    def near(self, word: str) -> str:
        """How to mend the name of a step that is not there."""
        return nearest(word, self.by_name, "Name a step by its id, or by its path.")


def asks_person(step: Step) -> bool:
    """The step is a question to a person."""
    return isinstance(step, ActionStep) and kind_of(step) == "manual"


def read_outcomes(
    reader: Reader, given: Mapping[str, Any], pointer: str, steps: Steps
) -> dict[str, tuple[Outcome, ...]]:
    """By step name. A list is one outcome for each time that the step is performed."""
    found: dict[str, tuple[Outcome, ...]] = {}
    for name, raw in reader.take(given, "steps", pointer, dict, {}).items():
        at = f"{pointer}/steps/{escaped(name)}"
        step = steps.by_name.get(name)
        if step is None:
            message = f"the playbook has no step {shown(name)}"
            reader.note("unknown_step", message, f"{at}#key", steps.near(name))
            continue
        several = raw if isinstance(raw, list) else [raw]
        if not several:
            reader.note("empty", "there is no outcome here", at, "Write one for each time that the step is performed.")
        places = [f"{at}/{index}" for index in range(len(several))] if isinstance(raw, list) else [at]
        found[name] = tuple(
            _outcome(reader, each, where, step) for each, where in zip(several, places, strict=True)
        ) or (Outcome(),)
    return found


def _outcome(reader: Reader, raw: Any, at: str, step: Step) -> Outcome:
    if isinstance(raw, str):
        raw = {"result": raw}
        data: Mapping[str, Any] | None = raw
        if raw["result"] not in RESULTS:
            reader.note("unknown_word", f"an outcome may not be {shown(raw['result'])}", at, nearest("", RESULTS))
            return Outcome()
    else:
        data = reader.mapping(raw, at, "an outcome")
    if data is None:
        return Outcome()
    reader.known_keys(data, _keys(step), at, f"the outcome of such a step ({step.type})")
    result = reader.word(data, "result", at, RESULTS, "ok")
    outputs = reader.take(data, "outputs", at, dict, {})
    _typed(reader, outputs, f"{at}/outputs", step)
    return Outcome(
        result=result if result in RESULTS else "ok",  # type: ignore[arg-type]
        reason=reader.text(data, "reason", at),
        outputs=outputs,
        takes=reader.seconds(data, "takes", at) if "takes" in data else None,
        targets=_targets(reader, data, at),
        approval=_vote(reader, data, at),
        evidence=reader.seconds(data, "evidence", at),
        answer=_answer(reader, data, at, step, result),
    )


def _keys(step: Step) -> tuple[str, ...]:
    match step:
        case ParallelStep():
            return _GROUP
        case IfStep() | WhileStep() | SwitchStep():
            return ("answer", "takes", "result", "reason")
        case PlaybookActionStep():
            return _OTHER
    return _ASK if asks_person(step) else _ACT


def _typed(reader: Reader, outputs: Mapping[str, Any], at: str, step: Step) -> None:
    """Outputs are those that the step's verb has, of their types."""
    soar = step.soar or Soar()
    if not soar.verb:
        return
    known = dict(outputs_of(soar.verb, soar.outputs))
    if soar.verb == "block_indicators":  # what the blocks themselves bring
        known |= {name: kind for verb in BLOCK_VERB.values() for name, kind in outputs_of(verb, {}).items()}
    for name, value in outputs.items():
        if name not in known:
            message = f"{soar.verb} has no output {shown(name)}"
            mend = nearest(name, known) or f"{soar.verb} has no outputs."
            reader.note("unknown_output", message, f"{at}/{escaped(name)}#key", mend)
        elif not fits(Variable(type=known[name]), value):
            reader.note("wrong_type", f"{name} must be {known[name]}", f"{at}/{escaped(name)}")


def _targets(reader: Reader, data: Mapping[str, Any], pointer: str) -> dict[str, TargetOutcome]:
    """By the id or the value of a target: a word, or a mapping with `result` and `reason`."""
    found: dict[str, TargetOutcome] = {}
    raw = reader.take(data, "targets", pointer, dict, {})
    for name, said in raw.items():
        at = f"{pointer}/targets/{escaped(name)}"
        if isinstance(said, dict):
            reader.known_keys(said, ("result", "reason"), at, "a target's outcome")
            result, reason = reader.word(said, "result", at, TARGET_RESULTS, "ok"), reader.text(said, "reason", at)
        else:
            result, reason = reader.word(raw, name, f"{pointer}/targets", TARGET_RESULTS, "ok"), ""
        if result in TARGET_RESULTS:
            found[name] = TargetOutcome(result=result, reason=reason)  # type: ignore[arg-type]
    return found


def _vote(reader: Reader, data: Mapping[str, Any], pointer: str) -> Vote:
    """`approval: denied`, or a mapping with `decision` and `after`."""
    raw, at = data.get("approval"), f"{pointer}/approval"
    if isinstance(raw, dict):
        reader.known_keys(raw, ("decision", "after"), at, "an approval's outcome")
        decision, after = reader.word(raw, "decision", at, DECISIONS, "granted"), reader.seconds(raw, "after", at)
    else:
        decision, after = reader.word(data, "approval", pointer, DECISIONS, "granted"), 0
    return Vote(decision=decision if decision in DECISIONS else "granted", after=after)  # type: ignore[arg-type]


def _answer(reader: Reader, data: Mapping[str, Any], pointer: str, step: Step, result: str) -> Any:
    """What a person says: to a manual step one value for each output, to a condition which way it goes."""
    at = f"{pointer}/answer"
    if isinstance(step, IfStep | WhileStep):
        return reader.take(data, "answer", pointer, bool, None)
    if isinstance(step, SwitchStep):
        return reader.take(data, "answer", pointer, str, None)
    if not asks_person(step):
        return None
    wanted = step.soar.outputs if step.soar else {}
    if result != "ok":
        return None
    given = reader.take(data, "answer", pointer, dict, {}, need=bool(wanted))
    reader.known_keys(given, wanted, at, "the answer")
    for name, kind in wanted.items():
        if name in given and not fits(Variable(type=kind), given[name]):
            reader.note("wrong_type", f"{name} must be {kind}", f"{at}/{escaped(name)}")
        elif name not in given and "answer" in data:
            reader.note("missing_key", f"{name} is asked for", at, f"Add {name}: {kind}.")
    return given
