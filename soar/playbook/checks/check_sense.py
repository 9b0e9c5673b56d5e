"""Rules of what makes sense: limits of time, consent, words that say nothing where they stand, who can do it."""

from __future__ import annotations

from collections.abc import Iterator

from soar.errors import Problem
from soar.playbook import schedules
from soar.playbook.checks.subject import Subject
from soar.playbook.commands import COMMAND_VERBS
from soar.playbook.model import ActionStep, ParallelStep
from soar.playbook.references import references
from soar.verbs import BLOCK_VERB, VERBS, Risk

_RISKY = frozenset({Risk.MEDIUM, Risk.HIGH, Risk.DESTRUCTIVE})


def timed(subject: Subject) -> Iterator[Problem]:
    """Limits of time go together: a question's with what silence means, a step's with its approval's."""
    for step, soar in subject.steps():
        if soar.manual and soar.within and not soar.on_timeout:
            message, mend = "this question has a time limit and does not say what silence means", "Add on_timeout."
            yield subject.problem("within_without_on_timeout", message, step, "within", mend)
        if soar.manual and soar.on_timeout and not soar.within:
            message = "this question has no time limit, so that on_timeout means nothing"
            yield subject.problem("on_timeout_without_within", message, step, "on_timeout", "Add within: 4h, or so.")
        if soar.approval and 0 < step.timeout < soar.approval.within * 1_000:
            message = "the step has timed out before its approval has: a timeout bounds the wait for approval too"
            yield subject.problem("timeout_before_approval", message, step, "timeout", "Make it longer.")


def consent(subject: Subject) -> Iterator[Problem]:
    """Whoever does what cannot be taken back was told to by a person, and silence is no consent."""
    automatic = any(trigger.start == "automatic" for trigger in subject.playbook.triggers)
    for step, soar in subject.steps():
        verb = VERBS.get(soar.verb)
        if soar.approval and soar.approval.on_timeout == "go_on" and (verb is None or verb.risk in _RISKY):
            message, mend = "if nobody answers, it is done all the same", "Write on_timeout: escalate or deny."
            yield subject.problem("silence_is_consent", message, step, "approval/on_timeout", mend)
        if verb is None or subject.asks_first(step):
            continue
        if verb.risk is Risk.DESTRUCTIVE:
            message = f"{verb.name} cannot be taken back, and nobody is asked"
            mend = "Add approval: {any_of: [responder], within: 30m, on_timeout: escalate}."
            yield subject.problem("destructive_without_approval", message, step, "do", mend)
        elif automatic and verb.risk in _RISKY:
            message = f"the playbook starts by itself, and {verb.name} asks nobody"
            mend = "Write start: propose on the trigger, or add an approval."
            yield subject.problem("automatic_harm", message, step, "do", mend)


def combinations(subject: Subject) -> Iterator[Problem]:
    """Words that say nothing where they stand."""
    for step, soar in subject.steps():
        if soar.for_each and not any(each.name == soar.as_ for each in references([soar.with_, soar.for_])):
            message = f"nothing in this step speaks of ${soar.as_}: it does the same for each element"
            mend = f"Use ${soar.as_}, or remove for_each."
            yield subject.problem("element_unused", message, step, "for_each", mend)
        if soar.partial_ok and soar.verb in VERBS and not soar.for_each and soar.verb != "block_indicators":
            message, mend = "one target cannot succeed in part", "Remove partial, or add for_each."
            yield subject.problem("partial_of_one", message, step, "partial", mend)
        if len(set(soar.undo)) < len(soar.undo):
            yield subject.problem("undone_twice", "undo names a step twice", step, "undo", "Name each step once.")
        if isinstance(step, ParallelStep) and (soar.together or soar.approval) and not _acts(subject, step):
            message, mend = "no branch does anything that could be prepared together", "Remove together and approval."
            yield subject.problem("together_of_nothing", message, step, "together", mend)


def _acts(subject: Subject, step: ParallelStep) -> bool:
    """Whether an action stands in a branch."""
    inside = (subject.playbook.workflow[each] for each in subject.flow.inside(step.id))
    return any(
        isinstance(each, ActionStep) and (each.soar is None or each.soar.verb or each.soar.undo or not each.soar.manual)
        for each in inside
    )


def timetable(subject: Subject) -> Iterator[Problem]:
    """A playbook that begins by the clock begins at times that exist, with the inputs that it needs."""
    yield from schedules.problems(subject.playbook, subject.places)


def adapters(subject: Subject) -> Iterator[Problem]:
    """Each verb, and each type of command, can be done by a configured adapter; asked only where these are known."""
    if subject.able is None:
        return
    for step in subject.actions():
        soar = step.soar
        kinds = () if soar and (soar.verb or soar.undo) else {str(command.get("type")) for command in step.commands}
        wanted = {COMMAND_VERBS[kind] for kind in kinds if kind in COMMAND_VERBS}
        wanted |= {soar.verb} if soar and soar.verb in VERBS else set()
        for name in sorted(wanted):
            # block_indicators is made of blocks, by the engine; what it cannot block it leaves out and says so.
            doing = set(BLOCK_VERB.values()) if name == "block_indicators" else {name}
            if not doing & set(subject.able):
                message, mend = f"no configured adapter can do {name}", "Connect one that can, or leave the step out."
                yield subject.problem("no_adapter", message, step, "do", mend)
