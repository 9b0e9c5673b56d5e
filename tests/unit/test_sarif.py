"""Remarks as SARIF 2.1.0: whoever reads the format reads ours."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from soar.playbook.checks import sarif
from soar.playbook.checks.codes import MEANINGS
from soar.playbook.checks.examine import in_cacao, in_yaml
from soar.playbook.checks.remarks import Remark
from tests.repo.checks_examples import EXAMPLES, patched, whole

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}},
        "additionalProperties": False}  # fmt: skip
LEVEL = {"enum": ["none", "note", "warning", "error"]}
SCHEMA: Any = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object", "required": ["version", "runs"], "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/run"}},
    },
    "$defs": {
        "run": {
            "type": "object", "required": ["tool", "results"], "additionalProperties": False,
            "properties": {
                "tool": {
                    "type": "object", "required": ["driver"], "additionalProperties": False,
                    "properties": {"driver": {"$ref": "#/$defs/driver"}},
                },
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
        },
        "driver": {
            "type": "object", "required": ["name"], "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "semanticVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
                "rules": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/rule"}},
            },
        },
        "rule": {
            "type": "object", "required": ["id"], "additionalProperties": False,
            "properties": {
                "id": {"type": "string"}, "shortDescription": TEXT,
                "defaultConfiguration": {
                    "type": "object", "properties": {"level": LEVEL}, "additionalProperties": False,
                },
            },
        },
        "result": {
            "type": "object", "required": ["message"], "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": 0}, "level": LEVEL,
                "message": TEXT, "locations": {"type": "array", "items": {"$ref": "#/$defs/location"}},
            },
        },
        "location": {
            "type": "object", "additionalProperties": False,
            "properties": {
                "physicalLocation": {
                    "type": "object", "required": ["artifactLocation"], "additionalProperties": False,
                    "properties": {
                        "artifactLocation": {
                            "type": "object", "additionalProperties": False,
                            "properties": {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9._~/%-]+$"}},
                        },
                        "region": {
                            "type": "object", "required": ["startLine"], "additionalProperties": False,
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1},
                                "startColumn": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                },
                "logicalLocations": {
                    "type": "array",
                    "items": {
                        "type": "object", "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"}, "fullyQualifiedName": {"type": "string"},
                            "kind": {"type": "string"},
                        },
                    },
                },
            },
        },
    },
}  # fmt: skip
"""The part of the SARIF 2.1.0 schema that we write (sections 3.13 to 3.33), closed: nothing else may stand there."""


def valid(found: list[tuple[str, Remark]]) -> Any:
    log = json.loads(json.dumps(sarif.log(found, version="1.2.3")))
    jsonschema.Draft202012Validator(SCHEMA).validate(log)
    rules = [rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]]
    for result in log["runs"][0]["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"].endswith((".", "?", ")", "..."))
    return log


def test_a_clean_run_says_that_it_was_clean() -> None:
    log = valid([])
    assert log["runs"][0]["results"] == []


def test_a_remark_stands_at_its_line_with_its_step() -> None:
    found = in_yaml(b"id: story\nsteps:\n  - {id: wipe, do: wipe_device, with: {host: a}}\n")
    log = valid([("my books/story.yaml", each) for each in found])
    result = next(each for each in log["runs"][0]["results"] if each["ruleId"] == "destructive_without_approval")
    assert result["level"] == "error"
    place = result["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "my%20books/story.yaml"
    assert place["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 20}
    assert place["logicalLocations"][0] == {"name": "wipe", "fullyQualifiedName": "/steps/0/do", "kind": "member"}
    assert "Add approval" in result["message"]["text"]


def test_a_remark_without_a_line_has_no_region() -> None:
    found = in_cacao(json.dumps(patched({"workflow": {"ACTION": {"delay": -1}}})).encode())
    valid([("story.json", each) for each in found])
    bare = valid([("story.json", Remark(code="unreadable", message="no"))])
    assert "region" not in bare["runs"][0]["results"][0]["locations"][0]["physicalLocation"]


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_every_code_is_written_so(code: str) -> None:
    text, suffix = whole(EXAMPLES[code].wrong)
    found = (in_cacao if suffix == ".json" else in_yaml)(text, {"notify"})
    log = valid([("file", each) for each in found])
    assert code in {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}


def test_the_address_of_the_schema_names_the_standard() -> None:
    assert re.fullmatch(
        r"https://docs\.oasis-open\.org/sarif/sarif/v2\.1\.0/\S+sarif-schema-2\.1\.0\.json", sarif.SCHEMA
    )
