"""What several targets brought, as one: by type, or as the verb says. And words of others that really are theirs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soar.engine.joining import joined
from soar.verbs import VERBS


@dataclass
class Row:
    verb: str
    outputs: dict[str, Any]


def test_of_many_look_ups_the_worst_verdict_counts_with_the_most_confidence() -> None:
    rows = [
        Row("look_up", {"verdict": "malicious", "confidence": 90}),
        Row("look_up", {"verdict": "benign", "confidence": 95}),
        Row("look_up", {"verdict": "no word", "confidence": 0}),
    ]  # fmt: skip
    assert joined(rows) == {"verdict": "malicious", "confidence": 95}


def test_lists_are_joined_numbers_added_and_a_bool_is_true_if_true_for_all() -> None:
    rows = [Row("verify_clean", {"clean": True, "found": ["a"], "n": 1}), Row("verify_clean", {"clean": False, "n": 2})]
    assert joined(rows) == {"clean": False, "found": ["a"], "n": 3}
    assert joined([]) == {}


def test_every_react_id_of_a_verb_is_one_that_react_has(samples: Path) -> None:
    bundle = json.loads((samples / "taxonomies" / "react-stix-bundle.json").read_text(encoding="utf-8"))
    known = {
        reference["external_id"] for each in bundle["objects"] for reference in each.get("external_references", ())
        if "external_id" in reference
    }  # fmt: skip
    assert {verb.react for verb in VERBS.values() if verb.react} <= known
    phase = {"R": "RA5", "C": "RA3"}
    for verb in VERBS.values():
        if verb.react and verb.undoes:
            assert verb.react.startswith(phase["R"]), verb.name
