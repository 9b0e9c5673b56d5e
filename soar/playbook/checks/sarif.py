"""Remarks as SARIF 2.1.0 (OASIS Standard, 27 March 2020): what code hosts and editors show at the line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from soar.playbook.checks.codes import MEANINGS, severity_of
from soar.playbook.checks.remarks import Remark

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def log(found: Iterable[tuple[str, Remark]], *, version: str) -> dict[str, Any]:
    """One run of the checker as a SARIF log. `found` are file names, as they were given, with their remarks."""
    results = list(found)
    codes = sorted({remark.code for _, remark in results})
    driver = {
        "name": "soar playbook check",
        "semanticVersion": version,
        "rules": [_rule(code) for code in codes],
    }
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_result(file, remark, codes) for file, remark in results],
            }
        ],
    }


def _rule(code: str) -> dict[str, Any]:
    return {
        "id": code,
        "shortDescription": {"text": MEANINGS.get(code, code)},
        "defaultConfiguration": {"level": severity_of(code).value},
    }


def _result(file: str, remark: Remark, codes: Sequence[str]) -> dict[str, Any]:
    """One remark (section 3.27). A place without line is told by its pointer alone."""
    message = remark.message.rstrip(".") + "."
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(file.replace("\\", "/"), safe="/")}}
    if remark.line:
        place["region"] = {"startLine": remark.line, "startColumn": remark.column or 1}
    logical = {"fullyQualifiedName": remark.pointer or "/", "kind": "member"}
    if remark.step:
        logical["name"] = remark.step
    return {
        "ruleId": remark.code,
        "ruleIndex": codes.index(remark.code),
        "level": remark.severity.value,
        "message": {"text": f"{message} {remark.mend}".rstrip()},
        "locations": [{"physicalLocation": place, "logicalLocations": [logical]}],
    }
