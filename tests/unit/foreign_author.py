"""Random CACAO 2.0 documents as other tools write them: every type of step, custom properties, written defaults."""

from __future__ import annotations

import copy
import uuid
from random import Random
from typing import Any

OTHERS = "extension-definition--418ee24c-9cb1-46d9-afa5-309e01aabc7f"
COMMANDS = (
    {"type": "manual", "command": "Look at __where__:value"},
    {"type": "ssh", "command": "ls -la"},
    {"type": "bash", "command_b64": "bHM="},
    {"type": "http-api", "command": "GET /x HTTP/1.1", "headers": {"Accept": ["text/plain"]}, "x_retry": 2},
    {"type": "openc2-http", "command": "POST /x HTTP/1.1", "content_b64": "e30="},
    {"type": "sigma", "command_b64": "dGl0bGU6IHg="},
)
VARIABLES: dict[str, dict[str, Any]] = {
    "__where__": {"type": "ipv4-addr", "value": "192.0.2.1", "constant": False},
    "__deep__": {"type": "dictionary", "value": '{"b": 1,  "a": [1.50]}'},
    "__Count__": {"type": "integer", "value": "7", "external": False, "x_unit": "hosts"},
    "__flag__": {"type": "bool", "value": "true", "description": ""},
    "__link__": {"type": "uri", "value": None},
    "__free__": {"type": "x-mood", "value": "calm", "constant": True},
}
DEFAULTS = {
    "revoked": False, "priority": 0, "severity": 0, "impact": 0, "labels": [], "derived_from": [], "description": "",
    "playbook_processing_summary": {}, "playbook_extensions": {}, "signatures": [], "workflow_exception": "",
}  # fmt: skip
STEP_DEFAULTS = {
    "delay": 0, "timeout": 0, "name": "", "step_variables": {}, "step_extensions": {}, "owner": "",
    "external_references": [],
}  # fmt: skip


class ForeignAuthor:
    """Writes one document. Steps stand in one place each (`nested`), or pointers may meet.

    `strange` ones have words that no vocabulary has.
    """

    def __init__(self, random: Random, *, nested: bool = True, strange: bool = True) -> None:
        self.random = random
        self.variables = {name: each for name, each in VARIABLES.items() if strange or each["type"][:2] != "x-"}
        self.nested = nested
        self.workflow: dict[str, Any] = {}
        self.agent = self.id("ssh")
        self.target = self.id("linux")

    def id(self, kind: str) -> str:
        return f"{kind}--{uuid.UUID(int=self.random.getrandbits(128), version=4)}"

    def document(self) -> dict[str, Any]:
        start = self.id("start")
        self.workflow[start] = {"type": "start", "on_completion": self.chain(2)}
        document: dict[str, Any] = {
            "type": "playbook", "spec_version": "cacao-2.0", "id": self.id("playbook"), "name": "A foreign one",
            "created_by": self.id("identity"), "created": "2024-01-01T00:00:00.000Z",
            "modified": "2024-02-01T00:00:00.000Z", "workflow_start": start, "workflow": self.workflow,
            "playbook_variables": self.some(self.variables),
            "agent_definitions": {self.agent: {"type": "ssh", "name": "Door", "address": {"dname": ["h.example"]}}},
            "target_definitions": {self.target: {"type": "linux", "name": "Büro 1", "x_rack": [1, {"a": None}]}},
            **self.some(DEFAULTS), **self.some({"x_note": {"é": 1.5}, "labels": ["a"], "severity": 40}),
        }  # fmt: skip
        if self.random.random() < 0.3:
            document["playbook_extensions"] = {OTHERS: {"canvas": {"width": 1}}}
        return copy.deepcopy(document)  # whoever changes one must not change the words of all others

    def some(self, known: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in known.items() if self.random.random() < 0.3}

    def chain(self, depth: int) -> str:
        """A sequence of steps and its end; returns the first one's id."""
        after = self.id("end")
        self.workflow[after] = {"type": "end", **self.some(STEP_DEFAULTS)}
        for _ in range(self.random.randint(1, 3)):
            after = self.step(after, depth)
        return after

    def step(self, after: str, depth: int) -> str:
        kinds = ["action", "action", "playbook-action"]
        kinds += ["parallel", "if-condition", "while-condition", "switch-condition"] if depth else []
        kind = self.random.choice(kinds)
        own = self.id(kind)
        step = {"type": kind, **self.some(STEP_DEFAULTS), **getattr(self, kind.replace("-", "_"))(depth)}
        step |= self.some({"x_colour": "red", "name": f"Step {len(self.workflow)}", "timeout": 1500, "delay": 60_000})
        step |= self.some({"step_variables": self.some(self.variables), "step_extensions": {OTHERS: {"x": 1}}})
        self.workflow[own] = step
        if self.random.random() < 0.6:
            return self.linked(own, {"on_completion": after})
        failed = self.random.choice(["", after, self.chain(0)]) if self.nested else self.random.choice([*self.workflow])
        return self.linked(own, {"on_success": after, **({"on_failure": failed} if failed else {})})

    def linked(self, own: str, pointers: dict[str, str]) -> str:
        self.workflow[own].update(pointers)
        return own

    def action(self, _: int) -> dict[str, Any]:
        commands = [dict(self.random.choice(COMMANDS)) for _ in range(self.random.randint(1, 3))]
        more = self.some({"targets": [self.target], "in_args": ["__where__"], "out_args": ["__Count__"]})
        return {"commands": commands, "agent": self.agent, **more}

    def playbook_action(self, _: int) -> dict[str, Any]:
        more = self.some({"playbook_version": "2024-01-01T00:00:00.000Z", "out_args": ["__flag__"]})
        return {"playbook_id": self.id("playbook"), **more}

    def parallel(self, depth: int) -> dict[str, Any]:
        return {"next_steps": [self.chain(depth - 1) for _ in range(self.random.randint(2, 3))]}

    def if_condition(self, depth: int) -> dict[str, Any]:
        more = {"on_false": self.chain(depth - 1)} if self.random.random() < 0.5 else {}
        return {"condition": "__flag__:value = true", "on_true": self.chain(depth - 1), **more}

    def while_condition(self, depth: int) -> dict[str, Any]:
        return {"condition": "__Count__:value <= 10", "on_true": self.chain(depth - 1)}

    def switch_condition(self, depth: int) -> dict[str, Any]:
        cases = {name: self.chain(depth - 1) for name in self.some({"0": 1, "no/thing": 1, "default": 1})}
        return {"switch": "__Count__:value", "cases": cases or {"1": self.chain(0)}}
