"""Rules of variables and outputs: types in comparisons, arguments, what is never read, what never changes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from soar.errors import Invalid, Problem
from soar.expression_parser import All, AnyOf
from soar.expression_values import Comparison, moment
from soar.expressions import Expression, parse
from soar.playbook.checks.check_references import reference_of, type_of
from soar.playbook.checks.subject import Subject
from soar.playbook.model import ActionStep, IfStep, PlaybookActionStep, Step, SwitchStep, WhileStep
from soar.playbook.places import nearest
from soar.playbook.references import references
from soar.playbook.vocabulary import bare_name
from soar.strict_text import escaped, shown

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,245}", re.ASCII)
"""The name of a variable without its underscores (section 10.18.3)."""

_TEXTS = ("x", "2026-01-01T00:00:00Z", "10.0.0.1", "00")
_SAMPLES: Mapping[str, tuple[Any, ...]] = {
    "str": _TEXTS, "bool": (True,), "int": (1,), "duration": (1,), "long": (1,), "float": (1.5,),
    **dict.fromkeys(("uri", "uuid", "mac-addr", "hash", "md5-hash", "sha256-hash", "hexstring"), _TEXTS),
    "ipv4-addr": ("10.0.0.1",), "ipv6-addr": ("::1",),
}  # fmt: skip
"""Values of each type; a comparison that makes no sense for any of them never holds."""
_ORDERS = frozenset({"<", "<=", ">", ">="})
_LAST_NAME = re.compile(r"__([A-Za-z][\w-]*)\Z", re.ASCII)
_LONGEST_NAME = 254


def comparisons(subject: Subject) -> Iterator[Problem]:
    """What is compared can be equal: both sides are of one type, and order is asked of numbers."""
    for step, expression, pointer in _conditions(subject):
        for each in _leaves(expression):
            if not each.path.variable or each.path.steps:
                continue
            reference = reference_of(subject, each.path.variable, pointer)
            kind = type_of(subject, step.soar, reference)
            samples = _SAMPLES.get(kind, ())
            if samples and all(each.test(sample) is None for sample in samples):
                message = f"{each.text} can never hold: {bare_name(each.path.variable)} is of type {kind}"
                mend = f"Compare it with a value of type {kind}."
                yield subject.places.problem("condition_type", message, pointer, mend)
            elif samples is _TEXTS:
                rest = each.text.removeprefix(each.path.text).removeprefix(" NOT").split(maxsplit=1)
                if rest[0] in _ORDERS and moment(rest[1].strip("t'")) is None:
                    message = f"{each.text} compares texts letter by letter"
                    yield subject.places.problem("text_order", message, pointer, "Declare the variable as int.")


def loops(subject: Subject) -> Iterator[Problem]:
    """A loop changes what its condition reads, or it turns until its bound for nothing."""
    for step, expression, pointer in _conditions(subject):
        if not isinstance(step, WhileStep) or expression.paths or not expression.variables:
            continue
        changed: set[str] = set()
        for each in map(subject.playbook.workflow.__getitem__, subject.flow.inside(step.id)):
            changed |= {each.soar.slug} if each.soar and each.soar.slug else set()
            changed |= {bare_name(name) for name in getattr(each, "out_args", ())}
        read = {reference_of(subject, name, pointer).name for name in expression.variables} | expression.variables
        if not read & changed:
            message = f"nothing in this loop changes {', '.join(sorted(expression.variables))}"
            mend = "Ask, or look, inside of the loop."
            yield subject.places.problem("loop_never_changes", message, pointer, mend)


def _conditions(subject: Subject) -> Iterator[tuple[IfStep | WhileStep, Expression, str]]:
    """Each step with a condition that can be read."""
    if not subject.readable:
        return
    for step in subject.playbook.workflow.values():
        if isinstance(step, IfStep | WhileStep) and step.condition:
            try:
                expression = parse(step.condition)
            except Invalid:
                continue  # said where conditions are read
            yield step, expression, subject.pointer(step, "if" if isinstance(step, IfStep) else "while")


def _leaves(expression: Expression) -> Iterator[Comparison]:
    todo = [expression.root]
    while todo:
        node = todo.pop()
        if isinstance(node, All | AnyOf):
            todo += node.parts
        else:
            yield node


def arguments(subject: Subject) -> Iterator[Problem]:
    """in_args and out_args name variables, and nothing writes a constant (section 4.5)."""
    outputs = {f"{slug}__{name}" for slug in subject.slugs for name in subject.outputs(slug)}
    variables = subject.playbook.variables
    for step in subject.playbook.workflow.values():
        if not isinstance(step, ActionStep | PlaybookActionStep):
            continue
        known = {*variables, *outputs, *subject.local(step)}
        for key, part in (("in", "in_args"), ("out", "out_args")):
            for index, argument in enumerate(getattr(step, part)):
                name, pointer = bare_name(argument), subject.pointer(step, f"{key}/{index}")
                if name not in known:
                    message, mend = f"{shown(argument)} is not declared", nearest(name, known, "Declare it.")
                    yield subject.places.problem("undefined_variable", message, pointer, mend)
                elif key == "out" and (_constant(variables.get(name)) or _constant(_own(step, name))):
                    message = f"{name} is constant, and this step writes it"
                    yield subject.places.problem("writes_constant", message, pointer, "Write another variable.")


def _own(step: Step, name: str) -> Any:
    return step.step_variables.get(f"__{name}__", step.step_variables.get(name))


def _constant(variable: Any) -> bool:
    said = variable.get("constant") if isinstance(variable, Mapping) else getattr(variable, "constant", False)
    return said is True


def texts(subject: Subject) -> Iterator[Problem]:
    """Variables that commands, agents and targets speak of are declared."""
    outputs = {f"{slug}__{name}" for slug in subject.slugs for name in subject.outputs(slug)}
    known = {*subject.playbook.variables, *outputs}
    for step in subject.actions():
        if step.soar and (step.soar.verb or step.soar.undo or step.soar.manual):
            continue  # their command is made from what was checked already
        for name in sorted(set(names_in(step.commands)) - known - subject.local(step)):
            message = f"{step.label} speaks of {name}, which is not declared"
            mend = nearest(name, known, "Declare it, or let an earlier step give it out.")
            yield subject.problem("undefined_variable", message, step, "command", mend)
    for part in ("agent_definitions", "target_definitions"):
        for own, each in getattr(subject.playbook, part).items():
            inside = {name for step in subject.actions() if own in (step.agent, *step.targets)
                      for name in subject.local(step)} if set(names_in(each)) - known else set()  # fmt: skip
            for name in sorted(set(names_in(each)) - known - inside):
                message = f"{shown(own)} speaks of {name}, which is not declared"
                mend = nearest(name, known, "Declare it.")
                yield subject.places.problem(
                    "undefined_variable", message, subject.places.definitions.get(own, f"/{part}/{escaped(own)}"), mend
                )


def names_in(value: Any) -> Iterator[str]:
    """The variables that texts speak of as `__name__:value`, however deep they stand."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from names_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from names_in(each)
    elif isinstance(value, str):
        for before in value.split("__:value")[:-1]:
            if found := _LAST_NAME.search(before[-_LONGEST_NAME:]):
                yield found[1]


