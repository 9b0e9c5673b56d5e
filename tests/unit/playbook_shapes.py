"""Playbooks of every shape, drawn at random: structured ones as YAML, and graphs of any kind."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from soar.playbook.model import ActionStep, EndStep, IfStep, ParallelStep, Playbook, StartStep, Step
from soar.playbook.yaml.yaml_form import load

FORMS = ("do", "do", "hold", "manual", "if", "while", "switch", "parallel")
WHEN = "__now__:value"


class _Author:
    """Writes steps and handlers as YAML has them."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.handlers: dict[str, Any] = {}
        self.count = 0

    def say(self) -> dict[str, Any]:
        return {"do": "notify", "with": {"team": "desk", "text": self.draw(st.sampled_from(["a", "b" * 90]))}}

    def sequence(self, depth: int) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = []
        for _ in range(self.draw(st.integers(1, 3 if depth else 5))):
            self.count += 1
            form = self.draw(st.sampled_from(FORMS if depth < 3 else FORMS[:4]))
            steps.append({"id": f"s{self.count}", **self.step(form, depth)})
        for index, each in enumerate(steps):
            if not self.draw(st.integers(0, 3)):
                each["on_failure"] = self.handler([other["id"] for other in steps[index + 1 :]])
        return steps

    def handler(self, later: list[str]) -> str:
        """A new handler, which may go on at one of the later steps, or one that ends and that others name too."""
        fresh = f"h{len(self.handlers)}"
        shared = [name for name, entries in self.handlers.items() if "continue" not in entries[-1]]
        name: str = self.draw(st.sampled_from([fresh, *shared]))
        if name == fresh:
            entries = [self.say() for _ in range(self.draw(st.integers(1, 2)))]
            goes_on = bool(later) and self.draw(st.booleans())
            self.handlers[fresh] = [*entries, {"continue": self.draw(st.sampled_from(later))}] if goes_on else entries
        return name

    def step(self, form: str, depth: int) -> dict[str, Any]:
        deeper = depth + 1
        match form:
            case "hold":
                return {"do": "isolate_host", "with": {"host": "h"}, "review": "24h"}
            case "manual":
                return {"manual": "Is it so?", "outputs": {"so": "bool"}}
            case "if":
                branches = ("then", "else") if self.draw(st.booleans()) else ("then",)
                return {"if": "$now = true", **{name: self.sequence(deeper) for name in branches}}
            case "while":
                return {"while": "$now = true", "max": 5, "steps": self.sequence(deeper)}
            case "switch":
                cases = self.draw(st.sampled_from([("x",), ("x", "y")]))
                return {"switch": "$now", "cases": {name: self.sequence(deeper) for name in cases}}
            case "parallel":
                return {"parallel": [self.sequence(deeper) for _ in range(self.draw(st.integers(2, 3)))]}
        return self.say()


@st.composite
def structured(draw: st.DrawFn) -> Playbook:
    """A playbook with branches in branches, handlers that end or go on, a last resort, and something undone."""
    author = _Author(draw)
    steps = author.sequence(0)
    held = [each["id"] for each in _flat(steps) if each.get("do") == "isolate_host"]
    if held:
        steps.append({"id": "release", "undo": draw(st.lists(st.sampled_from(held), min_size=1, unique=True))})
    data: dict[str, Any] = {"id": "drawn", "variables": {"now": {"type": "any", "default": True}}, "steps": steps}
    handlers = author.handlers
    if draw(st.booleans()):
        handlers["last"] = [author.say()]
        data["on_exception"] = "last"
    return load(json.dumps({**data, **({"handlers": handlers} if handlers else {})}))


def _flat(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for each in steps:
        found.append(each)
        inside = [each.get("then"), each.get("else"), each.get("steps"), *each.get("cases", {}).values()]
        for branch in [*inside, *each.get("parallel", [])]:
            found += _flat(branch or [])
    return found


@st.composite
def graphs(draw: st.DrawFn) -> Playbook:
    """A foreign playbook whose steps point anywhere."""
    kinds = draw(st.lists(st.sampled_from(["if-condition", "parallel", "action", "action"]), min_size=1, max_size=12))
    ids = [f"{kind}--{number}" for number, kind in enumerate(kinds)]
    anywhere = st.sampled_from([*ids, "end--0"])
    workflow: dict[str, Step] = {"start--0": StartStep(id="start--0", on_completion=draw(anywhere))}
    for each in ids:
        common: dict[str, Any] = {
            "id": each,
            "name": each,
            "on_success": draw(anywhere),
            "on_failure": draw(st.just("") | anywhere),
        }
        if each.startswith("if"):
            workflow[each] = IfStep(**common, condition=f"{WHEN} = true", on_true=draw(anywhere))
        elif each.startswith("parallel"):
            workflow[each] = ParallelStep(**common, next_steps=(draw(anywhere), draw(anywhere)))
        else:
            workflow[each] = ActionStep(**common, commands=({"type": "manual", "command": f"do {each}"},))
    workflow["end--0"] = EndStep(id="end--0")
    return foreign(workflow)


def foreign(workflow: dict[str, Step], **more: Any) -> Playbook:
    """A playbook that is not ours."""
    return Playbook(
        id="playbook--1", name="Foreign", created_by="identity--1", created="2026-01-01T00:00:00.000Z",
        modified="2026-01-01T00:00:00.000Z", workflow_start="start--0", workflow=workflow, **more,
    )  # fmt: skip
