"""Which step of a new version is which step of the old one, and where each of them stands."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from soar.playbook.model import EndStep, IfStep, Playbook, StartStep, Step, SwitchStep, WhileStep
from soar.playbook.phrases import name_of
from soar.playbook.plain import to_plain
from soar.playbook.references import PATTERN
from soar.playbook.structure import Chain, Structure, structure

POINTERS = frozenset({"on_completion", "on_success", "on_failure", "on_true", "on_false", "next_steps", "cases"})
"""Properties that say where a run goes on: compared as places, never as ids."""

_OUTPUT = re.compile(r"__([a-z0-9-]+(?:_[a-z0-9-]+)*)__(\w+?__:value)", re.ASCII)

Place = tuple[str, str]
"""A sequence: the id of the step that opens it and the name of the branch; or "" and what it is."""
_UNOPENED = {"main": "", "exception": "in the last resort", "lost": "where nothing leads"}
MAIN: Place = ("", "main")
EXCEPTION: Place = ("", "exception")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a step stands: in which sequence, and as which of its steps."""

    place: Place
    index: int


class Version:
    """One version of a playbook, with its steps (start and ends left out) and their places.

    `shape` and `spots` are None and empty where its pointers make no structure.
    """

    def __init__(self, playbook: Playbook) -> None:
        self.playbook = playbook
        self.steps: dict[str, Step] = {
            step.id: step for step in playbook.workflow.values() if not isinstance(step, StartStep | EndStep)
        }
        self.shape: Structure | None = structure(playbook)
        self.chains: dict[Place, Chain] = dict(_chains(self.shape)) if self.shape else {}
        self.spots = {
            part.step.id: Spot(place, index)
            for place, chain in self.chains.items()
            for index, part in enumerate(chain.parts)
        }

    def name(self, step_id: str) -> str:
        """What people call a step."""
        return name_of(self.playbook.workflow[step_id])

    def where(self, place: Place) -> str:
        """A sequence in words; "" for the main one."""
        opener, name = place
        if not opener:
            return _UNOPENED[name.partition(":")[0]]
        if name == "failure":
            return f"in the handler {self.handler(place)}"
        said = {"then": "when yes", "else": "when no", "steps": "in each turn"}.get(name, f"case {name}")
        if self.playbook.workflow[opener].type == "parallel":
            said = f"branch {int(name) + 1}"
        return f"in {self.name(opener)}, {said}"

    def handler(self, place: Place) -> str:
        """What a failure path is called: its name in YAML, else its first step."""
        step = self.playbook.workflow[place[0]]
        parts = step.soar.path.split("/") if step.soar else []
        return parts[1] if parts[:1] == ["handlers"] and len(parts) > 2 else f"that begins with {name_of(step)}"

    def content(self, step: Step) -> dict[str, Any]:
        """What a step is, without its ids, its place and where it leads; agents and targets by what they are."""
        plain = {key: value for key, value in to_plain(step).items() if key not in POINTERS}
        book = self.playbook
        if plain.get("agent"):
            plain["agent"] = book.agent_definitions.get(plain["agent"], plain["agent"])
        if plain.get("targets"):
            plain["targets"] = [book.target_definitions.get(each, each) for each in plain["targets"]]
        own = {key: value for key, value in to_plain(step.soar).items() if key != "path"} if step.soar else None
        return {"type": step.type, **plain, **({"soar": own} if own is not None else {})}


def _chains(shape: Structure) -> Iterator[tuple[Place, Chain]]:
    todo = [(MAIN, shape.main)]
    todo += [(EXCEPTION, shape.exception)] if shape.exception else []
    todo += [((head, "failure"), chain) for head, chain in shape.sides.items()]
    todo += [(("", f"lost:{number}"), chain) for number, chain in enumerate(shape.lost)]
    while todo:
        place, chain = todo.pop(0)
        yield place, chain
        for part in chain.parts:
            todo += [((part.step.id, branch.name), branch.chain) for branch in part.branches]


