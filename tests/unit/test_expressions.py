"""Expressions: what triggers and conditions may say, and what it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stix2patterns.v21.pattern import Pattern

from soar import strict_json
from soar.errors import Invalid, Problem
from soar.expressions import from_yaml, parse
from soar.model import Severity

FACTS: dict[str, Any] = {
    "alert": {
        "severity_id": 5,
        "severity": Severity.CRITICAL,
        "risk": 7.5,
        "note": "first\nsecond\nline",
        "techniques": ["T1486", "T1021.002"],
        "title": "Ransom note on srv-7",
        "blocked": True,
        "flag": "true",
        "port": "443",
        "src": "10.1.2.3",
        "net": "10.1.0.0/16",
        "src6": "2001:db8::1",
        "at": "2026-01-31T12:00:00+01:00",
        "seen": datetime(2026, 1, 31, 11, 0, tzinfo=UTC),
        "naive": datetime(2026, 1, 31, 11, 0),  # noqa: DTZ001
        "hashes": {"SHA-256": "aec0", "MD5": "79"},
        "magic": "FFD8",
        "raw": b"\xff\xd8",
        "nothing": None,
        "empty": [],
        "nan": float("nan"),
        "files": [{"name": "a.exe", "tags": ["x", "y"]}, {"name": "b.dll", "tags": ["z"]}, {"size": 3}],
        "matrix": [[1, 2], [3]],
        "object": {"a": 1},
        "lone": "\ud800",
    },
    "scope": [{"kind": "host", "status": "affected"}, {"kind": "account", "status": "contained"}],
    "asset": {},
    "variables": {
        "tries": 3,
        "my-list": ["a", "b"],
        "scan": {"malware_found": True, "deeper": {"still": "here"}},
        "said": "5",
        "a__b": 1,
        "a": {"b": 2, "c": 3},
    },
}


def holds(text: str, facts: Any = None) -> bool:
    return parse(text).evaluate(FACTS if facts is None else facts)


def refused(text: str) -> Problem:
    with pytest.raises(Invalid) as caught:
        parse(text)
    return caught.value.problems[0]


TRUE = [
    "alert:severity_id >= 4",
    "alert:severity_id = 5",
    "alert:severity_id == 5",
    "alert:severity_id <> 4",
    "alert:severity_id = 5.0",
    "alert:severity_id = '5'",
    "alert:severity_id < '5.5'",
    "alert:severity_id NOT < 5",
    "alert:severity_id NOT != 5",
    "alert:severity = 'critical'",
    "alert:risk > 7",
    "alert:techniques[*] = 'T1486'",
    "alert:techniques = 'T1021.002'",
    "alert:techniques[1] = 'T1021.002'",
    "alert:techniques[*] IN ('T1', 'T1486')",
    "alert:techniques[*] NOT IN ('T1486')",
    "alert:techniques[*] != 'T1486'",
    "alert:blocked = true",
    "alert:blocked = 'true'",
    "alert:blocked != false",
    "alert:flag = 'true'",
    "alert:src ISSUBSET '10.0.0.0/8'",
    "alert:src ISSUBSET '10.1.2.3'",
    "alert:net ISSUPERSET '10.1.2.0/24'",
    "alert:src NOT ISSUBSET '192.168.0.0/16'",
    "alert:src6 ISSUBSET '2001:0db8:0000:0000:0000:0000:0000:0000/32'",
    "alert:at = t'2026-01-31T11:00:00Z'",
    "alert:at < t'2026-01-31T11:00:00.5Z'",
    "alert:seen = '2026-01-31T12:00:00+01:00'",
    "alert:seen >= t'2026-01-31T11:00:00Z'",
    "alert:hashes.'SHA-256' = 'aec0'",
    "alert:hashes.MD5 LIKE '7_'",
    "alert:title LIKE 'Ransom%srv-_'",
    "alert:note LIKE 'first%l_ne'",
    "alert:note NOT MATCHES 'first.second'",
    "alert:title NOT LIKE 'ransom%'",
    "alert:title MATCHES 'srv-[0-9]+'",
    "alert:title MATCHES '(?i)^RANSOM'",
    "alert:magic = h'ffd8'",
    "alert:raw = h'ffd8'",
    "alert:magic != b'AAAA' OR alert:raw = b'/9g='",
    "alert:files[0].name = 'a.exe'",
    "alert:files[*].tags[*] = 'z'",
    "alert:files.tags = 'y'",
    "alert:files[2].size = 3",
    "alert:matrix = 3",
    "alert:matrix[0][1] = 2",
    "EXISTS alert:object",
    "EXISTS alert:nan",
    "NOT EXISTS alert:missing",
    "NOT EXISTS alert:nothing",
    "NOT EXISTS alert:empty",
    "NOT EXISTS incident:id",
    "scope:status = 'affected'",
    "__tries__:value < 10",
    "__my-list__:value[*] = 'b'",
    "__scan__malware_found__:value = true",
    "__scan__deeper__still__:value = 'here'",
    "__scan__:value.malware_found = true",
    "__said__:value = '5'",
    "__a__b__:value = 1",
    "__a__c__:value = 3",
    "alert:severity_id = 1 AND alert:risk = 1 OR alert:blocked = true",
    "alert:blocked = true OR alert:risk = 1 AND alert:severity_id = 1",
    "(alert:severity_id = 1 OR alert:blocked = true) AND alert:risk > 1",
    "/* why */ alert:severity_id = 5 // because",
    "alert:title != 'it\\'s \\\\ so'",
]

FALSE = [
    "alert:missing = 1",
    "alert:missing != 1",
    "alert:missing NOT = 1",
    "alert:missing NOT IN (1, 2)",
    "alert:missing NOT LIKE 'x'",
    "alert:missing NOT MATCHES 'x'",
    "alert:missing NOT ISSUBSET '10.0.0.0/8'",
    "alert:nothing != 1",
    "alert:empty[*] != 1",
    "alert:title.deeper != 1",
    "alert:title[0] = 'R'",
    "alert:techniques[2] != 'x'",
    "alert:techniques[99999999999999999999999999] != 'x'",
    "alert:object[*] = 1",
    "alert:object != 1",
    "unknown:path != 1",
    "__missing__:value != 1",
    "__scan__missing__:value != 1",
    "alert:severity_id = 'five'",
    "alert:severity_id != 'five'",
    "alert:severity_id NOT = 'five'",
    "alert:severity_id != true",
    "alert:severity_id MATCHES '5'",
    "alert:port = 443",
    "alert:port != 443",
    "alert:flag = true",
    "alert:blocked = 1",
    "alert:blocked < 'true'",
    "alert:nan != 1",
    "alert:nan NOT = 1",
    "alert:naive = t'2026-01-31T11:00:00Z'",
    "alert:naive != t'2026-01-31T11:00:00Z'",
    "alert:title = t'2026-01-31T11:00:00Z'",
    "alert:title != t'2026-01-31T11:00:00Z'",
    "alert:src ISSUBSET '2001:db8::/32'",
    "alert:src NOT ISSUBSET '2001:db8::/32'",
    "alert:title NOT ISSUBSET '10.0.0.0/8'",
    "alert:severity_id NOT ISSUBSET '0.0.0.0/0'",
    "alert:title LIKE 'Ransom'",
    "alert:title LIKE '.*'",
    "alert:title MATCHES 'ransom'",
    "alert:lone MATCHES '.'",
    "alert:title != h'ff'",
    "alert:severity_id NOT IN ('five', true)",
    "EXISTS alert:empty",
    "EXISTS alert:nothing",
    "NOT EXISTS alert:title",
]


@pytest.mark.parametrize("text", TRUE)
def test_it_holds(text: str) -> None:
    assert holds(text)
    assert parse(text).explain(FACTS)


@pytest.mark.parametrize("text", FALSE)
def test_it_does_not_hold(text: str) -> None:
    assert not holds(text)
    assert parse(text).explain(FACTS) == []


def test_an_expression_names_the_paths_and_variables_it_reads() -> None:
    text = "alert:a.b[*] = 1 AND __x__:value = 2 OR incident:c > 3 AND alert:a.b[*] = 4 AND __s__o__p__:value = 5"
    expression = parse(text)
    assert expression.text == text
    assert expression.paths == ("alert:a.b[*]", "incident:c")
    assert expression.variables == {"x", "s__o__p"}
    assert parse(text) is expression


def test_an_explanation_says_what_made_it_hold_and_nothing_else() -> None:
    text = (
        "(alert:severity_id >= 4 AND alert:risk = 1 OR alert:techniques[*] IN ('T1', 'T1021.002'))"
        " AND (alert:blocked == true OR alert:missing = 1) AND NOT EXISTS alert:missing"
    )
    assert parse(text).explain(FACTS) == [
        "alert:techniques[*] IN ('T1', 'T1021.002') (is 'T1021.002')",
        "alert:blocked = true (is true)",
        "NOT EXISTS alert:missing (is missing)",
    ]
    assert parse("alert:severity_id >= 4").explain(FACTS) == ["alert:severity_id >= 4 (is 5)"]


def test_an_explanation_is_one_short_printable_line_whatever_the_fact() -> None:
    hostile = ["x\ny\x1b[2J\u202e" + "z" * 10_000, 10**5000, "\ud800", {"a": 1}, b"x", datetime.min.replace(tzinfo=UTC)]
    for fact in hostile:
        (line,) = parse("EXISTS alert:x.'a\nb'").explain({"alert": {"x": {"a\nb": fact}}})
        assert line.isprintable()
        assert len(line) < 200


SLUG = st.from_regex(r"\A[a-z]([a-z0-9-]|_(?!_))*\Z").filter(lambda name: not name.endswith("_"))


@given(st.lists(SLUG, min_size=1, max_size=3), st.text(max_size=10))
@settings(max_examples=60, deadline=None)
def test_what_yaml_calls_a_variable_reads_that_variable(names: list[str], word: str) -> None:
    literal = "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
    short = f"${'.'.join(names)} = {literal}"
    nested: Any = word
    for name in reversed(names):
        nested = {name: nested}
    try:
        expression = parse(from_yaml(short))
    except Invalid as error:
        code = error.problems[0].code
        assert code == "lone_surrogate"
        return
    assert expression.evaluate({"variables": nested})
    assert expression.variables == {"__".join(names)}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("$name = 1", "__name__:value = 1"),
        ("$scan.malware_found = true", "__scan__malware_found__:value = true"),
        ("$a.b.c[0].d = 1 AND $e-f=2", "__a__b__c__:value[0].d = 1 AND __e-f__:value=2"),
        ("($a = 1)OR($b = 2)", "(__a__:value = 1)OR(__b__:value = 2)"),
        ("$a = '$b and \\'$c\\' \\\\' AND $d = 1", "__a__:value = '$b and \\'$c\\' \\\\' AND __d__:value = 1"),
        ("$a = 1 // don't $b\nAND $c = 1", "__a__:value = 1 // don't $b\nAND __c__:value = 1"),
        ("/* $it's */ $a = 1", "/* $it's */ __a__:value = 1"),
        ("$a.'K-1' = 1", "__a__:value.'K-1' = 1"),
        ("alert:x = 'unclosed $a", "alert:x = 'unclosed $a"),
        ("alert:severity_id >= 4", "alert:severity_id >= 4"),
    ],
)
def test_the_short_form_of_yaml(short: str, long: str) -> None:
    assert from_yaml(short) == long


@pytest.mark.parametrize(
    "text", ["$", "$A = 1", "$a.B = 1", "$a__b = 1", "$a_ = 1", "$5 = 1", "x$a = 1", "$é = 1", "$a.5"]
)
def test_a_name_that_is_no_slug_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        from_yaml("alert:x = 1 AND\n  " + text)
    problem = caught.value.problems[0]
    assert (problem.code, problem.line, problem.column) == ("expression_variable", 2, 3)


@pytest.mark.parametrize(
    ("text", "code", "column", "says"),
    [
        # Seen in public CACAO playbooks.
        ("__ifStepVariable__:value", "expression_syntax", 25, "= true"),
        ("__flag__:value AND alert:x = 1", "expression_syntax", 16, "= true"),
        ("Operator input to proceed", "expression_syntax", 10, "no comparison"),
        ('"response:status" == 200', "expression_syntax", 1, "double quotes"),
        # Patterns of several observations.
        ("[alert:x = 1]", "expression_observation", 1, "brackets"),
        ("alert:x = 1] OR [alert:y = 2", "expression_observation", 12, "brackets"),
        ("alert:x = 1] FOLLOWEDBY [alert:y = 2", "expression_observation", 14, "FOLLOWEDBY"),
        ("alert:x = 1 WITHIN 5 SECONDS", "expression_observation", 13, "WITHIN"),
        ("alert:x = 1 REPEATS 2 TIMES", "expression_observation", 13, "REPEATS"),
        (
            "alert:x = 1 START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
            "expression_observation",
            13,
            "START",
        ),
        # What the grammar does not have.
        ("NOT alert:x = 1", "expression_syntax", 1, "after"),
        ("alert:x = 1 AND NOT (alert:y = 1)", "expression_syntax", 17, "after"),
        ("alert:x = alert:y", "expression_syntax", 11, "cannot stand after ="),
        ("__x__:value = __y__:value", "expression_syntax", 15, "cannot stand after ="),
        ("alert:x = null", "expression_syntax", 11, "cannot stand after ="),
        ("alert:x > true", "expression_syntax", 11, "cannot stand after >"),
        ("$x = 1", "expression_syntax", 1, "__name__"),
        ("alert:x[-1] = 1", "expression_syntax", 8, "0"),
        ("alert:x IN ()", "expression_syntax", 1, "empty"),
        ("__x:value = 1", "expression_variable", 1, "__name__"),
        ("__x__:other = 1", "expression_variable", 1, "__name__"),
        ("__a____b__:value = 1", "expression_variable", 1, "__name__"),
        # Broken.
        ("", "empty", 1, "no expression"),
        ("  // only a comment", "empty", 20, "no expression"),
        ("alert:x = 1 AND", "expression_syntax", 16, "missing"),
        ("alert:x = 1 OR OR alert:y = 1", "expression_syntax", 16, "missing"),
        ("(alert:x = 1", "expression_syntax", 1, "never closed"),
        ("alert:x = 1)", "expression_syntax", 12, "closes nothing"),
        ("alert:x = 'it", "expression_syntax", 11, "quote"),
        ("alert:x = 'C:\\Windows'", "expression_syntax", 11, "\\\\"),
        ("alert:x = 1; drop", "expression_syntax", 12, "no meaning"),
        ("alert:x = {{7*7}}", "expression_syntax", 11, "no meaning"),
        # Constants that mean nothing.
        ("alert:x MATCHES '('", "expression_constant", 17, "missing )"),
        ("alert:x MATCHES '(?=a)'", "expression_constant", 17, "(?="),
        ("alert:x MATCHES '(a)\\\\1'", "expression_constant", 17, "\\1"),
        ("alert:x MATCHES '(a{100}){100}'", "expression_constant", 17, "repetition"),
        ("alert:x MATCHES '" + "\\\\pL" * 10 + "'", "expression_constant", 17, "instructions"),
        ("alert:x LIKE '" + "_" * 400 + "'", "expression_constant", 14, "wildcards"),
        ("alert:x ISSUBSET '10.0.0.0/33'", "expression_constant", 18, "network"),
        ("alert:x ISSUPERSET 'host'", "expression_constant", 20, "network"),
        ("alert:x = t'2026-02-30T00:00:00Z'", "expression_constant", 11, "no value"),
        ("alert:x = t'2016-12-31T23:59:60Z'", "expression_constant", 11, "no value"),
        ("alert:x = b'AAA'", "expression_syntax", 11, "cannot stand"),
        ("alert:x = " + "9" * 1_000, "expression_constant", 11, "no value"),
        ("alert:x = '\ud800'", "lone_surrogate", 12, "surrogate"),
    ],
)
def test_what_is_no_expression_is_refused_with_place_reason_and_mend(
    text: str, code: str, column: int, says: str
) -> None:
    problem = refused(text)
    assert (problem.code, problem.line, problem.column) == (code, 1, column)
    assert says in problem.message + problem.mend
    assert problem.mend
    assert str(problem).isprintable()


def test_a_place_on_a_later_line_is_counted_there() -> None:
    problem = refused("alert:x = 1\nAND alert:y ! 2")
    assert (problem.line, problem.column) == (2, 13)


def test_spec_patterns_of_one_observation_are_expressions_and_the_others_are_refused(samples: Path) -> None:
    lines = (samples / "stix" / "pattern-spec-examples.txt").read_text().splitlines()
    read = 0
    for line in filter(None, map(str.strip, lines)):
        known = Pattern(line).inspect()
        if known.observation_ops or known.qualifiers:
            assert refused(line).code == "expression_observation"
            continue
        expression = parse(line.strip("[]"))
        assert {path.partition(":")[0] for path in expression.paths} == set(known.comparisons)
        assert not expression.evaluate(FACTS)
        read += 1
    assert read == 17


def test_conditions_of_public_playbooks_are_read_or_refused_for_a_human(samples: Path) -> None:
    verdicts: dict[str, Any] = {}

    def look(node: Any) -> None:
        for value in node.values() if isinstance(node, dict) else node:
            if isinstance(value, dict | list):
                look(value)
        if isinstance(node, dict) and isinstance(node.get("condition"), str):
            try:
                verdicts[node["condition"]] = parse(node["condition"]).variables
            except Invalid as error:
                verdicts[node["condition"]] = error.problems[0].mend

    for folder in ("playbooks-oasis", "playbooks-soarca", "playbooks-soarca-tests", "playbooks-other"):
        for file in (samples / "cacao" / folder).glob("*.json"):
            look(strict_json.parse(file.read_bytes()))
    assert verdicts["__whileStepVariable__:value <= 10"] == {"whileStepVariable"}
    assert "= true" in verdicts["__ifStepVariable__:value"]
