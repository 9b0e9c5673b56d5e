"""Rules of the way through a playbook: where it begins and ends, branches, circles, what is never reached."""

from __future__ import annotations

from collections.abc import Iterator

from soar.errors import Problem
from soar.playbook.checks.flow import DEEPEST
from soar.playbook.checks.subject import Subject
from soar.playbook.model import (
    EndStep,
    IfStep,
    ParallelStep,
    PlaybookActionStep,
    StartStep,
    Step,
    SwitchStep,
    WhileStep,
)
from soar.strict_text import escaped, shown

MOST_SHOWN = 10
STRUCTURAL = frozenset({
    "step_loop", "no_next_step", "two_ways", "unreachable_step", "branch_leaves", "branch_shared", "branch_twice",
    "too_few_branches", "no_condition", "dangling_step",
})  # fmt: skip
"""What the YAML form cannot get wrong by itself: said there, it is the echo of a problem of the text."""


def pointers(step: Step) -> Iterator[tuple[str, str]]:
    """Each pointer of a step: the key that it stands under, and the step that it names."""
    for key in ("on_completion", "on_success", "on_failure", "on_true", "on_false"):
        if target := getattr(step, key, ""):
            yield key, target
    if isinstance(step, ParallelStep):
        yield from ((f"next_steps/{index}", target) for index, target in enumerate(step.next_steps))
    if isinstance(step, SwitchStep):
        yield from ((f"cases/{escaped(case)}", target) for case, target in step.cases.items())


def dangling(subject: Subject) -> Iterator[Problem]:
    """Every pointer leads to a step that is there."""
    workflow, places = subject.playbook.workflow, subject.places
    mend = "Write the id of a step, or take the pointer out."
    for name in ("workflow_start", "workflow_exception"):
        target = getattr(subject.playbook, name)
        if (target or name == "workflow_start") and target not in workflow:
            yield places.problem("dangling_step", f"{name}: there is no step {shown(target)}", f"/{name}", mend)
    for step in workflow.values():
        for key, target in pointers(step):
            if target not in workflow:
                yield subject.problem("dangling_step", f"there is no step {shown(target)}", step, key, mend)


def starts(subject: Subject) -> Iterator[Problem]:
    """A playbook begins at one start step, which has on_completion and nothing else (section 4.3)."""
    workflow = subject.playbook.workflow
    first = workflow.get(subject.playbook.workflow_start)
    if first is not None and not isinstance(first, StartStep):
        message = "workflow_start names a step that is no start step"
        yield subject.places.problem("no_start", message, "/workflow_start", "Name the start step.")
    for step in workflow.values():
        if not isinstance(step, StartStep):
            continue
        if step.id != subject.playbook.workflow_start:
            message = f"{step.label} is a second start step"
            yield subject.problem("several_starts", message, step, mend="Keep the one that workflow_start names.")
        if step.on_success or step.on_failure or not step.on_completion:
            message = "a start step has on_completion and nothing else"
            yield subject.problem("bad_start", message, step, mend="Write on_completion: the first step.")


def endings(subject: Subject) -> Iterator[Problem]:
    """Every step but an end says where to go after success, in one way; an end leads nowhere (section 4.4)."""
    for step in subject.playbook.workflow.values():
        if isinstance(step, EndStep):
            if step.following:
                message, mend = f"{step.label} is an end and leads on", "Take the pointer out, or make it an action."
                yield subject.problem("end_leads_on", message, step, mend=mend)
        elif not isinstance(step, StartStep):
            if not (step.on_completion or step.on_success):
                message = f"{step.label} leads nowhere"
                yield subject.problem("no_next_step", message, step, mend="End each branch in an end step.")
            if step.on_completion and (step.on_success or step.on_failure):
                message = f"{step.label} has on_completion beside on_success or on_failure"
                yield subject.problem("two_ways", message, step, mend="Keep one way.")


def unreachable(subject: Subject) -> Iterator[Problem]:
    """Every step can be reached: one that never runs is a mistake that looks like a measure."""
    for step_id in subject.flow.unreached:
        step = subject.playbook.workflow[step_id]
        if not isinstance(step, StartStep):
            message = f"no path leads to {step.label}"
            yield subject.problem("unreachable_step", message, step, mend="Let a step lead to it, or remove it.")


def loops(subject: Subject) -> Iterator[Problem]:
    """No step leads back to itself: only `while` repeats, and it is bounded. That holds for foreign playbooks too."""
    circle = [subject.playbook.workflow[step_id] for step_id in subject.flow.circle]
    if circle:
        message = f"these steps go in a circle: {', '.join(step.label for step in circle[:MOST_SHOWN])}"
        yield subject.problem("step_loop", message, circle[0], mend="Repeat with a while step and a bound.")


def branches(subject: Subject) -> Iterator[Problem]:
    """A branch has steps and an end of its own, and returns to its opener (section 4)."""
    workflow = subject.playbook.workflow
    for source, target, outward in subject.flow.tangles:
        step, into = workflow[source], workflow[target]
        if outward and not isinstance(into, EndStep):
            message = f"{step.label} leads to {into.label}, which belongs to the steps around its branch"
            mend = "End the branch in an end step of its own: its opener goes on by itself."
            yield subject.problem("branch_leaves", message, step, mend=mend)
        else:
            message = f"{step.label} leads to {into.label}, which is not of its own branch"
            yield subject.problem("branch_shared", message, step, mend="Give each branch its own steps and end.")
    for region in {id(each): each for each in subject.flow.owner.values()}.values():
        if region.depth == DEEPEST + 1:
            message = f"{workflow[region.opener].label} stands deeper than {DEEPEST} in other steps"
            yield subject.problem("nested_too_deep", message, workflow[region.opener], mend="Make it flatter.")


def openers(subject: Subject) -> Iterator[Problem]:
    """Steps that open branches have what they open them by."""
    for step in subject.playbook.workflow.values():
        if isinstance(step, ParallelStep):
            if len(step.next_steps) < 2:
                message, mend = f"{step.label} has fewer than two branches", "Add a branch, or take the parallel out."
                yield subject.problem("too_few_branches", message, step, "parallel", mend)
            if len(set(step.next_steps)) < len(step.next_steps):
                message = f"two branches of {step.label} are the same one"
                yield subject.problem("branch_twice", message, step, "parallel", "Name each branch once.")
        elif isinstance(step, IfStep | WhileStep) and not step.condition:
            key = "if" if isinstance(step, IfStep) else "while"
            yield subject.problem("no_condition", f"{step.label} has no condition", step, key, "Write one.")
        elif isinstance(step, SwitchStep) and "default" not in step.cases:
            message = f"{step.label} has no default: a value that no case names goes on without doing anything"
            yield subject.problem("switch_without_default", message, step, "switch", "Add default, if it matters.")


def called(subject: Subject) -> Iterator[Problem]:
    """A playbook does not call itself, and calls another one in a known version."""
    for step in subject.playbook.workflow.values():
        if not isinstance(step, PlaybookActionStep):
            continue
        if step.playbook_id == subject.playbook.id:
            message = f"{step.label} runs this playbook itself, again and again"
            yield subject.problem("calls_itself", message, step, "playbook", "Repeat with a while step and a bound.")
        elif not step.playbook_version:
            message = f"{step.label} names no version: it runs whatever is newest then"
            mend = "Write version: the `modified` of the playbook that was reviewed."
            yield subject.problem("unpinned_playbook", message, step, "playbook", mend)
