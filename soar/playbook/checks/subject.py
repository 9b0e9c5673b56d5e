"""A playbook under examination: its steps by name, its paths, and where its parts stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from soar.errors import Problem
from soar.playbook.checks.flow import Flow
from soar.playbook.model import ActionStep, IfStep, ParallelStep, Playbook, Soar, Step, WhileStep
from soar.playbook.places import Places
from soar.playbook.vocabulary import bare_name, outputs_of

LONGEST_EXPRESSIONS = 32_768
"""Characters of all different conditions of a playbook together."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What every rule is given.

    `foreign` playbooks came from another product: they do not carry our extension. `able` are the verbs
    that configured adapters can do; None where nobody asks.
    """

    playbook: Playbook
    places: Places
    flow: Flow
    slugs: Mapping[str, Step]
    able: Collection[str] | None = None

    @classmethod
    def of(cls, playbook: Playbook, places: Places, able: Collection[str] | None = None) -> Subject:
        named = {step.soar.slug: step for step in playbook.workflow.values() if step.soar and step.soar.slug}
        return cls(playbook, places, Flow(playbook), named, able)

    @property
    def foreign(self) -> bool:
        return not self.playbook.slug

    @property
    def readable(self) -> bool:
        """Whether the conditions are short enough, together, to be read: parsing takes 10 to 20 us a character."""
        whole = {step.condition for step in self.playbook.workflow.values() if isinstance(step, IfStep | WhileStep)}
        whole |= {trigger.when for trigger in self.playbook.triggers}
        return sum(map(len, whole)) <= LONGEST_EXPRESSIONS

    def steps(self) -> Iterator[tuple[Step, Soar]]:
        """The steps that carry our extension."""
        for step in self.playbook.workflow.values():
            if step.soar is not None:
                yield step, step.soar

    def actions(self) -> Iterator[ActionStep]:
        """The action steps."""
        for step in self.playbook.workflow.values():
            if isinstance(step, ActionStep):
                yield step

    def pointer(self, step: Step, key: str = "") -> str:
        base = self.places.steps.get(step.id, "")
        return f"{base}/{key}" if key else base

    def problem(self, code: str, message: str, step: Step, key: str = "", mend: str = "") -> Problem:
        """A problem of a step, or of one of its keys."""
        return self.places.problem(code, message, self.pointer(step, key), mend)

    def outputs(self, slug: str) -> Mapping[str, str]:
        """Names and types of what the named step leaves behind."""
        soar = self.slugs[slug].soar
        return outputs_of(soar.verb, soar.outputs) if soar else {}

    def local(self, step: Step) -> set[str]:
        """Names of the variables that a step, or a step around it, declares for itself."""
        around = [step, *(self.playbook.workflow[opener] for opener in self.flow.openers(step.id))]
        return {bare_name(name) for each in around for name in each.step_variables}

    def asks_first(self, step: Step) -> bool:
        """Whether somebody must agree before this step acts: by its own approval, or that of a parallel around it."""
        if step.soar and step.soar.approval:
            return True
        for opener in self.flow.openers(step.id):
            around = self.playbook.workflow[opener]
            if not isinstance(around, ParallelStep):
                return False  # what stands behind a decision is not prepared with the others
            if around.soar and around.soar.approval:
                return True
        return False
