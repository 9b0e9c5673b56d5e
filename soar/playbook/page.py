"""A playbook as a page in Markdown, for those who will be asked to follow it or to agree to it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from soar.playbook import durations
from soar.playbook.model import EndStep, Playbook, Soar, Step, Variable
from soar.playbook.phrases import (
    approval_words,
    destroys,
    heading,
    length_words,
    name_of,
    parameters_words,
    sentence,
    trigger_words,
)
from soar.playbook.structure import Chain, Part, structure
from soar.verbs import VERBS, OnExpiry, Verb

TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")
"""The id of a technique of MITRE ATT&CK."""
_BRANCH = {"then": "if so", "else": "otherwise", "steps": "each turn", "default": "anything else"}


def page(playbook: Playbook) -> str:
    """The whole page: what it is for, when it fits, what it needs, what it does step by step, who decides."""
    parts = [f"# {_cell(playbook.name)}", _cell(playbook.description) or "No description."]
    for title, lines in (
        ("When", _when(playbook)),
        ("What it is given", _given(playbook)),
        ("What it does", _steps(playbook)),
        ("Who decides", _decisions(playbook)),
        ("What it leaves standing", _standing(playbook)),
        ("Words of others", _words(playbook)),
    ):
        said = list(lines)
        if said:
            parts.append("\n".join([f"## {title}", "", *said]))
    return "\n\n".join(parts) + "\n"


def techniques(playbook: Playbook) -> list[str]:
    """The ATT&CK techniques that its triggers and labels name."""
    texts = (*(trigger.when for trigger in playbook.triggers), *playbook.labels)
    return sorted({found for text in texts for found in TECHNIQUE.findall(text)})


def _when(playbook: Playbook) -> Iterator[str]:
    for trigger in playbook.triggers:
        yield f"- It {_cell(trigger_words(trigger))}."
    if not playbook.triggers:
        yield "- A person starts it."
    if playbook.urgency == "immediate":
        yield "- Urgent: it contains first, and collects evidence at once after."


def _given(playbook: Playbook) -> Iterator[str]:
    if playbook.variables:
        yield from ("| name | type | from | meaning |", "|---|---|---|---|")
    for name, variable in playbook.variables.items():
        yield f"| `{name}` | {variable.type} | {_source(variable)} | {_cell(variable.description)} |"


def _source(variable: Variable) -> str:
    if variable.from_:
        return f"`{variable.from_}`" + ("" if variable.required else ", if there is one")
    if variable.default is not None:
        return f"`{_cell(str(variable.default))}` unless given"
    return "whoever starts it"


def _steps(playbook: Playbook) -> Iterator[str]:
    shape = structure(playbook)
    if shape is None:
        for step in playbook.workflow.values():
            if not isinstance(step, EndStep) and step.type != "start":
                yield f"- {_said(step)}"
        return
    yield from _chain(shape.main, "")
    names = {part.on_failure: name_of(part.step) for part in _all_parts(shape.main) if part.on_failure}
    for head, side in shape.sides.items():
        yield f"- When **{_cell(names.get(head, 'a step'))}** fails:"
        yield from _chain(side, "  ")
    if shape.exception is not None:
        yield "- When anything else fails:"
        yield from _chain(shape.exception, "  ")


def _chain(chain: Chain, indent: str) -> Iterator[str]:
    for part in chain.parts:
        if part.step.type == "start":
            continue
        yield f"{indent}- {_said(part.step)}"
        for number, branch in enumerate(part.branches, 1):
            named = f"branch {number}" if branch.name.isdigit() else _BRANCH.get(branch.name, f"`{branch.name}`")
            if branch.chain.parts:
                yield f"{indent}  - {named}:"
                yield from _chain(branch.chain, f"{indent}    ")


def _all_parts(chain: Chain) -> Iterator[Part]:
    for part in chain.parts:
        yield part
        for branch in part.branches:
            yield from _all_parts(branch.chain)


def _said(step: Step) -> str:
    """One step on one line."""
    soar = step.soar or Soar()
    more = [
        f"for each of `{soar.for_each}`" if soar.for_each else "",
        _cell(parameters_words(soar.with_)) if soar.with_ else "",
        f"for {length_words(soar.for_)}" if soar.for_ else "",
        f"ends after {durations.written(soar.lease)}" if soar.lease else "",
        f"reviewed within {durations.written(soar.review)}" if soar.review else "",
        f"answered within {durations.written(soar.within)}" if soar.within else "",
        f"destroys {destroys(step)}" if destroys(step) else "",
        "goes on when some targets fail" if soar.partial_ok else "",
    ]
    told = "; ".join(filter(None, more))
    return f"**{_cell(name_of(step))}**: {_cell(heading(step)).rstrip('.')}" + (f" ({told})" if told else "")


def _decisions(playbook: Playbook) -> Iterator[str]:
    for step in playbook.workflow.values():
        soar = step.soar or Soar()
        if soar.approval:
            yield f"- Before **{_cell(name_of(step))}**: {approval_words(soar.approval)}."
        if soar.manual and soar.outputs:
            yield f"- In **{_cell(name_of(step))}** a person answers: {', '.join(soar.outputs)}."


def _standing(playbook: Playbook) -> Iterator[str]:
    """Each containment, and how it ends."""
    undone = {name for step in playbook.workflow.values() for name in (step.soar or Soar()).undo}
    for step in playbook.workflow.values():
        soar = step.soar or Soar()
        verb = VERBS.get(soar.verb)
        if verb is None or verb.on_expiry is OnExpiry.NONE:
            continue
        ends = [
            f"ends by itself after {durations.written(soar.lease)}" if soar.lease else "",
            "is released by this playbook" if soar.slug in undone else "",
            f"is reviewed after {durations.written(soar.review)}" if soar.review else "",
        ]
        yield f"- **{_cell(name_of(step))}** {' and '.join(filter(None, ends)) or 'stands until somebody ends it'}."


def _words(playbook: Playbook) -> Iterator[str]:
    known = techniques(playbook)
    if known:
        yield f"- ATT&CK: {', '.join(known)}"
    verbs = _verbs(playbook)
    for name, ids in (
        ("RE&CT", [verb.react for verb in verbs]),
        ("D3FEND", [verb.d3fend for verb in verbs]),
        ("OpenC2", [f"`{verb.openc2}`" for verb in verbs if verb.openc2]),
    ):
        said = sorted({each for each in ids if each})
        if said:
            yield f"- {name}: {', '.join(said)}"
    phases = dict.fromkeys(sentence(verb.phase.value) for verb in verbs)
    if phases:
        yield f"- Phases: {', '.join(phases)}"


def _verbs(playbook: Playbook) -> list[Verb]:
    names = dict.fromkeys((step.soar or Soar()).verb for step in playbook.workflow.values())
    return [VERBS[name] for name in names if name in VERBS]


def _cell(text: str) -> str:
    """Text of somebody else on one line of Markdown, with nothing in it that Markdown or HTML would read."""
    plain = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"([\\`*_|<>\[\]#~])", r"\\\1", plain)
