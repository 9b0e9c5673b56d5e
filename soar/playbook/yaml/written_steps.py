"""Steps of the model as the YAML form writes them."""

from __future__ import annotations

from typing import Any

from soar.errors import Invalid
from soar.expressions import from_yaml
from soar.playbook import durations
from soar.playbook.cacao.cacao_variables import read_variables
from soar.playbook.model import (
    DEFAULT_TURNS,
    ActionStep,
    IfStep,
    ParallelStep,
    Playbook,
    PlaybookActionStep,
    Soar,
    Step,
    SwitchStep,
    WhileStep,
    made_id,
)
from soar.playbook.plain import to_plain
from soar.playbook.references import in_cacao, in_yaml
from soar.playbook.vocabulary import bare_name
from soar.playbook.yaml.grammar import STEP
from soar.playbook.yaml.unfold import Chain, Node
from soar.playbook.yaml.words import in_order
from soar.playbook.yaml.written_names import Names, variable_name

_DURATIONS = ("lease", "review", "within")
_WORDS = ("for_each", "reason", "on_timeout", "phase", "manual", "continue_on_failure", "together")


class Steps:
    """Writes the steps of one playbook."""

    def __init__(self, playbook: Playbook, names: Names) -> None:
        self.playbook = playbook
        self.names = names

    def chain(self, chain: Chain) -> list[dict[str, Any]]:
        """Steps one after the other."""
        return [self._step(node) for node in chain.nodes]

    def _step(self, node: Node) -> dict[str, Any]:
        step, soar = node.step, node.step.soar or Soar()
        written: dict[str, Any] = {}
        if step.id in self.names.steps:
            written["id"] = self.names.steps[step.id]
        if step.name and step.name != (soar.slug or soar.path.rpartition("/")[2]):
            written["name"] = step.name
        if step.description:
            written["description"] = step.description
        written.update(self._form(node))
        written.update(_extension(soar))
        if soar.outputs:
            written["outputs"] = _outputs(soar, getattr(step, "out_args", ()))
        if step.on_completion and step.type != "end":
            written["continue_on_failure"] = True
        for key in ("delay", "timeout"):
            if length := getattr(step, key):
                written[key] = f"{length}ms" if length % 1000 else durations.written(length // 1000)
        if node.handler:
            written["on_failure"] = node.handler
        plain = to_plain(step)
        written.update({key: plain[key] for key in ("owner", "external_references") if key in plain})
        if step.step_variables:
            written["variables"] = _variables(step)
        return {key: written[key] for key in STEP if key in written}

    def _form(self, node: Node) -> dict[str, Any]:
        """What the step does."""
        step = node.step
        branches = {name: self.chain(branch) for name, branch in node.branches.items()}
        written: dict[str, Any] = {}
        match step:
            case IfStep():
                written = {"if": _condition(step.condition), **branches}
            case WhileStep():
                bound = {} if step.soar and step.soar.max else {"max": DEFAULT_TURNS}
                written = {"while": _condition(step.condition), **bound, **branches}
            case SwitchStep():
                default = {"default": branches.pop("default")} if "default" in branches else {}
                written = {"switch": _switch(step.switch), "cases": branches, **default}
            case ParallelStep():
                written = {"parallel": list(branches.values())}
            case PlaybookActionStep():
                version = {"version": step.playbook_version} if step.playbook_version else {}
                written = {"playbook": step.playbook_id, **version, **_arguments(step)}
            case ActionStep() if not (step.soar and (step.soar.verb or step.soar.undo or step.soar.manual)):
                written = self._command(step)
        return written

    def _command(self, step: ActionStep) -> dict[str, Any]:
        commands = to_plain(step.commands)
        written: dict[str, Any] = {"command": commands[0] if len(commands) == 1 else commands}
        own = made_id("security-category", self.playbook.id, "agent/orchestrator")
        if step.agent and (step.agent != own or step.agent in self.names.agents):
            written["agent"] = self.names.agents.get(step.agent, step.agent)
        if step.targets:
            written["targets"] = [self.names.targets.get(each, each) for each in step.targets]
        return {**written, **_arguments(step)}


def _extension(soar: Soar) -> dict[str, Any]:
    """Our extension of a step, but for what its form and its name say."""
    said: dict[str, Any] = {
        "do": soar.verb,
        "undo": list(soar.undo),
        "as": soar.as_ if soar.for_each else "",
        "with": to_plain(in_order(soar)),
        "for": soar.for_ if isinstance(soar.for_, str) else _length(soar.for_),
        "max": soar.max,
        "partial": "ok" if soar.partial_ok else "",
        **{key: getattr(soar, key) for key in _WORDS},
        **{key: _length(getattr(soar, key)) for key in _DURATIONS},
    }
    if soar.approval is not None:
        said["approval"] = _with_length(to_plain(soar.approval), "within")
    if soar.retry is not None:
        said["retry"] = _with_length(to_plain(soar.retry), "backoff")
    return {key: value for key, value in said.items() if value}


def _outputs(soar: Soar, out_args: tuple[str, ...]) -> dict[str, str]:
    """The answers in the order of `out_args`: JSON keeps none among names."""
    place = {name: index for index, name in enumerate(out_args)}
    names = sorted(soar.outputs, key=lambda name: (place.get(f"__{soar.slug}__{name}__", -1), name))
    return {name: soar.outputs[name] for name in names}


def _length(seconds: durations.Seconds) -> str:
    return durations.written(seconds) if seconds else ""


def _with_length(plain: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: durations.written(value) if name == key else value for name, value in plain.items()}


def _arguments(step: ActionStep | PlaybookActionStep) -> dict[str, list[str]]:
    given = {"in": step.in_args, "out": step.out_args}
    return {key: [variable_name(bare_name(name)) for name in names] for key, names in given.items() if names}


def _variables(step: Step) -> dict[str, Any]:
    """The step's own variables. A value is written as its type has it, else as the text that it is."""
    written = {}
    for name, variable in read_variables(step.step_variables, None, []).items():
        plain: dict[str, Any] = {"type": variable.type}
        if variable.default is not None:
            plain["default"] = variable.default
        for flag in ("constant", "external"):
            if getattr(variable, flag):
                plain[flag] = True
        if variable.description:
            plain["description"] = variable.description
        written[variable_name(name)] = plain
    return written


def _condition(text: str) -> str:
    """The short form of a condition where it means the same."""
    for short in (in_yaml(text), text):
        try:
            if from_yaml(short) == text:
                return short
        except Invalid:
            pass
    return text


def _switch(text: str) -> str:
    short = in_yaml(text)
    return short if in_cacao(short) == text else text
