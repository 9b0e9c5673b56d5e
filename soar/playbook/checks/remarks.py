"""What the checker says of a playbook: a problem, how grave it is, and the step that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soar.errors import Problem
from soar.playbook.checks.codes import MENDS, Severity, severity_of
from soar.playbook.model import Step

_WEIGHT = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark(Problem):
    """A problem with its severity. `step` is what people call the step; empty where it is about none."""

    severity: Severity = Severity.ERROR
    step: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The remark as plain data; absent parts are left out."""
        step = {"step": self.step} if self.step else {}
        return {"severity": self.severity.value, **Problem.as_dict(self), **step}


def remarked(problems: Iterable[Problem], steps: Mapping[str, str], workflow: Mapping[str, Step]) -> list[Remark]:
    """Problems as remarks, each once, in the order of the text. `steps` maps ids of steps to their pointers."""
    labels = {
        pointer: workflow[step_id].label if step_id in workflow else step_id for step_id, pointer in steps.items()
    }
    found: dict[tuple[Any, ...], Remark] = {}
    for each in problems:
        mend = each.mend.strip() or MENDS.get(each.code, "")
        remark = Remark(
            code=each.code, message=each.message, pointer=each.pointer, line=each.line, column=each.column,
            mend=mend, severity=severity_of(each.code), step=_step(each.pointer, labels),
        )  # fmt: skip
        found.setdefault((each.code, each.pointer, each.message), remark)
    return sorted(found.values(), key=lambda each: (each.line or 0, each.column or 0))


def worst(remarks: Iterable[Remark]) -> Severity | None:
    """The gravest severity among remarks; None where there are none."""
    return min((each.severity for each in remarks), key=_WEIGHT.__getitem__, default=None)


def reaches(severity: Severity, bound: Severity) -> bool:
    """Whether one severity is as grave as another, or graver."""
    return _WEIGHT[severity] <= _WEIGHT[bound]


def _step(pointer: str, labels: Mapping[str, str]) -> str:
    """The innermost step around a place."""
    while pointer and pointer not in labels:
        pointer = pointer.rpartition("/")[0]
    return labels.get(pointer, "")
