"""A plan (soar/engine/plan.py) as a tree in the terminal: what would be done, to what, and who must agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from api.cli.chart import duration
from api.cli.clean import line

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

Node = Mapping[str, Any]


def tree(plan: Node) -> Tree:
    """Draw a plan. Each step has its actions below it; what cannot be known yet says after which step it will be."""
    from rich.tree import Tree

    drawn = Tree(
        _text((str(plan.get("playbook", "plan")), "bold"), (f"  digest {str(plan.get('digest'))[:12]}", "dim"))
    )
    if plan.get("urgency"):
        drawn.add(_text(("urgency: ", "dim"), (str(plan["urgency"]), "")))
    _steps(drawn, plan.get("steps", ()))
    if plan.get("on_exception"):
        _steps(drawn.add(_text(("on any failure that nothing else handles", "italic"))), plan["on_exception"])
    return drawn


def _steps(onto: Tree, steps: Sequence[Node]) -> None:
    for step in steps:
        _step(onto.add(_text(*_heading(step))), step)


def _heading(step: Node) -> Iterator[tuple[str, str]]:
    """A step's own line: its name, and what kind of step it is."""
    kind = str(step.get("kind", ""))
    if kind == "continue":
        yield f"goes on at {step.get('step')}", "italic"
        return
    if step.get("step"):
        yield f"{step['step']}  ", "bold"
    says = {
        "action": step.get("verb"),
        "undo": "undo of " + _listed(step.get("known_after")),
        "manual": f"a person is asked: {step.get('text')}",
        "parallel": "at the same time" + (", all or none" if step.get("together") else ""),
        "if": f"if {step.get('condition')}",
        "while": f"while {step.get('condition')}, at most {step.get('max')} times",
        "switch": f"by {step.get('switch')}",
        "playbook": f"the playbook {step.get('playbook')}",
    }
    yield str(says.get(kind) or kind), "cyan" if kind in ("action", "undo") else ""


def _step(node: Tree, step: Node) -> None:
    """What hangs on a step: actions, what is left out, branches, and what happens on failure."""
    for problem in step.get("problems", ()):
        node.add(_text((f"cannot be planned: {problem}", "red")))
    for action in step.get("actions", ()):
        _action(node, action)
    if step.get("known_after") and not step.get("actions"):
        node.add(_text((f"known after {_listed(step['known_after'])}", "italic dim")))
    for left in step.get("left_out", ()):
        after = f" (known after {_listed(left['known_after'])})" if left.get("known_after") else ""
        node.add(_text((f"left out: {left.get('observable')}: {left.get('why')}{after}", "dim")))
    for branch in step.get("branches", ()):
        _steps(node.add(_text((_when(step, branch), "italic"))), branch.get("steps", ()))
    if step.get("on_failure"):
        _steps(node.add(_text(("on failure", "italic"))), step["on_failure"])


def _when(step: Node, branch: Node) -> str:
    words = {"true": "then", "false": "else"}
    if step.get("kind") == "parallel":
        return f"branch {branch.get('when')}"
    return words.get(str(branch.get("when")), f"case {branch.get('when')}")


def _action(onto: Tree, action: Node) -> None:
    name, target = str(action.get("target_name") or ""), str(action.get("target"))
    shown = f"{name} ({target})" if name and name not in target else target
    node = onto.add(
        _text((f"{action.get('verb')} ", "cyan"), (shown, "bold"), (f" through {action.get('adapter')}", "dim"))
    )
    for what, said, style in _facts(action):
        if said:
            node.add(_text((f"{what}: ", "dim"), (said, style)))


def _facts(action: Node) -> Iterator[tuple[str, str, str]]:
    """What there is to say of an action: (what, words, style); empty words are not shown."""
    state = action.get("state") or {}
    present = {"True": "already so", "False": "not so yet"}.get(str(state.get("present")), "not known")
    yield "now", str(state.get("summary") or present), ""
    yield "change", str(action.get("change") or ""), ""
    yield ("guards", *_verdict(action))
    yield "undo", str(action.get("undo") or "none"), "" if action.get("undo") else "yellow"
    yield "lasts", _span(action.get("lease")), ""
    yield "review after", _span(action.get("review")), ""
    yield "destroys", ", ".join(map(str, action.get("destroys") or ())), "yellow"
    yield "approval", _approval(action.get("approval")), "yellow"


def _verdict(action: Node) -> tuple[str, str]:
    """In words, with the reason of every guard that does not simply pass; and the style for it."""
    reasons = [str(each.get("reason")) for each in action.get("guards", ()) if each.get("verdict") != "pass"]
    why = f": {'; '.join(reasons)}" if reasons else ""
    if action.get("refused"):
        return f"refused{why}", "bold red"
    if action.get("needs_evidence"):
        return f"waits for evidence ({', '.join(map(str, action['needs_evidence']))}){why}", "yellow"
    if action.get("needs_approval"):
        return f"asks{why}", "yellow"
    return f"pass{why}", "green"


def _approval(asked: Node | None) -> str:
    if not asked:
        return ""
    persons = asked.get("persons", 1)
    many = f"{persons} persons" if persons != 1 else "one person"
    within = f", within {_span(asked.get('within'))}" if asked.get("within") else ""
    return f"{many} of {_listed(asked.get('any_of')) or 'anybody'}{within}"


def _span(seconds: Any) -> str:
    return duration(float(seconds)) if seconds else ""


def _listed(names: Sequence[Any] | None) -> str:
    return ", ".join(str(name) for name in names or ())


def _text(*parts: tuple[str, str]) -> Text:
    """Styled text, clean, in which nothing is markup."""
    from rich.text import Text

    return Text.assemble(*((_kept(said), style) for said, style in parts))


def _kept(said: str) -> str:
    """On one line, with the blanks around it that part it from what stands beside it."""
    bare = line(said)
    return bare if bare.endswith(" ") or not said.endswith(" ") else f"{bare} "
