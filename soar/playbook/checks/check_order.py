"""Rules of order, each over every path: evidence before its loss, proof before release, containment before recovery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from soar.errors import Problem
from soar.model import EntityKind
from soar.phases import Phase
from soar.playbook.checks.paths import Change, facts_before
from soar.playbook.checks.subject import Subject
from soar.playbook.model import ActionStep, IfStep, Soar, Step, SwitchStep, WhileStep
from soar.playbook.references import references
from soar.playbook.vocabulary import bare_name
from soar.release import Reason
from soar.verbs import VERBS, OnExpiry, Risk, Verb

_CLASSES = ("memory", "processes", "connections", "disk", "logs", "sessions", "mail")
_EVIDENCE = {name: 1 << index for index, name in enumerate(_CLASSES)}
_ALL_EVIDENCE = (1 << len(_CLASSES)) - 1
_CLEAN, _RESET, _REVOKED, _JUDGED, _CONTAINED, _ERADICATED, _RECOVERED = (1 << n for n in range(10, 17))

_PROOFS: Mapping[str, int] = {
    "verify_clean": _CLEAN | _JUDGED,
    "rebuild_host": _CLEAN | _JUDGED,
    "reset_password": _RESET,
    "revoke_sessions": _REVOKED,
    "snapshot_host": _EVIDENCE["memory"] | _EVIDENCE["disk"],
}
"""What a verb proves, or brings, when it succeeds."""
_JUDGES = frozenset({"scan", "look_up", "verify_clean"})
"""Verbs whose outputs are a verdict, once somebody looks at them."""


def order(subject: Subject) -> Iterator[Problem]:
    """What must come first comes first, on every path."""
    before = facts_before(subject.flow, _changes(subject))
    if before is None:
        return  # said already: the branches are not their own
    for step in subject.playbook.workflow.values():
        held = before[step.id]
        if not isinstance(step, ActionStep) or step.soar is None:
            continue
        verb = VERBS.get(step.soar.verb)
        if verb is not None:
            yield from _evidence(subject, step, verb, held)
            yield from _phases(subject, step, verb, held)
            if verb.name == "restore_backup":
                yield from _judged(subject, step, "do", held)
        elif step.soar.undo:
            yield from _released(subject, step, step.soar, held)


def _changes(subject: Subject) -> dict[str, Change]:
    return {step.id: _change(subject, step) for step in subject.playbook.workflow.values()}


def _change(subject: Subject, step: Step) -> Change:
    if isinstance(step, IfStep | SwitchStep | WhileStep):
        return Change(_JUDGED if _looks_at_a_verdict(subject, step) else 0)
    soar = step.soar
    if not isinstance(step, ActionStep) or soar is None:
        return Change()
    if soar.undo:
        return Change(_RECOVERED if soar.phase in ("", Phase.RECOVERY) else 0)
    verb = VERBS.get(soar.verb)
    if verb is None:
        return Change(_JUDGED if soar.outputs else 0)
    adds, takes = _PROOFS.get(verb.name, 0), 0
    if verb.name == "collect_evidence":
        adds |= _collected(soar)
    if verb.contains or verb.name == "block_indicators":
        adds |= _CONTAINED
        takes = {EntityKind.HOST: _CLEAN, EntityKind.ACCOUNT: _RESET | _REVOKED}.get(verb.target_kind, 0)
    phase = soar.phase or verb.phase
    adds |= _ERADICATED if phase == Phase.ERADICATION and not verb.reads else 0
    adds |= _RECOVERED if phase == Phase.RECOVERY and verb.name == "restore_backup" else 0
    return Change(adds, takes)


def _looks_at_a_verdict(subject: Subject, step: IfStep | SwitchStep | WhileStep) -> bool:
    """Whether a decision hangs on what a person said, or what a judging verb found."""
    text = step.switch if isinstance(step, SwitchStep) else step.condition
    for name in text.split("__"):
        soar = subject.slugs[name].soar if name in subject.slugs else None
        if soar and (soar.verb in _JUDGES or soar.outputs):
            return True
    return bool(subject.foreign and bare_name(text) in subject.playbook.variables)


def _collected(soar: Soar) -> int:
    """The classes of evidence that a collection takes; one that is told by a reference may take all."""
    items = soar.with_.get("items")
    if any(references(items)) or not isinstance(items, list | tuple):
        return _ALL_EVIDENCE
    taken = 0
    for item in items:
        taken |= _EVIDENCE.get(item, 0) if isinstance(item, str) else 0
    return taken


def _evidence(subject: Subject, step: Step, verb: Verb, held: int) -> Iterator[Problem]:
    """The guard `evidence` stops, or holds up, whoever destroys what was not collected."""
    missing = [name for name in sorted(verb.destroys) if not held & _EVIDENCE.get(name, 0)]
    urgent = subject.playbook.urgency == "immediate" and verb.phase is Phase.CONTAINMENT
    if not missing or verb.target_kind is not EntityKind.HOST or (urgent and verb.risk is not Risk.DESTRUCTIVE):
        return
    message = f"a path leads to {verb.name}, which destroys {', '.join(missing)}, before that is collected"
    mend = "Put collect_evidence before it"
    mend += ", or write urgency: immediate." if verb.phase is Phase.CONTAINMENT else "."
    yield subject.problem("evidence_after_loss", message, step, "do", mend)


def _phases(subject: Subject, step: Step, verb: Verb, held: int) -> Iterator[Problem]:
    """Containment comes before eradication and recovery, or the step says why not; a new finding may contain anew."""
    contains = (verb.contains and verb.phase is Phase.CONTAINMENT) or verb.name == "block_indicators"
    late = held & _RECOVERED or (held & _ERADICATED and not held & _CONTAINED)
    if not contains or not late or (step.soar and step.soar.phase):
        return
    around = (subject.playbook.workflow[opener] for opener in subject.flow.openers(step.id))
    if any(isinstance(each, IfStep | SwitchStep | WhileStep) for each in around):
        return
    what = "recovery" if held & _RECOVERED else "eradication"
    message = f"{step.label} contains after {what} has begun"
    yield subject.problem("phase_out_of_order", message, step, "do", "Put it first, or say phase: on the step.")


def _released(subject: Subject, step: Step, soar: Soar, held: int) -> Iterator[Problem]:
    """The release gate wants the cause gone; a block or a quarantine ends when somebody judged it."""
    verbs = [other.soar.verb for name in soar.undo if (other := subject.slugs.get(name)) and other.soar]
    undone = [VERBS[name] for name in verbs if name in VERBS]
    holds = [verb for verb in undone if verb.on_expiry is OnExpiry.HOLD]
    if holds and not subject.asks_first(step):
        message = f"{step.label} ends {holds[0].name}, and names nobody who agrees"
        mend = "Add approval: {any_of: [responder], within: 4h, on_timeout: escalate}."
        yield subject.problem("release_without_approval", message, step, "undo", mend)
    if soar.reason == Reason.MISTAKEN and not subject.asks_first(step):
        yield from _judged(subject, step, "undo", held)
    if soar.reason != Reason.RECOVERED:
        return
    kinds = {verb.target_kind for verb in holds if verb.phase is Phase.CONTAINMENT}
    if EntityKind.HOST in kinds and not held & _CLEAN:
        message = f"a path leads to {step.label} without verify_clean or rebuild_host after the containment"
        yield subject.problem("release_before_clean", message, step, "undo", "Put verify_clean before it.")
    if EntityKind.ACCOUNT in kinds and held & (_RESET | _REVOKED) != _RESET | _REVOKED:
        message = f"a path leads to {step.label} without reset_password and revoke_sessions after the containment"
        yield subject.problem("release_before_reset", message, step, "undo", "Put both before it.")
    if not kinds & {EntityKind.HOST, EntityKind.ACCOUNT}:
        yield from _judged(subject, step, "undo", held)


def _judged(subject: Subject, step: Step, key: str, held: int) -> Iterator[Problem]:
    if not held & (_JUDGED | _CLEAN):
        message = f"a path leads to {step.label}, and nothing and nobody judged it clean or benign before"
        mend = "Put verify_clean, a question with an answer, or an if over a verdict before it."
        yield subject.problem("restore_without_verdict", message, step, key, mend)
