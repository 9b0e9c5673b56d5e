"""Playbooks without anything around them: how long a check takes, and how fast the conductor decides."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from bench.contest import Field
from bench.result import Result
from soar.engine import conductor
from soar.engine.signals import Perform, StepEnded
from soar.playbook.checks.examine import in_yaml
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form

CHECK_STEPS, CHECK_GOAL = 50, 50.0
"""Steps of the playbook that is checked, and milliseconds within which that should be done."""
CONDUCT_GOAL = 20_000.0
"""Transitions a second."""


def source(steps: int) -> str:
    """A playbook of so many steps: reads, blocks with their ends, branches and questions in turn."""
    lines = ["id: long", "name: Long", "variables:", "  hosts: {type: list, from: scope.hosts.affected}", "steps:"]
    for index in range(steps // 5):
        lines += [
            f"  - {{id: g-{index}, do: collect_evidence, for_each: $hosts, as: h, with: {{host: $h, items: [logs]}}}}",
            f"  - {{id: scan-{index}, do: scan, with: {{incident: incident, evidence: $g-{index}.items}}}}",
            f"  - {{id: ask-{index}, manual: Is it so?, outputs: {{so: bool}}, within: 1h, on_timeout: escalate}}",
            f"  - if: $scan-{index}.malware_found = true AND $ask-{index}.so = true",
            "    then:",
            f"      - {{id: tell-{index}, do: notify, with: {{team: on-call, text: Found}}}}",
        ]
    return "\n".join(lines) + "\n"


def playbooks(ground: Field) -> list[Result]:
    """Both figures, each beside what is asked for."""
    text = source(CHECK_STEPS).encode()
    remarks = in_yaml(text)
    assert not [each for each in remarks if each.severity == "error"], remarks
    checked = median(_seconds(lambda: in_yaml(text)) for _ in range(ground.rounds * 5)) * 1000
    ground.say(f"check of {CHECK_STEPS} steps: {checked:.1f} ms")
    book = yaml_form.load(text)
    rate = median(_transitions(book) for _ in range(ground.rounds))
    ground.say(f"conductor: {rate:,.0f} transitions/s")
    return [
        Result(
            id="playbook.check", title=f"Check of a playbook of {CHECK_STEPS} steps", peer="asked for", unit="ms",
            better="lower", ours=checked, theirs=CHECK_GOAL, goal=1.0,
        ),
        Result(
            id="playbook.conductor", title="Pure transitions of the conductor", peer="asked for", unit="/s",
            ours=rate, theirs=CONDUCT_GOAL, goal=1.0, more={"steps": len(book.workflow)},
        ),
    ]  # fmt: skip


def _seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def _transitions(book: Playbook, seconds: float = 1.0) -> float:
    """Whole runs, event by event, for about so long; transitions a second."""
    made, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        decision = conductor.start(book, {"hosts": ["a"]})
        made += 1
        while todo := [each for each in decision.todo if isinstance(each, Perform)]:
            end = StepEnded(
                occurrence=todo[0].occurrence, attempt=todo[0].attempt, result="ok",
                outputs={"malware_found": True, "so": True, "items": []},
            )  # fmt: skip
            decision = conductor.feed(book, decision.state, end, {})
            made += 1
    return made / (time.perf_counter() - began)
