"""How far each step of a playbook is in a run, from what the run says of its occurrences.

An occurrence's id is the branch it stands in, then the step, with `#n` from the second visit on
(soar.engine.run_state): `contain/0/isolate`, `loop/2/body`, `handlers/call/1-notify#2`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from soar.playbook.model import Playbook, Step

_URGENCY = (
    "failed", "running", "waiting_retry", "delayed", "pending", "partial", "cancelled", "succeeded", "skipped",
)  # fmt: skip
"""Of several visits of a step the one that a person must know of first."""


def of_steps(playbook: Playbook, occurrences: Mapping[str, str]) -> dict[str, str]:
    """The status of each step by its id, given those of occurrences. What belongs to no step is left out."""
    by_end: dict[str, list[Step]] = defaultdict(list)
    for step in playbook.workflow.values():
        by_end[_end(step)].append(step)
    found: dict[str, list[str]] = defaultdict(list)
    for occurrence, status in occurrences.items():
        bare = re.sub(r"#\d+(?=/|$)", "", occurrence)
        at = bare.rfind("handlers/")
        end = bare[at:] if at >= 0 and bare[at:] in by_end else bare.rpartition("/")[2]
        steps = by_end.get(end, [])
        if len(steps) > 1:
            steps = [each for each in steps if _path(each.soar.path if each.soar else each.id) == _path(bare)]
        for step in steps[:1]:
            found[step.id].append(status)
    order = {status: number for number, status in enumerate(_URGENCY)}
    return {step_id: min(said, key=lambda each: order.get(each, len(order))) for step_id, said in found.items()}


def _end(step: Step) -> str:
    """The last part of the ids of a step's occurrences."""
    path = step.soar.path if step.soar else ""
    if not path:
        return step.id
    parts = path.split("/")
    return path if parts[0] == "handlers" and len(parts) == 3 else parts[-1]


def _path(text: str) -> str:
    """A path in which turns of loops and `steps` look alike."""
    return "/".join("*" if part.isdigit() or part == "steps" else part for part in text.split("/"))
