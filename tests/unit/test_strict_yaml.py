"""YAML that people write: one meaning, known places, and no bomb goes off."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from soar import strict_yaml
from soar.errors import Invalid, Problem, TooLarge
from soar.strict_yaml import at, parse

PLAYBOOK = """\
# a comment
id: compromised-host
triggers:
  - when: alert:severity_id >= 4
steps:
  - id: contain
    with: {host: $host, allow: [soc]}
  - {id: scan, do: scan}
"""

printable = st.text(
    alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufffe\uffff\ufeff")
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | printable
    | st.sampled_from(["no", "12:30:45", "2026-01-01", "~", "null", "1e5", "0x1f", ".inf", "<<", "*a", "&a", "!a", ""])
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(printable, inner, max_size=4), max_leaves=15
)

texts = st.recursive(
    printable, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(printable, inner, max_size=4), max_leaves=15
)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's parser in C, and the one in Python that stands in where it is missing."""
    monkeypatch.setattr(strict_yaml, "_LOADER", getattr(yaml, request.param))


def value(text: str) -> Any:
    return parse(text).value


def refused(text: bytes | str, **limits: int) -> Problem:
    with pytest.raises(Invalid) as caught:
        parse(text, **limits)
    return caught.value.problems[0]


@given(documents)
@settings(max_examples=100, deadline=None)
def test_json_is_yaml_and_reads_the_same(value: Any) -> None:
    assert parse(json.dumps(value, ensure_ascii=False)).value == value


@given(texts, st.booleans(), st.sampled_from("'\""))
@settings(max_examples=80, deadline=None)
def test_what_a_yaml_writer_quotes_comes_back(value: Any, flow: bool, quote: str) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow, default_style=quote)
    assert parse(text).value == value


