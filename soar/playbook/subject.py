"""A playbook under examination: its steps by name, its paths, and where its parts stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soar.errors import Problem
from soar.playbook.flow import Flow
from soar.playbook.model import Playbook, Soar, Step
from soar.playbook.places import Places
from soar.playbook.vocabulary import outputs_of


@dataclass(frozen=True, slots=True)
class Subject:
    """What every rule is given."""

    playbook: Playbook
    places: Places
    flow: Flow
    slugs: Mapping[str, Step]

    @classmethod
    def of(cls, playbook: Playbook, places: Places) -> Subject:
        named = {step.soar.slug: step for step in playbook.workflow.values() if step.soar and step.soar.slug}
        return cls(playbook, places, Flow(playbook), named)

    def steps(self) -> Iterator[tuple[Step, Soar]]:
        """The steps that carry our extension."""
        for step in self.playbook.workflow.values():
            if step.soar is not None:
                yield step, step.soar

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
