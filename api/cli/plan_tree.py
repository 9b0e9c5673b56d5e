"""A plan (soar/engine/plan.py) as a tree in the terminal: what would be done, to what, and who must agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from api.cli import output
from api.cli.chart import duration
from api.cli.clean import line
from api.cli.output import Format

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

Node = Mapping[str, Any]


def write(plan: Node, form: Format | None) -> None:
    """Write a plan to standard output: as a tree where a table is asked for, else as data."""
    if output.chosen(form) is Format.TABLE:
        from rich.console import Console

        Console().print(tree(plan))
    else:
        output.rows(plan["steps"], ("step",), form, whole=plan)


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
        "if": f"if {_written(step.get('condition'))}",
        "while": f"while {_written(step.get('condition'))}, at most {step.get('max')} times",
        "switch": f"by {_written(step.get('switch'))}",
        "playbook": f"the playbook {step.get('playbook')}",
    }
    yield str(says.get(kind) or kind), "cyan" if kind in ("action", "undo") else ""


def _step(node: Tree, step: Node) -> None:
    """What hangs on a step: actions, what is left out, branches, and what happens on failure."""
    for problem in step.get("problems", ()):
        node.add(_text((f"cannot be planned: {problem}", "red")))
    for action in step.get("actions", ()):
        _action(node, step, action)
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


def _action(onto: Tree, step: Node, action: Node) -> None:
    """The target, what is there and what would change, and what the guards say."""
    name, target = str(action.get("target_name") or ""), str(action.get("target"))
    verb = "" if action.get("verb") == step.get("verb") else f"{action.get('verb')} "
    node = onto.add(
        _text(
            (verb, "cyan"),
            (f"{name} ({target})" if name and name not in target else target, "bold"),
            (f" through {action.get('adapter')}", "dim"),
        )
    )
    node.add(_text(*_facts(action)))
    node.add(_text(("guards: ", "dim"), _verdict(action)))


def _facts(action: Node) -> Iterator[tuple[str, str]]:
    """State now, change, undo, how long it lasts and what it destroys, on one line."""
    state = action.get("state") or {}
    present = {"True": "already so", "False": "not so yet"}.get(str(state.get("present")), "not known")
    if action.get("class") != "R" or state.get("summary"):
        yield "now: ", "dim"
        yield str(state.get("summary") or present), ""
        yield "; ", "dim"
    yield "change: ", "dim"
    yield str(action.get("change")), ""
    if action.get("class") != "R":
        yield "; undo: ", "dim"
        yield (str(action["undo"]), "") if action.get("undo") else ("none", "yellow")
    for what, said, style in (
        ("lasts", _span(action.get("lease")), ""),
        ("review after", _span(action.get("review")), ""),
        ("destroys", _listed(action.get("destroys")), "yellow"),
    ):
        if said:
            yield f"; {what}: ", "dim"
            yield said, style


def _verdict(action: Node) -> tuple[str, str]:
    """In words, with the reasons of the guards that do not let it pass; and the style for it."""

    def why(verdict: str) -> str:
        return "; ".join(str(each.get("reason")) for each in action.get("guards", ()) if each["verdict"] == verdict)

    if action.get("refused"):
        return f"refused: {why('refuse')}", "bold red"
    if action.get("needs_evidence"):
        return f"waits for evidence: {why('wait')}", "yellow"
    if action.get("needs_approval"):
        return f"asks {_asked(action.get('approval') or {})}: {why('ask')}", "yellow"
    return "pass", "green"


def _asked(approval: Node) -> str:
    persons = approval.get("persons", 1)
    many = f"{persons} persons" if persons != 1 else "one person"
    within = f" within {_span(approval.get('within'))}" if approval.get("within") else ""
    return f"{many} of {_listed(approval.get('any_of')) or 'anybody'}{within}"


def _written(expression: Any) -> str:
    """An expression as its author wrote it: `__scan__malware_found__:value` is `$scan.malware_found`."""
    return re.sub(r"__(\w+?)__:value", lambda found: "$" + found[1].replace("__", "."), str(expression))


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
