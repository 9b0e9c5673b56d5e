"""Rules of expressions and references: every name is known, declared, and can have a value by then."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from soar.errors import Invalid, Problem
from soar.expressions import Expression, parse
from soar.playbook.checks.subject import LONGEST_EXPRESSIONS, Subject
from soar.playbook.model import IfStep, Soar, Step, SwitchStep, WhileStep
from soar.playbook.places import nearest
from soar.playbook.references import Reference, references
from soar.playbook.vocabulary import VARIABLE_TYPES, bare_name
from soar.strict_text import escaped
from soar.verbs import VERBS

FACTS = frozenset({"alert", "incident", "scope", "asset", "account"})
"""What expressions may speak of beside variables."""

_TRIGGER_FACTS = frozenset({"alert", "incident", "scope"})


def expressions(subject: Subject) -> Iterator[Problem]:
    """The conditions of a playbook can be read in a moment."""
    if not subject.readable:
        message = f"the conditions of this playbook have more than {LONGEST_EXPRESSIONS} characters together"
        yield subject.places.problem("expressions_too_large", message, "", "Ask for less, or write two playbooks.")


def conditions(subject: Subject) -> Iterator[Problem]:
    """Conditions can be read, and speak of what is known."""
    if not subject.readable:
        return
    for step in subject.playbook.workflow.values():
        if not isinstance(step, IfStep | WhileStep):
            continue
        key = "if" if isinstance(step, IfStep) else "while"
        pointer = subject.pointer(step, key)
        expression = yield from _parsed(subject, step.condition, pointer)
        if expression is None:
            continue
        yield from _roots(subject, expression, FACTS, pointer)
        for name in sorted(expression.variables):
            yield from _known(subject, step, reference_of(subject, name, pointer), condition=True)


def triggers(subject: Subject) -> Iterator[Problem]:
    """Triggers can be read. No variable has a value before a run begins."""
    if not subject.readable:
        return
    for index, trigger in enumerate(subject.playbook.triggers):
        pointer = f"/triggers/{index}/when"
        expression = yield from _parsed(subject, trigger.when, pointer)
        if expression is None:
            continue
        yield from _roots(subject, expression, _TRIGGER_FACTS, pointer)
        for name in sorted(expression.variables):
            message = f"a trigger cannot speak of the variable {name}"
            mend = "Write alert:, incident: or scope: paths."
            yield subject.places.problem("variable_in_trigger", message, pointer, mend)


def templates(subject: Subject) -> Iterator[Problem]:
    """References in parameters, texts, for_each and `for`."""
    for step, soar in subject.steps():
        for key, template in (
            ("with", soar.with_), ("manual", soar.manual), ("for_each", soar.for_each), ("for", soar.for_),
        ):  # fmt: skip
            for reference in dict.fromkeys(references(template, subject.pointer(step, key))):
                if reference.indexed:
                    message = f"{reference}[...] takes one of many"
                    mend = "Playbooks act on the whole scope: use for_each."
                    yield subject.places.problem("one_of_many", message, reference.pointer, mend)
                elif reference.name != soar.as_ or key in ("for_each", "for"):
                    yield from _known(subject, step, reference)


def switches(subject: Subject) -> Iterator[Problem]:
    """A switch looks at a variable or an output that is there."""
    for step in subject.playbook.workflow.values():
        if not isinstance(step, SwitchStep):
            continue
        pointer = subject.pointer(step, "switch")
        name = bare_name(step.switch)
        if name != step.switch.removesuffix(":value"):
            yield from _known(subject, step, reference_of(subject, name, pointer))
        elif step.switch:
            message, mend = "this switch looks at no variable, so that a person decides", "Write __name__:value."
            yield subject.places.problem("person_decides", message, pointer, mend)


def targets(subject: Subject) -> Iterator[Problem]:
    """A value that is nothing but a reference has the type that its place wants."""
    for step, soar in subject.steps():
        wanted = {name: spec.type for name, spec in VERBS[soar.verb].params.items()} if soar.verb in VERBS else {}
        places = [(f"with/{escaped(name)}", soar.with_.get(name), kind) for name, kind in wanted.items()]
        places += [("for_each", soar.for_each, "list"), ("for", soar.for_, "duration")]
        for key, value, kind in places:
            pointer = subject.pointer(step, key)
            whole = [each for each in references(value, pointer) if each.whole and each.pointer == pointer]
            for reference in whole:
                brought = type_of(subject, soar, reference)
                if not _compatible(brought, kind):
                    message = f"{reference} is a {brought}, but {key.removeprefix('with/')} wants a {kind}"
                    mend = "Act on each of them: use for_each." if brought == "list" else "Use another value."
                    yield subject.places.problem("wrong_type", message, pointer, mend)


def _parsed(subject: Subject, text: str, pointer: str) -> Generator[Problem, None, Expression | None]:
    """Parse an expression; its problems are yielded, the expression (or None) is returned."""
    if not text:
        return None
    try:
        return parse(text)
    except Invalid as error:
        if subject.foreign:
            # Others write free text here. It is no error: whoever is on duty is shown it, and decides.
            message = f"this condition cannot be read, so that a person decides: {error.problems[0].message}"
            mend = "Write a STIX comparison, as in __found__:value = true, if the engine shall decide."
            yield subject.places.problem("person_decides", message, pointer, mend)
            return None
        for each in error.problems:
            message = f"{each.message} (character {each.column} of the expression)" if each.column else each.message
            yield subject.places.problem(each.code, message, pointer, each.mend)
    return None


def _roots(subject: Subject, expression: Expression, known: frozenset[str], pointer: str) -> Iterator[Problem]:
    for path in expression.paths:
        root = path.partition(":")[0]
        if root not in known:
            message = f"nothing is known of {root}:"
            yield subject.places.problem("unknown_path", message, pointer, nearest(root, known))


def reference_of(subject: Subject, name: str, pointer: str) -> Reference:
    """The reference that a CACAO variable name stands for."""
    first, *keys = [name] if name in subject.playbook.variables else name.split("__")
    return Reference(first, tuple(keys), pointer, whole=True, indexed=False)


def _known(subject: Subject, step: Step, reference: Reference, *, condition: bool = False) -> Iterator[Problem]:
    """The reference names a variable, or a declared output of a step that can have run."""
    variables = subject.playbook.variables
    if {reference.name, "__".join((reference.name, *reference.keys))} & subject.local(step):
        return
    if reference.name in variables:
        if reference.keys and variables[reference.name].type not in ("dict", "any"):
            message = f"{reference.name} is a {variables[reference.name].type} and has no parts"
            yield subject.places.problem("unknown_output", message, reference.pointer, f"Write ${reference.name}.")
    elif reference.name not in subject.slugs:
        known = {*variables, *subject.slugs, *([step.soar.as_] if step.soar and step.soar.as_ else [])}
        mend = nearest(reference.name, known, "Declare it in variables.")
        message = f"{reference} is not defined"
        yield subject.places.problem("undefined_variable", message, reference.pointer, mend)
    else:
        yield from _output(subject, step, reference, condition=condition)


def _output(subject: Subject, step: Step, reference: Reference, *, condition: bool) -> Iterator[Problem]:
    outputs = subject.outputs(reference.name)
    soar = subject.slugs[reference.name].soar
    if soar and soar.verb and soar.verb not in VERBS:
        return  # said already: there is no such verb
    if not reference.keys or reference.keys[0] not in outputs:
        what = f"has no output {reference.keys[0]}" if reference.keys else "is a step: name one of its outputs"
        otherwise = f"It has: {', '.join(sorted(outputs))}." if outputs else "It has none."
        mend = nearest(reference.keys[0] if reference.keys else "", outputs, otherwise)
        yield subject.places.problem("unknown_output", f"{reference.name} {what}", reference.pointer, mend)
    elif not subject.flow.may_precede(reference.name, step, condition=condition):
        message = f"{reference.name} cannot have run before this step"
        yield subject.places.problem("not_before", message, reference.pointer, "Use the outputs of earlier steps.")


def type_of(subject: Subject, soar: Soar | None, reference: Reference) -> str:
    """The type that a reference brings, as far as it is declared."""
    if reference.name in subject.playbook.variables and not reference.keys:
        return subject.playbook.variables[reference.name].type
    if reference.name in subject.slugs and not (soar and reference.name == soar.as_) and len(reference.keys) == 1:
        return subject.outputs(reference.name).get(reference.keys[0], "any")
    return "any"


def _compatible(brought: str, wanted: str) -> bool:
    if "any" in (brought, wanted) or brought == wanted or brought not in VARIABLE_TYPES:
        return True
    return wanted == "duration" and brought in ("int", "str")