def match(old: Version, new: Version) -> dict[str, str]:
    """For each step of the old version that is still there its id in the new one.

    By name first; then by content, so that what was renamed or moved is found; then by place; then by verb.
    """
    found = _Matching(old, new)
    found.by(lambda _, step: step.soar.slug if step.soar else "")
    found.by(lambda version, step: f"{_path(step)}\n{_said(version, step)}" if _path(step) else "")
    found.by(lambda _, step: step.id if step.soar is None else "")
    found.by(_said, several=True)
    found.by(lambda _, step: f"{_path(step)}\n{_kind(step)}" if _path(step) and not _slug(step) else "")
    found.by(lambda _, step: f"{step.name}\n{_kind(step)}" if step.soar is None and step.name else "")
    found.by(lambda _, step: _kind(step) if step.soar and step.soar.verb and not _slug(step) else "")
    return found.pairs


def with_new_names(step: Step, names: Mapping[str, str]) -> Step:
    """A step of the old version that speaks of steps by their new names: that these changed is told once."""
    if not names:
        return step
    soar = step.soar
    if soar is not None:
        undo = tuple(names.get(each, each) for each in soar.undo)
        with_, for_each = _renamed(soar.with_, names), _renamed(soar.for_each, names)
        soar = replace(soar, undo=undo, with_=with_, for_each=for_each, for_=_renamed(soar.for_, names),
                       manual=_renamed(soar.manual, names))  # fmt: skip
    step = replace(step, soar=soar)
    if isinstance(step, IfStep | WhileStep):
        return replace(step, condition=_in_cacao(step.condition, names))
    return replace(step, switch=_in_cacao(step.switch, names)) if isinstance(step, SwitchStep) else step


def _renamed(template: Any, names: Mapping[str, str]) -> Any:
    """`$old.output` as `$new.output`, wherever it stands in a template."""
    if isinstance(template, Mapping):
        return {key: _renamed(value, names) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [_renamed(each, names) for each in template]
    if not isinstance(template, str):
        return template

    def spoken(found: re.Match[str]) -> str:
        first, *keys = (found["path"] or "").split(".")
        return "$" + ".".join((names[first], *keys)) if first in names and keys else found.group()

    return PATTERN.sub(spoken, template)


def _in_cacao(text: str, names: Mapping[str, str]) -> str:
    """The same for `__old__output__:value`."""

    def spoken(found: re.Match[str]) -> str:
        return f"__{names.get(found[1], found[1])}__{found[2]}"

    return _OUTPUT.sub(spoken, text)


class _Matching:
    def __init__(self, old: Version, new: Version) -> None:
        self.old, self.new = old, new
        self.pairs: dict[str, str] = {}

    def by(self, key: Callable[[Version, Step], str], *, several: bool = False) -> None:
        """Pair what is still alone by a key; with `several` of the same key, in their order."""
        before = self._keyed(self.old, key, self.pairs)
        after = self._keyed(self.new, key, self.pairs.values())
        for said, ones in before.items():
            others = after.get(said, [])
            if several or len(ones) == len(others) == 1:
                self.pairs.update(zip(ones, others, strict=False))

    @staticmethod
    def _keyed(version: Version, key: Callable[[Version, Step], str], taken: Iterable[str]) -> Mapping[str, list[str]]:
        gone = set(taken)
        found: dict[str, list[str]] = defaultdict(list)
        for step_id, step in version.steps.items():
            if step_id not in gone and (said := key(version, step)):
                found[said].append(step_id)
        return found


def _path(step: Step) -> str:
    return step.soar.path if step.soar else ""


def _slug(step: Step) -> str:
    return step.soar.slug if step.soar else ""


def _kind(step: Step) -> str:
    return f"{step.type} {step.soar.verb if step.soar else ''}"


def _said(version: Version, step: Step) -> str:
    """A step's content as one text, without the names that follow from its place."""
    content = version.content(step)
    if "soar" in content:
        content["soar"] = {key: value for key, value in content["soar"].items() if key != "slug"}
        content = {key: value for key, value in content.items() if key not in ("name", "out_args")}
    return json.dumps(content, sort_keys=True, default=str)
