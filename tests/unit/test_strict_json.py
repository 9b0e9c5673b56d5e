"""JSON from outside: what is good comes through unchanged, what is not is refused at its place."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from soar.errors import Invalid, Problem, TooLarge
from soar.strict_json import HARD_DEPTH, MAX_DIGITS, parse

MIB = 1_048_576

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**60), max_value=10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)
names = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=25)


def refused(data: bytes | str, **limits: int) -> Problem:
    """The first problem of a document that must be refused."""
    with pytest.raises(Invalid) as caught:
        parse(data, **limits)
    return caught.value.problems[0]


@given(documents, st.booleans(), st.sampled_from([None, 1, "\t"]))
@settings(max_examples=80, deadline=None)
def test_what_was_written_is_what_is_read(value: Any, ascii_only: bool, indent: Any) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse(text) == value
    assert parse(text.encode()) == json.loads(text)


@given(st.text(alphabet='[]{}",:\\ \n0123456789.eE+-truefalsn\\u0d8ca\x00\x7f\ud83d\ude00é', max_size=40))
@example('{"a":1,"\\u0061":2}')
@example("[1.0e+400]")
@example('"\\ud83d\\ude00"')
@example("1" * 4301)
@settings(max_examples=600, deadline=None)
def test_any_text_is_read_as_the_standard_reader_does_or_refused_with_a_place(text: str) -> None:
    try:
        value = parse(text)
    except Invalid as error:
        problems = error.problems
    else:
        assert value == json.loads(text)
        return
    assert problems
    if problems[-1].code in {"syntax", "trailing_data", "empty"}:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever the standard reader says
            json.loads(text)
    assert all(problem.line and problem.column and problem.message for problem in problems)


@given(st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert parse(data) == json.loads(data)


@given(documents, st.data())
@settings(max_examples=60, deadline=None)
def test_a_good_document_cut_short_or_struck_somewhere_never_escapes_as_another_error(value: Any, data: Any) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    for damaged in (text[:at], text[:at] + data.draw(st.sampled_from('[]{}",:\\u0\x00')) + text[at:]):
        with contextlib.suppress(Invalid):
            assert parse(damaged) == json.loads(damaged)


@pytest.mark.parametrize(
    ("text", "code", "pointer", "line", "column"),
    [
        ('{"a": 1,\n "a": 2}', "duplicate_key", "/a", 2, 2),
        ('{"x": [1, {"a/b~": 1, "\\u0061/b~": 2}]}', "duplicate_key", "/x/1/a~1b~0", 1, 23),
        ('{"x": NaN}', "not_finite", "/x", 1, 7),
        ("[1, Infinity]", "not_finite", "/1", 1, 5),
        ("-Infinity", "not_finite", "", 1, 1),
        ("[1e999]", "not_finite", "/0", 1, 2),
        ("-1" + "0" * 400 + ".0", "not_finite", "", 1, 1),
        ("[" + "7" * (MAX_DIGITS + 1) + "]", "number_too_long", "/0", 1, 2),
        ('{"k": "ab\\ud800"}', "lone_surrogate", "/k", 1, 10),
        ('["\\udc00\\ud800"]', "lone_surrogate", "/0", 1, 3),
        ('{"\\ud83d": 1}', "lone_surrogate", "", 1, 3),
        ('"é\ud800"', "lone_surrogate", "", 1, 3),
        ('["a\\u0000b"]', "control_character", "/0", 1, 4),
        ('"a\x00b"', "syntax", "", 1, 3),
        ('"a\nb"', "syntax", "", 1, 3),
        ("1 2", "trailing_data", "", 1, 3),
        ("{}\n]", "trailing_data", "", 2, 1),
        ("", "empty", "", 1, 1),
        (" \n ", "empty", "", 2, 2),
        ("\ufeff{}", "byte_order_mark", "", 1, 1),
        ("[1,]", "syntax", "/1", 1, 4),
        ('{"a": 1,}', "syntax", "", 1, 9),
        ("{a: 1}", "syntax", "", 1, 2),
        ('{"a" 1}', "syntax", "/a", 1, 6),
        ('["a" "b"]', "syntax", "/0", 1, 6),
        ('["\\x"]', "syntax", "/0", 1, 3),
        ('["abc', "syntax", "/0", 1, 6),
        ("[01]", "syntax", "/0", 1, 2),
        ("[1.]", "syntax", "/0", 1, 2),
        ("[.5]", "syntax", "/0", 1, 2),
        ("[True]", "syntax", "/0", 1, 2),
        ("// c\n1", "syntax", "", 1, 1),
    ],
)
def test_a_refusal_names_the_fault_and_its_place(text: str, code: str, pointer: str, line: int, column: int) -> None:
    problem = refused(text)
    assert (problem.code, problem.pointer, problem.line, problem.column) == (code, pointer, line, column)
    assert problem.mend
    assert str(problem).isprintable()


@pytest.mark.parametrize(
    ("data", "code", "line", "column"),
    [
        (b'{"a":\n "\xff"}', "not_utf8", 2, 3),
        ('"é'.encode() + b'\xed\xa0\x80"', "not_utf8", 1, 3),
        (b"\xef\xbb\xbf{}", "byte_order_mark", 1, 1),
        ('{"a": 1}'.encode("utf-16"), "not_utf8", 1, 1),
        (b'"\xc0\x80"', "not_utf8", 1, 2),
    ],
)
def test_only_utf8_without_a_mark_is_text(data: bytes, code: str, line: int, column: int) -> None:
    problem = refused(data)
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_every_bad_value_is_named_not_only_the_first() -> None:
    with pytest.raises(Invalid) as caught:
        parse('{"a": NaN, "a": 1e999, "b": ["\\ud800", "\\u0000"]}')
    found = [(problem.code, problem.pointer) for problem in caught.value.problems]
    assert found == [
        ("not_finite", "/a"),
        ("duplicate_key", "/a"),
        ("not_finite", "/a"),
        ("lone_surrogate", "/b/0"),
        ("control_character", "/b/1"),
    ]


def test_a_flood_of_faults_is_cut_off() -> None:
    with pytest.raises(Invalid) as caught:
        parse("[" + "NaN," * 10_000 + "NaN]")
    assert len(caught.value.problems) == 20


@pytest.mark.parametrize("number", [2**53 - 1, 2**53, 2**53 + 1, -(2**64) - 1, 10**100 + 1, int("9" * MAX_DIGITS)])
def test_large_integers_survive_to_the_last_digit(number: int) -> None:
    assert parse(f'{{"n": {number}}}') == {"n": number}


def test_what_looks_like_a_fault_but_is_none_is_taken() -> None:
    assert parse('"\\\\u0000 \\\\ud800"') == "\\u0000 \\ud800"
    assert parse('"\\ud83d\\ude00"') == "😀"
    assert parse('["[[[[", "NaN", "a,b", "\\"", "' + "1" * 5000 + '"]', max_depth=1, max_nodes=6)[1] == "NaN"
    assert parse('{"a": {"a": 1}, "A": 2}') == {"a": {"a": 1}, "A": 2}
    assert parse("0." + "1" * 5000) == pytest.approx(1 / 9)
    assert parse("1e-999") == 0.0


def test_depth_is_counted_before_anything_recurses() -> None:
    assert parse("[" * 64 + "]" * 64)
    deep = refused("[" * 65 + "]" * 65)
    assert (deep.code, deep.column) == ("too_deep", 65)
    for bomb in ("[" * 100_000, '{"a":' * 100_000, '[{"a":' * 50_000 + "1" + "}]" * 50_000):
        with pytest.raises(TooLarge):
            parse(bomb)
    with pytest.raises(TooLarge):
        parse("[" * (HARD_DEPTH + 1) + "]" * (HARD_DEPTH + 1), max_depth=1_000_000)


def test_size_and_count_are_limited_where_they_are_passed() -> None:
    assert parse("[1, 2]", max_nodes=2) == [1, 2]
    assert (refused("[1,\n2, 3]", max_nodes=2).code, refused("[1,\n2, 3]", max_nodes=2).line) == ("too_many_nodes", 2)
    counted = refused("[[], [],\n1, 2]", max_nodes=5)
    assert (counted.code, counted.line, counted.column, counted.pointer) == ("too_many_nodes", 2, 2, "/2")
    assert parse('"é"', max_bytes=4) == "é"
    too_large = refused('"\né"', max_bytes=4)
    assert (too_large.code, too_large.line, too_large.column) == ("too_large", 2, 2)
    with pytest.raises(TooLarge):
        parse(b" " * (MIB + 1))
    with pytest.raises(TooLarge):
        parse("[" + "[]," * 250_000 + "[]]")


def test_a_pointer_stays_short_however_long_the_names() -> None:
    problem = refused('{"short": {"' + "x" * 10_000 + '": NaN}}')
    assert problem.pointer == "/short"
    assert refused('{"\\ud800\\u0000": [NaN]}').pointer == ""


good = {
    "rows": [{"id": i, "name": f"host-{i}", "score": i / 7, "tags": ["a", "b"], "n": None} for i in range(11_000)],
    "floats": [1.5] * 190_000,
    "escapes": ["😀" * 10] * 8_000,
    "one string": '"' * (MIB // 2 - 10),
}


@pytest.mark.parametrize("kind", good)
def test_a_mebibyte_of_good_json_is_read_fast(kind: str) -> None:
    text = json.dumps(good[kind])
    assert len(text) > 0.7 * MIB
    best = math.inf
    for _ in range(3):
        start = time.process_time()
        parse(text)
        best = min(best, time.process_time() - start)
    assert best < 0.4  # 20 to 100 ms on an idle core


@pytest.mark.parametrize(
    "bomb",
    [
        '"' * MIB,
        '"' + '\\"' * (MIB // 2 - 1),
        "\\" * MIB,
        "-" * MIB,
        "1" * MIB,
        '{"a":1,' * (MIB // 7),
        "[" + '"a",' * 99_000 + '"\\ud800"]',
        "[" + '{"a":1,"a":2},' * 60_000,
        "{" + ",".join(f'"{i}":1' for i in range(40_000)) + ',"1":1}',
        " " * MIB,
    ],
    ids=lambda bomb: repr(bomb[:12]),
)
def test_a_bomb_is_refused_in_bounded_time(bomb: str) -> None:
    start = time.process_time()
    refused(bomb)
    assert time.process_time() - start < 3


def test_every_real_document_reads_as_the_standard_reader_does(samples: Path) -> None:
    files = sorted(samples.rglob("*.json"))
    read = 0
    for file in files:
        data = file.read_bytes()
        try:
            expected = json.loads(data)
        except ValueError:
            assert refused(data).line, file
        else:
            assert parse(data) == expected, file
            read += 1
    assert read > 300
