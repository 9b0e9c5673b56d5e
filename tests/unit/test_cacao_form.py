"""CACAO 2.0 documents of others: what is accepted comes back as the same bytes, what is not names its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soar import canonical
from soar.errors import Invalid, Problem
from soar.playbook.cacao import cacao_form, foreign
from soar.playbook.document import EXTENSION
from soar.playbook.places import Places, json_places
from soar.playbook.yaml import yaml_form
from tests.unit.foreign_author import DEFAULTS, OTHERS, STEP_DEFAULTS, ForeignAuthor
from tests.unit.playbook_runs import Author, randoms

PLAYBOOK = """{
  "type": "playbook", "spec_version": "cacao-2.0",
  "name": "One step",
  "id": "playbook--61a6c41e-6efc-4516-a242-dfbc5c89d562",
  "created_by": "identity--5abe695c-7bd5-4c31-8824-2528696cdbf1",
  "created": "2024-01-01T00:00:00.000Z", "modified": "2024-01-01T00:00:00.000Z",
  "playbook_variables": {"__host__": {"type": "string", "value": "web-1"}},
  "workflow_start": "start--07bea005-4a36-4a77-bd1f-79a6e4682a13",
  "workflow": {
    "start--07bea005-4a36-4a77-bd1f-79a6e4682a13": {
      "type": "start", "on_completion": "action--7f40f9d7-de39-4027-ab97-15035beff2ff"
    },
    "action--7f40f9d7-de39-4027-ab97-15035beff2ff": {
      "type": "action", "name": "Look", "agent": "group--18d3a2e0-f534-4374-a117-abdddd3e809b",
      "commands": [{"type": "manual", "command": "Look at __host__:value"}],
      "on_completion": "end--6b23c237-ade8-4d00-9aa1-75999738d557"
    },
    "end--6b23c237-ade8-4d00-9aa1-75999738d557": {"type": "end"}
  },
  "agent_definitions": {"group--18d3a2e0-f534-4374-a117-abdddd3e809b": {"type": "group", "name": "IR team"}}
}"""
AGENT = "/agent_definitions/group--18d3a2e0-f534-4374-a117-abdddd3e809b"
ACTION = "/workflow/action--7f40f9d7-de39-4027-ab97-15035beff2ff"


def comes_back(document: Any) -> bool:
    """Whether it is accepted, and not refused with problems; then it must come back as the same bytes."""
    try:
        playbook = cacao_form.from_document(document)
    except Invalid as error:
        return not error.problems
    assert canonical.dumps(cacao_form.to_document(playbook)) == canonical.dumps(document)
    assert cacao_form.from_document(cacao_form.to_document(playbook)) == playbook
    return True


@settings(max_examples=40, deadline=None)
@given(randoms, st.booleans())
def test_every_foreign_document_comes_back_byte_by_byte(random: Random, nested: bool) -> None:
    assert comes_back(ForeignAuthor(random, nested=nested).document())


@settings(max_examples=15, deadline=None)
@given(randoms)
def test_our_own_come_back_byte_by_byte(random: Random) -> None:
    playbook = yaml_form.load(json.dumps(Author(random).playbook()))
    assert comes_back(cacao_form.to_document(playbook))
    assert cacao_form.from_document(cacao_form.to_document(playbook)) == playbook


def objects(data: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a document that is not below our own extension."""
    if isinstance(data, dict):
        yield pointer, data
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        if isinstance(value, dict | list) and key != EXTENSION:
            yield from objects(value, f"{pointer}/{key}")


CLOSED = (
    "/workflow",
    "/playbook_variables",
    "/step_variables",
    "/playbook_processing_summary",
    "/cases",
    "_definitions",
    "_extensions",
)
"""Objects whose names are not properties but names of things, with things of one kind behind them."""


@settings(max_examples=50, deadline=None)
@given(randoms, st.sampled_from([None, True, 0, -0.0, 1e21, "", "é", [], {}, {"a": [None]}]))
def test_a_custom_property_is_kept_at_every_level(random: Random, value: Any) -> None:
    document = ForeignAuthor(random).document()
    open_ones = [each for at, each in objects(document) if not at.endswith(CLOSED)]
    for chosen in random.sample(open_ones, min(3, len(open_ones))):
        chosen["x_custom"] = copy.deepcopy(value)
    assert comes_back(document)


@settings(max_examples=40, deadline=None)
@given(randoms)
def test_a_default_that_is_written_out_is_kept(random: Random) -> None:
    document = ForeignAuthor(random).document()
    name = random.choice([*DEFAULTS])
    document[name] = copy.deepcopy(DEFAULTS[name])
    step = random.choice([*document["workflow"].values()])
    name = random.choice([*STEP_DEFAULTS])
    step[name] = copy.deepcopy(STEP_DEFAULTS[name])
    assert comes_back(document)


