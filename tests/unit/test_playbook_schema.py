"""The JSON Schema for editors: it takes what the reader takes, and marks the mistakes that people make."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from soar import strict_yaml
from soar.playbook.yaml import grammar, yaml_written
from soar.playbook.yaml.schema import schema
from soar.playbook.yaml.yaml_form import load
from soar.verbs import VERBS
from tests.conftest import ROOT
from tests.unit.playbook_runs import Author, randoms
from tests.unit.test_check import GOOD
from tests.unit.test_yaml_commands import COMMANDS
from tests.unit.test_yaml_form import ALL_FORMS

jsonschema: Any = pytest.importorskip("jsonschema")
SCHEMA = schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def wrong(text: str | bytes) -> list[str]:
    found = VALIDATOR.iter_errors(strict_yaml.parse(text).value)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


def test_it_is_a_schema_and_plain_json() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("file", sorted((ROOT / "playbooks" / "library").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_library_is_right(file: Path) -> None:
    assert wrong(file.read_bytes()) == []


@pytest.mark.parametrize("text", [ALL_FORMS, COMMANDS, GOOD], ids=["all forms", "commands", "good"])
def test_every_form_is_right(text: str) -> None:
    assert wrong(text) == []


@settings(max_examples=20, deadline=None)
@given(randoms)
def test_what_the_reader_takes_and_the_writer_writes_is_right(random: Random) -> None:
    text = json.dumps(Author(random).playbook())
    assert wrong(text) == []
    assert wrong(yaml_written.write(load(text))) == []


def test_every_key_of_the_reader_is_described() -> None:
    described = {form: SCHEMA["$defs"][form]["properties"] for form in grammar.FORMS}
    assert {form: set(keys) for form, (_, keys) in grammar.FORMS.items()} == {
        form: set(properties) for form, properties in described.items()
    }
    assert set(SCHEMA["properties"]) == set(grammar.TOP)
    assert all(each["description"] for form in (*described.values(), SCHEMA["properties"]) for each in form.values())
    assert set().union(*(keys for _, keys in grammar.FORMS.values())) == set(grammar.STEP)


def test_every_verb_is_offered_with_its_parameters() -> None:
    for verb in VERBS.values():
        offered = verb.name in SCHEMA["$defs"]["do"]["properties"]["do"]["enum"]
        assert offered is not bool(verb.undoes)  # only an undo step asks the release gate
        if offered:
            assert set(SCHEMA["$defs"][f"with-{verb.name}"]["properties"]) == set(verb.params)


MISTAKES = [
    ("name: Story", "nmae: Story"),
    ("id: story", "id: Story!"),
    ("id: story\n", ""),
    ("review: 24h", "reveiw: 24h"),
    ("review: 24h", "review: 24 hours"),
    ("review: 24h", "review: 24"),
    ("lease: 7d", "phase: contaiment"),
    ("within: 4h}", "lease: 4h}"),
    ("do: isolate_host", "do: isolate_hosts"),
    ("do: isolate_host", "do: release_host"),
    ("do: scan", "doo: scan"),
    ("do: scan", "do: [scan]"),
    ("manual: Is it back?", "manual: Is it back?, do: scan"),
    ("with: {host: $host}, review", "with: {hots: $host}, review"),
    ("with: {host: $host}, review", "review"),
    ("items: [memory]", "item: [memory]"),
    ("items: [memory]", "items: memory"),
    ("team: on-call, text: Help", "team: 7, text: Help"),
    ("for_each: $hosts, as: host, with: {host: $host}, review", "as: host, with: {host: $host}, review"),
    ("for_each: $hosts, as: host, with: {host: $host, items", "for_each: hosts, as: host, with: {host: $host, items"),
    ("type: str, default: hello", "type: string"),
    ("type: str, default: hello", "default: hello"),
    ("  word: {type", "  word__two: {type"),
    ("then:\n", "the:\n"),
    ("max: 3, ", ""),
    ("max: 3", "max: 1001"),
    ("max: 3", "max: true"),
    ("steps: [{manual: Look again}]", "steps: []"),
    (", on_timeout: deny", ""),
    ("on_timeout: deny", "on_timeout: dney"),
    ("any_of: [responder], ", ""),
    ("any_of: [responder], ", "any_of: [viewer], "),
    ("outputs: {back: bool}", "outputs: {back: boolean}"),
    ("- {id: block, do: block_indicators, with: {from: incident}, lease: 7d}", "- parallel: [[{manual: A}]]"),
    ("- {id: block, do: block_indicators, with: {from: incident}, lease: 7d}", "- just words"),
    ("- {id: block, do: block_indicators, with: {from: incident}, lease: 7d}", "- {command: ls}"),
    ("- {id: block, do: block_indicators, with: {from: incident}, lease: 7d}", "- {switch: word, cases: {}}"),
    ("- {id: block, do: block_indicators, with: {from: incident}, lease: 7d}", "- continue: scan"),
    ("handlers:", "modified: yesterday\nhandlers:"),
    ("handlers:", "urgency: now\nhandlers:"),
    ("handlers:", "types: [remediaton]\nhandlers:"),
    ("handlers:", "triggers: [{when: 'alert:x = 1', start: now}]\nhandlers:"),
    ("handlers:", "schedules: [{crno: 0 3 * * 1}]\nhandlers:"),
    ("handlers:", "priority: 101\nhandlers:"),
]


@pytest.mark.parametrize(("good", "bad"), MISTAKES, ids=[f"{bad or 'without ' + good}" for good, bad in MISTAKES])
def test_a_mistake_is_marked(good: str, bad: str) -> None:
    assert GOOD.count(good) >= 1
    assert wrong(GOOD.replace(good, bad, 1)) != []


def test_no_mistake_that_the_schema_marks_is_good_to_the_checker() -> None:
    """What an editor marks must be wrong: nobody shall learn to pass its marks over."""
    from soar.errors import Invalid

    good: list[Any] = []
    for was, bad in MISTAKES:
        try:
            load(GOOD.replace(was, bad, 1))
        except Invalid:
            continue
        good.append(bad)
    assert good == []