def unread(subject: Subject) -> Iterator[Problem]:
    """Variables are read or written by something; what was asked, or searched for, is looked at."""
    read = set(_read(subject))
    first = {name.partition("__")[0] for name in read}
    for name in subject.playbook.variables:
        if not NAME.fullmatch(name):
            message, mend = f"{shown(name)} is no name of a variable", "A letter, then letters, digits, - and _."
            yield subject.places.problem("bad_name", message, f"/variables/{name}", mend)
        if name not in read | first:
            message = f"nothing reads or writes {shown(name)}"
            yield subject.places.problem("unused_variable", message, f"/variables/{name}", "Use it, or remove it.")
    for slug, step in subject.slugs.items():
        soar, names = step.soar, subject.outputs(slug)
        if soar is None or not names:
            continue
        if soar.verb in ("scan", "look_up"):
            if not any(f"{slug}__{name}" in read for name in names):
                message, mend = f"nothing reads what {slug} finds", "Decide by it with if, or leave it as it is."
                yield subject.problem("unread_output", message, step, "do", mend)
        elif not soar.verb:
            for name in names:
                if f"{slug}__{name}" not in read:
                    message, mend = f"nothing reads {slug}.{name}", "Decide by it with if, or do not ask."
                    yield subject.problem("unread_output", message, step, f"outputs/{name}", mend)


def _read(subject: Subject) -> Iterator[str]:
    """Names of variables, and `step__output` of outputs, that something reads or writes."""
    playbook = subject.playbook
    for step in playbook.workflow.values():
        if step.soar:
            soar = step.soar
            for each in references([soar.with_, soar.manual, soar.for_each, soar.for_]):
                yield each.name
                yield "__".join((each.name, *each.keys[:1]))
        if isinstance(step, SwitchStep):
            yield bare_name(step.switch)
        if isinstance(step, ActionStep | PlaybookActionStep):
            ours = set(subject.outputs(step.soar.slug)) if step.soar and step.soar.slug in subject.slugs else set()
            mine = {f"{step.soar.slug}__{name}" for name in ours} if step.soar else set()
            yield from {bare_name(name) for name in (*step.in_args, *step.out_args)} - mine
        if isinstance(step, ActionStep):
            yield from names_in([command for command in step.commands if not (step.soar and step.soar.verb)])
        if isinstance(step, IfStep | WhileStep):
            yield from names_in(step.condition)
    for _, expression, _ in _conditions(subject):
        yield from expression.variables
    yield from names_in([playbook.agent_definitions, playbook.target_definitions])
    yield from names_in(playbook.authentication_info_definitions)