ANYTHING: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 2**60, "", "x", "end--1", "action", [], [1], ["x"], {}, {"a": 1},
    {EXTENSION: {}}, {EXTENSION: {"slug": "a"}}, {OTHERS: {}},
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(randoms, st.booleans())
def test_a_mutated_document_comes_back_or_is_refused(random: Random, own: bool) -> None:
    document = (
        cacao_form.to_document(yaml_form.load(json.dumps(Author(random).playbook())))
        if own
        else ForeignAuthor(random).document()
    )
    document = json.loads(json.dumps(document))
    for _ in range(random.randint(1, 3)):
        _, chosen = random.choice([*objects(document), *_ours(document)])
        key = random.choice([*chosen, "x_new", "on_failure", "delay"])
        if random.random() < 0.3:
            chosen.pop(key, None)
        else:
            chosen[key] = copy.deepcopy(random.choice(ANYTHING))
    comes_back(document)


def _ours(data: Any) -> list[tuple[str, dict[str, Any]]]:
    """Objects in our own extension, which are mutated too."""
    return [
        ("", each)
        for _, found in objects(data)
        for name, each in found.items()
        if name == EXTENSION and isinstance(each, dict)
    ]


# --- places ----------------------------------------------------------------------------------------


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        cacao_form.load(text)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("good", "bad", "code", "pointer", "line"),
    [
        ('"type": "manual"', '"type": 7', "wrong_type", f"{ACTION}/commands/0", 15),
        ('"type": "group", ', "", "missing_property", AGENT, 20),
        ('"type": "playbook"', '"type": "report"', "not_cacao", "/type", 2),
        ('"name": "Look"', '"name": 7', "wrong_type", f"{ACTION}/name", 14),
        ('"commands": [', '"comands": [', "missing_property", ACTION, 13),
        ("end--6b23c237-ade8-4d00-9aa1-75999738d557\"\n", 'end--0"\n', "dangling_step", f"{ACTION}/on_completion", 16),
        ('"type": "string", "value": "web-1"', '"type": "integer", "value": "abc"', "wrong_type",
         "/playbook_variables/__host__/value", 7),
        ('"value": "web-1"', '"value": 7', "wrong_type", "/playbook_variables/__host__/value", 7),
        ('"__host__": {', '"host": {', "bad_name", "/playbook_variables/host", 7),
        ('"name": "Look"', '"delay": 9007199254740993', "number_too_large", f"{ACTION}/delay", 14),
        ('"name": "Look"', '"step_variables": {"__n__": {"type": "long", "value": "x"}}', "wrong_type",
         f"{ACTION}/step_variables/__n__/value", 14),
        ('"name": "Look"', f'"step_extensions": {{"{EXTENSION}": {{"lease": 0}}}}', "not_our_form",
         f"{ACTION}/step_extensions/{EXTENSION}/lease", 14),
        ('"modified": "2024', '"modified": "2023', "bad_time", "/modified", 6),
    ],
)  # fmt: skip
def test_a_problem_names_its_line_in_json(good: str, bad: str, code: str, pointer: str, line: int) -> None:
    assert PLAYBOOK.count(good) == 1
    found = [(each.code, each.pointer, each.line) for each in problems_of(PLAYBOOK.replace(good, bad))]
    assert (code, pointer, line) in found


def test_every_problem_of_the_form_is_told_at_once() -> None:
    broken = PLAYBOOK.replace('"Look"', "7").replace('"value": "web-1"', '"value": 7').replace('"One step"', "null")
    assert [each.line for each in problems_of(broken)] == [14, 7, 3]


def test_a_rule_of_the_checker_names_the_place_in_cacao_words() -> None:
    playbook = yaml_form.load("{id: a, steps: [{while: alert:x = 1, max: 2, steps: [{manual: Look}]}]}")
    document = cacao_form.to_document(playbook)
    loop = next(own for own in document["workflow"] if own.startswith("while"))
    document["workflow"][loop]["condition"] = "nobody:x = 1"
    document["workflow"][loop]["step_extensions"][EXTENSION]["max"] = 5000
    found = {(each.code, each.pointer) for each in problems_of(json.dumps(document))}
    assert found == {
        ("unknown_path", f"/workflow/{loop}/condition"),
        ("out_of_range", f"/workflow/{loop}/step_extensions/{EXTENSION}/max"),
    }


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=12),
       st.sampled_from([None, 1, 3]))  # fmt: skip