@given(st.text(alphabet="ab:-[]{},'\"\n \t#&*!|>%?<~0.\\\x00\u2028é\ud800", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        document = parse(text)
    except Invalid as error:
        problems = error.problems
    else:
        json.dumps(document.value, allow_nan=False)
        assert "" in document.places
        return
    assert problems
    assert all(problem.line and problem.column and problem.message for problem in problems)


@pytest.mark.usefixtures("either_parser")
def test_every_part_of_a_document_has_its_place() -> None:
    document = parse(PLAYBOOK)
    assert document.value["steps"][0]["with"] == {"host": "$host", "allow": ["soc"]}
    assert document.places[""] == (2, 1)
    assert document.places["/id"] == (2, 5)
    assert document.places["/id#key"] == (2, 1)
    assert document.places["/triggers/0/when"] == (4, 11)
    assert document.places["/steps/0/with/allow/0"] == (7, 33)
    assert document.places["/steps/1/do#key"] == (8, 16)


def test_what_is_not_there_is_placed_at_its_nearest_parent() -> None:
    document = parse(PLAYBOOK)
    assert at(document, "/steps/0/with/missing/deeper") == document.places["/steps/0/with"]
    assert at(document, "/steps/1/do#key") == (8, 16)
    assert at(document, "/steps/1/nope#key") == document.places["/steps/1"]
    assert at(document, "/nope") == at(document, "") == (2, 1)


def test_pointers_escape_as_rfc_6901_says() -> None:
    assert parse("a/b~c: {é: 1}").places["/a~1b~0c/é"] == (1, 12)


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("12:30:45", "12:30:45"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("1_000", "1_000"),
        ("0b101", "0b101"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("+5", 5),
        ("-1.5e3", -1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("9007199254740993", 9007199254740993),
        ("'true'", "true"),
        ('"12"', "12"),
        ("|-\n  5", "5"),
        ("T1021.002", "T1021.002"),
        ("$step.output", "$step.output"),
        ("=", "="),
        ('"\\u2028\\U0001F600"', "\u2028😀"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(written: str, meant: Any) -> None:
    read = value(f"k: {written}\n")["k"]
    assert read == meant
    assert type(read) is type(meant)


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("text", "code", "pointer", "line", "column"),
    [
        ("a: 1\nb: {c: 2, c: 3}", "duplicate_key", "/b/c", 2, 11),
        ("a: 1\n'a': 2", "duplicate_key", "/a", 2, 1),
        ('a: 1\n"\\x61": 2', "duplicate_key", "/a", 2, 1),
        ("a: &x 1", "anchor", "/a", 1, 4),
        ("a: [*x]", "alias", "/a/0", 1, 5),
        ("a: !!python/object/apply:os.system [id]", "tag", "/a", 1, 4),
        ("!!map {a: 1}", "tag", "", 1, 1),
        ("a: ! x", "tag", "/a", 1, 4),
        ("%YAML 1.1\n---\na: 1", "directive", "", 1, 1),
        ("%TAG ! tag:x,2000:\n---\na: 1", "directive", "", 1, 1),
        ("a: 1\n---\nb: 2", "several_documents", "", 2, 1),
        ("1: x", "key_not_text", "/1", 1, 1),
        ("no: {true: x}", "key_not_text", "/no/true", 1, 6),
        ("~: x", "key_not_text", "/~0", 1, 1),
        ("? [a, b]\n: x", "key_not_text", "", 1, 3),
        ("{a: {b: 1}: 2}", "syntax", "", 1, 11),
        ("a:\n  <<: {b: 1}", "merge_key", "/a/<<", 2, 3),
        ("a: 1e1000", "not_finite", "/a", 1, 4),
        ("a: [-.inf]", "not_finite", "/a/0", 1, 5),
        ("a: .NaN", "not_finite", "/a", 1, 4),
        ("a: " + "1" * 1_001, "number_too_long", "/a", 1, 4),
        ("a: 0x" + "f" * 1_001, "number_too_long", "/a", 1, 4),
        ('a: "x\\0"', "control_character", "/a", 1, 4),
        ('"a\\e": 1', "control_character", "", 1, 1),
        ("a: x\x07", "control_character", "", 1, 5),
        ("a: 1\n# hidden\u2028b: 2", "control_character", "", 2, 9),
        ("a: \x85", "control_character", "", 1, 4),
        ("a: \ud800", "lone_surrogate", "", 1, 4),
        ("\ufeffa: 1", "byte_order_mark", "", 1, 1),
        ("", "empty", "", 1, 1),
        ("# nothing\n", "empty", "", 1, 1),
        ("a: b: c", "syntax", "", 1, 5),
        ("a:\n\t- b", "syntax", "/a", 2, 1),
    ],
)
def test_a_refusal_names_the_fault_and_its_place(text: str, code: str, pointer: str, line: int, column: int) -> None:
    problem = refused(text)
    assert (problem.code, problem.line, problem.column) == (code, line, column)
    assert problem.mend
    assert str(problem).isprintable()
    if code != "syntax":
        assert problem.pointer in (pointer, pointer.rpartition("/")[0])


def test_bytes_that_are_not_utf8_are_refused_at_their_place() -> None:
    assert refused(b"a: 1\nb: \xff").as_dict()["line"] == 2
    assert refused("a: 1".encode("utf-16")).code == "not_utf8"
    assert refused(b'a: "\xed\xa0\x80"').code == "not_utf8"
    assert refused('a: "\\ud800"').code in ("syntax", "control_character")


def test_every_fault_up_to_broken_syntax_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        parse("a: *x\nb: &y 1\na: .inf\nc: [1\n")
    assert [problem.code for problem in caught.value.problems] == [
        "alias",
        "anchor",
        "duplicate_key",
        "not_finite",
        "syntax",
    ]


ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("bomb", "code"),
    [
        (ALIAS_BOMB, "anchor"),
        ("[" * 100_000, "too_deep"),
        ("[" * 100_000 + "]" * 100_000, "too_deep"),
        ("- " * 100_000, "too_deep"),
        ("{a: " * 100_000, "too_deep"),
        ("".join(" " * depth + "a:\n" for depth in range(300)), "too_deep"),
        ("{" * 100_000, "key_not_text"),
        ("? " * 100_000, "key_not_text"),
        ("- a\n" * 21_000, "too_many_nodes"),
        ("[" + "a," * 21_000 + "]", "too_many_nodes"),
        ("a: '" + "x" * 200_000, "syntax"),
        ("k: 1\n" * 10_000, "duplicate_key"),
        ("a: " + "x" * 2_000_000, "too_large"),
    ],
    ids=lambda part: part[:14] if len(part) > 20 else "",
)
def test_a_bomb_is_refused_in_bounded_time(bomb: str, code: str) -> None:
    start = time.process_time()
    problem = refused(bomb)
    assert time.process_time() - start < 3
    assert problem.code == code
    assert problem.line


def test_the_limits_are_exact() -> None:
    assert value("[" * 64 + "]" * 64)
    with pytest.raises(TooLarge):
        parse("[" * 65 + "]" * 65)
    assert value(
        "[a, b]",
    ) == ["a", "b"]
    assert parse("[a, b]", max_nodes=3).value == ["a", "b"]
    assert refused("[a, b]", max_nodes=2).code == "too_many_nodes"
    assert parse("é: 1", max_bytes=5).value == {"é": 1}
    assert refused("é: 1", max_bytes=4).code == "too_large"


def test_long_keys_do_not_multiply_into_long_pointers() -> None:
    document = parse("? " + "k" * 5_000 + "\n: {x: [" + "1," * 1_000 + "]}\nb: 2\n")
    assert max(map(len, document.places)) <= 512
    assert len(document.value["k" * 5_000]["x"]) == 1_000
    assert at(document, "/" + "k" * 5_000 + "/x/3") == (1, 1)
    assert document.places["/b"] == (3, 4)


def test_twenty_thousand_nodes_are_read_quickly() -> None:
    text = "".join(f"k{i}: v{i}\n" for i in range(9_900))
    start = time.process_time()
    assert len(value(text)) == 9_900
    assert time.process_time() - start < 2


def test_real_rule_files_read_as_the_common_reader_does_but_for_dates(samples: Path) -> None:
    files = sorted(samples.rglob("*.yml"))
    for file in files:
        read = parse(file.read_bytes()).value
        usual = yaml.safe_load(file.read_bytes())
        assert json.loads(json.dumps(usual, default=str)) == read, file
    assert len(files) >= 10


def test_a_real_playbook_in_json_reads_the_same_as_yaml(samples: Path) -> None:
    file = samples / "cacao" / "playbooks-soarca" / "http-playbook.json"
    assert value(file.read_text()) == json.loads(file.read_bytes())
