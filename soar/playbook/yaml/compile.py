"""From the outline to CACAO steps that point at one another.

Steps of a sequence are linked by `on_success`, by `on_completion` where a failure does not matter;
the last one points at the end of its branch. A handler is a sequence of its own, shared by all steps
that name it, with an end that says "failed" unless it continues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soar.errors import Invalid
from soar.expressions import from_yaml
from soar.playbook.model import (
    ActionStep,
    EndStep,
    IfStep,
    ParallelStep,
    PlaybookActionStep,
    Soar,
    Step,
    SwitchStep,
    WhileStep,
    made_id,
    playbook_id,
)
from soar.playbook.places import nearest
from soar.playbook.references import in_cacao, is_slug, is_variable, whole
from soar.playbook.vocabulary import activity, cacao_name, category, outputs_of
from soar.playbook.yaml.extension import read_soar
from soar.playbook.yaml.fields import Reader
from soar.playbook.yaml.grammar import STEP
from soar.playbook.yaml.outline import END, Item, Outline, Sequence
from soar.playbook.yaml.sections import Sections, read_step_variables
from soar.playbook.yaml.words import in_words
from soar.strict_text import shown
from soar.verbs import VERBS


@dataclass(frozen=True, slots=True)
class Use:
    """A step that names a handler."""

    handler: str
    item: Item


class Compiler:
    """Makes the workflow. `uses` are the places that name handlers, for the checks of the handlers."""

    def __init__(self, reader: Reader, outline: Outline, handlers: Mapping[str, Sequence], sections: Sections) -> None:
        self.reader = reader
        self.outline = outline
        self.handlers = handlers
        self.sections = sections
        self.workflow: dict[str, Step] = {}
        self.agents: dict[str, Any] = {}
        self.uses: list[Use] = []

    def sequence(self, sequence: Sequence, *, ends: str = "") -> str:
        """Compile a sequence and its end; returns the id of its first step."""
        after = self._goes_on(sequence)
        if not after:
            after, path = self._end(sequence)
            soar = Soar(path=path, ends=ends) if ends else None
            self.workflow[after] = EndStep(id=after, soar=soar)
        for item, following in zip(sequence.items, [*(each.id for each in sequence.items[1:]), after], strict=False):
            self.workflow[item.id] = self._step(item, following)
        return sequence.items[0].id if sequence.items else after

    def head(self, name: str, pointer: str) -> str:
        """The first step of a handler; noted and empty when there is no such handler."""
        sequence = self.handlers.get(name)
        if sequence is None:
            message = f"there is no handler {shown(name)}"
            self.reader.note("unknown_handler", message, pointer, nearest(name, self.handlers, "Write it in handlers."))
            return ""
        return sequence.items[0].id if sequence.items else self._goes_on(sequence)

    def _end(self, sequence: Sequence) -> tuple[str, str]:
        """Id and path of the end of a sequence."""
        path = f"{sequence.path}/end" if sequence.path else "end"
        return made_id("end", self.outline.playbook, path), path

    def _goes_on(self, sequence: Sequence, seen: tuple[Sequence, ...] = ()) -> str:
        """The step at which a handler continues; empty where it does not, or where that goes in a circle."""
        if sequence.goes_on != END:
            target = self.outline.slugs.get(sequence.goes_on)
            return target.id if target else ""
        names = [name for name, each in self.handlers.items() if each is sequence]
        users = [item for name in names for item in self.outline.users(name)]
        if not users or users[0].sequence in seen:
            return ""
        failed = users[0].sequence
        return self._goes_on(failed, (*seen, sequence)) or self._end(failed)[0]

    def _step(self, item: Item, following: str) -> Step:
        reader, data, at = self.reader, item.data, item.pointer
        soar = read_soar(reader, item)
        common: dict[str, Any] = {
            "id": item.id,
            "name": reader.text(data, "name", at, item.slug or item.path.rpartition("/")[2]),
            "description": reader.text(data, "description", at),
            "delay": reader.milliseconds(data, "delay", at),
            "timeout": reader.milliseconds(data, "timeout", at),
            "owner": reader.text(data, "owner", at),
            "external_references": tuple(reader.part(STEP, data, "external_references", at)),
            "step_variables": read_step_variables(reader, data, at),
            "soar": soar,
            **self._routes(item, following, soar),
        }
        match item.form:
            case "if":
                heads = {name: self.sequence(branch) for name, branch in item.branches.items()}
                return IfStep(
                    **common, condition=self._condition(item, "if"), on_true=heads.get("then", following),
                    on_false=heads.get("else", ""),
                )  # fmt: skip
            case "while":
                heads = {name: self.sequence(branch) for name, branch in item.branches.items()}
                on_true = heads.get("steps", following)
                return WhileStep(**common, condition=self._condition(item, "while"), on_true=on_true)
            case "switch":
                cases = {name: self.sequence(branch) for name, branch in item.branches.items()}
                return SwitchStep(**common, switch=self._variable(item), cases=cases)
            case "parallel":
                return ParallelStep(**common, next_steps=tuple(map(self.sequence, item.branches.values())))
            case "playbook":
                return PlaybookActionStep(**common, **self._callee(item), **self._arguments(item))
        return self._action(item, soar, common)

    def _routes(self, item: Item, following: str, soar: Soar) -> dict[str, str]:
        """Where the branch goes on after this step."""
        name = self.reader.text(item.data, "on_failure", item.pointer)
        head = self.head(name, f"{item.pointer}/on_failure") if name else ""
        if head:
            self.uses.append(Use(name, item))
        if soar.continue_on_failure:
            if name:
                message = "on_failure has no meaning beside continue_on_failure"
                self.reader.note("two_ways", message, f"{item.pointer}/on_failure", "Keep one of them.")
            return {"on_completion": following}
        return {"on_success": following, "on_failure": head}

    def _condition(self, item: Item, key: str) -> str:
        text = self.reader.text(item.data, key, item.pointer)
        try:
            return from_yaml(text)
        except Invalid as error:
            self.reader.problems += self.reader.places.moved(error, f"{item.pointer}/{key}")
            return ""

    def _variable(self, item: Item) -> str:
        text = self.reader.text(item.data, "switch", item.pointer)
        if is_variable(text):
            return text
        if text and whole(text) is None:
            mend = "Write a variable or an output, as in $scan.verdict."
            self.reader.note("bad_reference", "switch wants a reference", f"{item.pointer}/switch", mend)
            return ""
        return in_cacao(text)

    def _callee(self, item: Item) -> dict[str, Any]:
        name = self.reader.text(item.data, "playbook", item.pointer)
        if name and not is_slug(name) and not name.startswith("playbook--"):
            mend = "Write its short name, or its CACAO id."
            self.reader.note("bad_name", f"{shown(name)} is no playbook", f"{item.pointer}/playbook", mend)
        version = self.reader.part(STEP, item.data, "version", item.pointer)
        return {"playbook_id": playbook_id(name) if is_slug(name) else name, "playbook_version": version}

    def _arguments(self, item: Item) -> dict[str, Any]:
        """The names of variables that go in and come out, as CACAO writes them."""
        return {
            f"{key}_args": tuple(map(cacao_name, self.reader.part(STEP, item.data, key, item.pointer)))
            for key in ("in", "out")
        }

    def _action(self, item: Item, soar: Soar, common: dict[str, Any]) -> ActionStep:
        if item.form == "command":
            return self._command(item, common)
        command = {"type": "manual", "command": in_words(soar)}
        if soar.verb in VERBS:
            command["playbook_activity"] = activity(VERBS[soar.verb])
            agent = self._agent(category(VERBS[soar.verb]))
        elif item.form == "undo":
            command["playbook_activity"] = "revert-system"
            agent = self._agent("orchestrator")
        else:
            agent = self._person()
        names = outputs_of(soar.verb, soar.outputs) if item.slug else ()
        out_args = tuple(f"__{item.slug}__{name}__" for name in names)
        return ActionStep(**common, commands=(command,), agent=agent, out_args=out_args)

    def _command(self, item: Item, common: dict[str, Any]) -> ActionStep:
        """Commands of CACAO's, carried out by a named agent at named targets."""
        data, at, agents, targets = item.data, item.pointer, self.sections.agents, self.sections.targets
        name = self.reader.text(data, "agent", at)
        agent = agents.id_of(self.reader, name, f"{at}/agent", "agents") if name else self._agent("orchestrator")
        named = self.reader.part(STEP, data, "targets", at)
        found = [targets.id_of(self.reader, each, f"{at}/targets/{n}", "targets") for n, each in enumerate(named)]
        return ActionStep(
            **common, commands=self._commands(item), agent=agent, targets=tuple(found), **self._arguments(item)
        )

    def _commands(self, item: Item) -> tuple[Mapping[str, Any], ...]:
        raw = item.data["command"]
        commands = raw if isinstance(raw, list) else [raw]
        at = f"{item.pointer}/command"
        if not commands:
            self.reader.note("empty", "there is no command here", at, "Write at least one.")
        found = []
        for index, command in enumerate(commands):
            if isinstance(command, dict) and isinstance(command.get("type"), str):
                found.append(command)
            else:
                mend = "Write a CACAO command, as in {type: bash, command: ...}."
                place = f"{at}/{index}" if isinstance(raw, list) else at
                self.reader.note("bad_command", "this is no command", place, mend)
        return tuple(found)

    def _agent(self, kind: str) -> str:
        """The security-category agent of this category, defined when it is first needed."""
        own = made_id("security-category", self.outline.playbook, f"agent/{kind}")
        self.agents[own] = {"type": "security-category", "name": kind, "category": [kind]}
        return own

    def _person(self) -> str:
        own = made_id("group", self.outline.playbook, "agent/responders")
        self.agents[own] = {"type": "group", "name": "incident responders"}
        return own
