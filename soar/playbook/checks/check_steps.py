"""Rules of single steps: verbs, parameters, holds, approvals, undo, loops, names, defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from soar.access import ROLES
from soar.errors import Invalid, Problem
from soar.playbook import durations
from soar.playbook.checks.subject import Subject
from soar.playbook.model import DEFAULT_TURNS, Variable, WhileStep
from soar.playbook.places import nearest
from soar.playbook.references import references
from soar.strict_text import shown
from soar.verbs import VERBS, OnExpiry

MOST_TURNS = 1_000
"""The largest bound of a while step."""

_SOURCE = re.compile(r"(?:alert|incident|scope)(?:\.[A-Za-z_]\w*)+", re.ASCII)
_INDEX = re.compile(r"\[\d*\]|\.\d+(?:\.|$)", re.ASCII)
_PYTHON: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "bool": (bool,), "list": (list, tuple), "dict": (dict,),
}  # fmt: skip


def verbs(subject: Subject) -> Iterator[Problem]:
    """A step may ask for what the vocabulary knows, and for nothing else."""
    for step, soar in subject.steps():
        if soar.verb and soar.verb not in VERBS:
            mend = nearest(soar.verb, VERBS, "See the list of verbs.")
            yield subject.problem("unknown_verb", f"there is no verb {shown(soar.verb)}", step, "do", mend)
        elif soar.verb and VERBS[soar.verb].undoes:
            message = f"{soar.verb} takes something back, and only an undo step asks the release gate"
            yield subject.problem(
                "undo_by_verb", message, step, "do", "Write undo: with the id of the step to take back."
            )


def parameters(subject: Subject) -> Iterator[Problem]:
    """Parameters fit their verb. What a reference will bring is known only when it runs."""
    for step, soar in subject.steps():
        verb = VERBS.get(soar.verb)
        if verb is None:
            continue
        for each in verb.problems(soar.with_):
            if each.code == "wrong_type" and any(references(soar.with_[each.pointer])):
                continue
            key = f"with/{each.pointer}" if each.pointer in soar.with_ else "with"
            mend = each.mend
            if each.code == "unknown_parameter":
                mend = nearest(each.pointer, verb.params, each.mend)
            yield subject.problem(each.code, each.message, step, key, mend)
        for name, spec in verb.params.items():
            value = soar.with_.get(name)
            if spec.type == "duration" and isinstance(value, str) and not any(references(value)):
                yield from _duration(subject, value, subject.pointer(step, f"with/{name}"))


def _duration(subject: Subject, value: str, pointer: str) -> Iterator[Problem]:
    try:
        durations.milliseconds(value)
    except Invalid as error:
        yield from subject.places.moved(error, pointer)


def holds(subject: Subject) -> Iterator[Problem]:
    """Whatever stands at a target has a date at which it ends or is looked at again."""
    for step, soar in subject.steps():
        verb = VERBS.get(soar.verb)
        if verb is None:
            continue
        if verb.on_expiry is OnExpiry.HOLD and soar.lease:
            message = f"{verb.name} stands until somebody ends it: a lease would lift it, and does not"
            yield subject.problem("hold_with_lease", message, step, "lease", "Write review: instead of lease:.")
        if verb.on_expiry is OnExpiry.HOLD and not soar.review:
            message = f"{verb.name} stands until somebody ends it, and no review is set"
            yield subject.problem("hold_without_review", message, step, "do", "Add review: 24h, or what fits.")
        if verb.on_expiry is OnExpiry.LIFT and not (soar.lease or soar.review):
            message = f"{verb.name} has neither lease nor review"
            yield subject.problem("containment_without_end", message, step, "do", "Add lease: 7d, or what fits.")
        if verb.on_expiry is OnExpiry.NONE:
            for key in ("lease", "review"):
                if getattr(soar, key):
                    message = f"{verb.name} leaves nothing that could end, so that {key} has no meaning"
                    yield subject.problem("time_not_here", message, step, key, f"Remove {key}.")
        if soar.for_ and verb.name != "watch":
            message = f"{verb.name} does not go on for a time"
            yield subject.problem("time_not_here", message, step, "for", "Only watch has `for`.")


def approvals(subject: Subject) -> Iterator[Problem]:
    """An approval says who, until when, and what happens when nobody answers."""
    for step, soar in subject.steps():
        if soar.approval is None:
            continue
        if not soar.approval.any_of:
            message, mend = "this approval names no role", "Add any_of: [responder], or who shall decide."
            yield subject.problem("approval_without_role", message, step, "approval", mend)
        for role in soar.approval.any_of:
            if "approval.vote" not in ROLES.get(role, ()):
                message = f"nobody with the role {shown(role)} may vote"
                voters = [name for name, may in ROLES.items() if "approval.vote" in may]
                yield subject.problem("unknown_role", message, step, "approval", nearest(role, voters))
        if not soar.approval.within:
            message, mend = "this approval has no time", "Add within: 30m, or what fits."
            yield subject.problem("approval_without_time", message, step, "approval", mend)
        if not soar.approval.on_timeout:
            message, mend = "this approval does not say what silence means", "Add on_timeout: escalate, deny or go_on."
            yield subject.problem("approval_without_on_timeout", message, step, "approval", mend)


def undos(subject: Subject) -> Iterator[Problem]:
    """Only what was done before, and can be taken back, is undone."""
    for step, soar in subject.steps():
        for name in soar.undo:
            other = subject.slugs.get(name)
            if other is None:
                mend = nearest(name, subject.slugs)
                yield subject.problem("unknown_step", f"there is no step {shown(name)}", step, "undo", mend)
                continue
            name_of_verb = other.soar.verb if other.soar else ""
            verb = VERBS.get(name_of_verb)
            if verb is None and name_of_verb:
                continue  # said already: there is no such verb
            if verb is None or not (verb.inverse or verb.name == "block_indicators"):
                message, mend = f"{name} cannot be taken back", "Undo steps whose verb has an inverse."
                yield subject.problem("cannot_undo", message, step, "undo", mend)
            elif not subject.flow.may_precede(name, step):
                message, mend = f"{name} cannot have run before this step", "Put the undo after it."
                yield subject.problem("not_before", message, step, "undo", mend)


def whiles(subject: Subject) -> Iterator[Problem]:
    """Every loop has a bound."""
    for step in subject.playbook.workflow.values():
        if not isinstance(step, WhileStep):
            continue
        bound = step.soar.max if step.soar else 0
        if not bound and subject.foreign:
            message = f"{step.label} has no bound: it is ended after {DEFAULT_TURNS} turns"
            mend = "Write it in YAML with max:, or see to it that its condition ends."
            yield subject.problem("loop_bounded", message, step, "while", mend)
        elif not bound:
            yield subject.problem("while_without_max", "this loop has no bound", step, "while", "Add max: 5, or so.")
        elif not 1 <= bound <= MOST_TURNS:
            yield subject.problem("out_of_range", f"max must lie between 1 and {MOST_TURNS}", step, "max")


def names(subject: Subject) -> Iterator[Problem]:
    """A name means one thing: a variable, a step, or the variable of a for_each."""
    variables = subject.playbook.variables
    for name, step in subject.slugs.items():
        if name in variables:
            message = f"{name} is the name of a variable and of a step"
            yield subject.problem("name_taken", message, step, "id", "Give one of them another name.")
    for step, soar in subject.steps():
        if soar.as_ and (soar.as_ in variables or soar.as_ in subject.slugs):
            message = f"{soar.as_} is already the name of a variable or a step"
            yield subject.problem("name_taken", message, step, "as", "Choose another name.")


def defaults(subject: Subject) -> Iterator[Problem]:
    """A default has the type that its variable declares."""
    for name, variable in subject.playbook.variables.items():
        pointer = f"/variables/{name}/default"
        if variable.default is None:
            continue
        if variable.type == "duration" and isinstance(variable.default, str):
            yield from _duration(subject, variable.default, pointer)
        elif not fits(variable, variable.default):
            message = f"the default of {name} is no {variable.type}"
            yield subject.places.problem("wrong_type", message, pointer, "Change the type or the default.")


def fits(variable: Variable, value: Any) -> bool:
    """Whether a value has a variable's type; a duration may be written or counted in seconds."""
    if variable.type == "duration":
        return isinstance(value, int | float | str) and not isinstance(value, bool)
    wanted = _PYTHON.get(variable.type)
    return wanted is None or (isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool)))


def sources(subject: Subject) -> Iterator[Problem]:
    """`from` is a path into the alert, the incident or its scope; never into one element of a list."""
    for name, variable in subject.playbook.variables.items():
        pointer = f"/variables/{name}/from"
        if not variable.from_:
            continue
        if _INDEX.search(variable.from_):
            message, mend = f"{variable.from_} takes one of many", "Take the whole list, and use for_each."
            yield subject.places.problem("one_of_many", message, pointer, mend)
        elif not _SOURCE.fullmatch(variable.from_):
            message = f"{shown(variable.from_)} is no path"
            mend = "Write a path into alert, incident or scope, as in scope.hosts.affected."
            yield subject.places.problem("bad_path", message, pointer, mend)