def test_each_value_of_a_json_text_is_found_where_it_stands(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    lines = text.split("\n")
    places = json_places(text)
    for pointer, each in values_of(value):
        line, column = places[pointer]
        assert json.JSONDecoder().raw_decode("\n".join([lines[line - 1][column - 1 :], *lines[line:]]))[0] == each


def values_of(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    yield pointer, value
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from values_of(each, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")


# --- variables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("bool", "false", "no"),
        ("integer", "-7", "7.5"),
        ("long", "12345678901", "x"),
        ("float", "1e3", "NaN"),
        ("dictionary", '{"a": 1}', "[1]"),
        ("list", "[]", "a, b"),
        ("ipv4-addr", "192.0.2.0/24", "192.0.2.256"),
        ("ipv6-addr", "2001:db8::1", "2001:db8::g"),
        ("mac-addr", "00:1B:44:11:3a:b7", "001B44113AB7x"),
        ("hexstring", "00ff", "0ff"),
        ("hash", "d41d8cd98f00b204", "d41d"),
        ("md5-hash", "d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204"),
        ("sha256-hash", "a" * 64, "a" * 63),
        ("uri", "https://x.example/a?b", "x.example"),
        ("uuid", "61a6c41e-6efc-4516-a242-dfbc5c89d562", "61a6c41e"),
    ],
)
def test_a_value_is_text_that_its_type_allows(kind: str, good: str, bad: str) -> None:
    def with_value(value: str) -> str:
        said = f'"__host__": {{"type": "{kind}", "value": {json.dumps(value)}}}'
        return PLAYBOOK.replace('"__host__": {"type": "string", "value": "web-1"}', said)

    for value in (good, "__other__:value"):
        assert comes_back(json.loads(with_value(value)))
    assert [(each.code, each.line) for each in problems_of(with_value(bad))] == [("wrong_type", 7)]


def test_values_have_the_type_that_is_declared() -> None:
    document = json.loads(PLAYBOOK)
    document["playbook_variables"] = {
        "__n__": {"type": "integer", "value": "7"}, "__d__": {"type": "dictionary", "value": '{ "a" : [1.0] }'},
        "__s__": {"type": "string", "value": "7"}, "__m__": {"type": "mood", "value": "calm"},
        "__f__": {"type": "float", "value": "1e1"}, "__l__": {"type": "long", "value": "9007199254740993"},
    }  # fmt: skip
    variables = cacao_form.from_document(document).variables
    assert {name: each.default for name, each in variables.items()} == {
        "n": 7,
        "d": {"a": [1.0]},
        "s": "7",
        "m": "calm",
        "f": 10.0,
        "l": "9007199254740993",
    }
    assert variables["d"].kept == {"value": '{ "a" : [1.0] }'}


# --- what is said of it --------------------------------------------------------------------------------


def test_custom_properties_and_extensions_are_kept_and_said() -> None:
    text = PLAYBOOK.replace('"name": "Look"', f'"nmae": "Look", "step_extensions": {{"{OTHERS}": {{}}}}')
    text = text.replace('"name": "IR team"', '"name": "IR team", "x_floor": 3')
    playbook, places = cacao_form.read(text)
    assert [(each.code, each.line, each.mend) for each in foreign.remarks(playbook, places)] == [
        ("custom_property", 14, "Did you mean name?"),
        ("custom_property", 20, ""),
        ("foreign_extension", 14, ""),
    ]


def test_what_each_step_does_is_said(samples: Path) -> None:
    folder = samples / "cacao" / "playbooks-soarca"
    playbook, _ = cacao_form.read((folder / "caldera-flow-control.json").read_bytes())
    assert [(fate.outcome, fate.words) for fate in foreign.fates(playbook)] == [
        ("asks", 'asks a person: "__ifStepVariable__:value" is no comparison'),
        ("runs", 'repeats while "__whileStepVariable__:value <= 10"'),
        ("runs", 'chooses by "__switchStepVariable__:value"'),
        ("runs", "runs caldera-cmd where an adapter declares command_caldera_cmd"),
        ("runs", "runs caldera-cmd where an adapter declares command_caldera_cmd"),
    ]
    playbook, _ = cacao_form.read((folder / "openc2-playbook.json").read_bytes())
    assert [fate.outcome for fate in foreign.fates(playbook)] == ["refused"]


def test_a_secret_that_is_written_out_is_refused_with_its_place(samples: Path) -> None:
    text = (samples / "cacao" / "playbooks-soarca" / "ssh-playbook.json").read_text()
    found = [each for each in problems_of(text) if each.code == "literal_secret"]
    assert [(each.line, each.pointer.rpartition("/")[2]) for each in found] == [(27, "password")]
    by_name = text.replace('"password": "password"', '"kms": true, "kms_key_identifier": "root-of-1"')
    by_variable = text.replace('"password": "password"', '"password": "__pw__:value"')
    for good in (by_name, by_variable):
        playbook, places = cacao_form.read(good)
        assert "literal_secret" not in [each.code for each in cacao_form.examined(playbook, places)]


def test_places_without_a_text_have_no_lines() -> None:
    assert Places.of_cacao({"a/b": {}}).problem("x", "y", "/workflow/a~1b").line is None
