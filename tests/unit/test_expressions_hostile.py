"""Expressions against those who mean harm: bombs, noise, and data that would like to be code."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from soar import strict_json, strict_yaml
from soar.errors import Invalid, SoarError, TooLarge
from soar.expressions import from_yaml, parse


def holds(text: str, facts: Any) -> bool:
    return parse(text).evaluate(facts)


def bounded(text: str, seconds: float = 2.5) -> Any:
    """What parsing gives, or the error; in any case soon."""
    start = time.process_time()
    try:
        return parse(text)
    except SoarError as error:
        return error
    finally:
        assert time.process_time() - start < seconds


BOMBS = {
    "parentheses": "(" * 1_000 + "a:b=1" + ")" * 1_000,
    "open parentheses": "(" * 4_096,
    "33 deep": "(" * 33 + "a:b=1" + ")" * 33,
    "4 kB": "a:b=1" + " " * 4_092,
    "4 kB in 2 kB characters": "a:b='" + "é" * 2_046 + "'",
    "two hundred seconds of ORs": " OR ".join(["a:b=1"] * 2_000_000),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_too_large_is_refused_before_it_is_parsed(kind: str) -> None:
    error = bounded(BOMBS[kind], 0.5)
    assert isinstance(error, TooLarge)
    assert error.problems[0].line == 1


FULL = {
    "ORs": " OR ".join(["a:b=1"] * 450),
    "ANDs": " AND ".join(["a:b=1"] * 410),
    "both": " OR ".join(["a:b=1 AND a:b=2"] * 200),
    "32 deep": "(" * 32 + " OR ".join(["a:b=1"] * 440) + ")" * 32,
    "many deep": " OR ".join(["(" * 32 + "a:b=1" + ")" * 32] * 55),
    "keys": "a:b" + ".c" * 2_000 + "=1",
    "stars": "a:b" + "[*]" * 1_300 + "=1",
    "set": "a:b IN (" + ",".join("1" * 2_000) + ")",
    "quotes": "'" * 4_096,
    "brackets": "[" * 4_096,
    "comments": "/*" * 2_048,
    "dollars": "$" * 4_096,
    "regular expressions": " OR ".join(["a:b MATCHES '\\\\pL'"] * 150),
    "one regular expression": "a:b MATCHES '" + "(?:\\\\pL{900}){0}" * 200 + "'",
}


@pytest.mark.parametrize("kind", FULL)
def test_the_worst_that_fits_is_parsed_or_refused_soon(kind: str) -> None:
    found = bounded(FULL[kind])
    if not isinstance(found, SoarError):
        assert not found.evaluate({"a": {"b": [[0], {"c": 0}]}})


def test_searching_stays_linear_and_bounded() -> None:
    start = time.process_time()
    assert not holds("a:b MATCHES '(x+x+)+y'", {"a": {"b": "x" * 1_000_000}})
    assert not holds("a:b LIKE '%x%x%x%x%x%x%x%x%y'", {"a": {"b": "x" * 1_000_000}})
    # Program times text is over the budget: no sense, negated or not.
    assert not holds("a:b MATCHES '[ab]*a[ab]{900}c'", {"a": {"b": "ab" * 500_000}})
    assert not holds("a:b NOT MATCHES '[ab]*a[ab]{900}c'", {"a": {"b": "ab" * 500_000}})
    assert time.process_time() - start < 2


def test_threads_may_parse_at_the_same_time() -> None:
    texts = [f"alert:severity_id >= {i} AND alert:n{i} = {i} OR alert:title LIKE '%{i}'" for i in range(120)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(parse, texts))
    assert [expression.paths[1] for expression in found] == [f"alert:n{i}" for i in range(120)]


words = st.sampled_from(
    [
        "alert:severity_id",
        "alert:techniques[*]",
        "alert:a.'b-c'[0]",
        "__x__:value",
        "=",
        "!=",
        "<",
        ">=",
        "IN",
        "LIKE",
        "MATCHES",
        "ISSUBSET",
        "EXISTS",
        "NOT",
        "AND",
        "OR",
        "(",
        ")",
        "[",
        "]",
        ",",
        "1",
        "-2.5",
        "'T1486'",
        "'%'",
        "'('",
        "'10.0.0.0/8'",
        "true",
        "t'2026-01-01T00:00:00Z'",
        "h'ff'",
        "b'AA=='",
        "FOLLOWEDBY",
        "$x",
        "\\",
        "'",
        "/*",
        "*/",
        "//",
    ]
)


@given(st.text(max_size=60) | st.lists(words, max_size=14).map(" ".join))
@example("alert:x = 1]")
@example("__:value = 1")
@example("____:value = 1")
@settings(max_examples=300, deadline=None)
def test_no_text_raises_anything_but_our_errors(text: str) -> None:
    for read in (parse, from_yaml, lambda short: parse(from_yaml(short))):
        try:
            read(text)
        except SoarError as error:
            problems = error.problems if isinstance(error, Invalid) else ()
        else:
            continue
        assert problems
        assert all(problem.line and problem.column for problem in problems)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14))]))
    | st.ip_addresses().map(str)
    | st.sampled_from([10**4000, "1e999", "٣", "5", "true", "0.0.0.0/0", datetime.max.replace(tzinfo=UTC), {1, 2}]),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
every_operator = [
    parse(f"x:{path} {negation} {rest}")
    for path in ("a", "a[*]", "a[0].b", "a.b.c")
    for negation in ("", "NOT")
    for rest in (
        "= 1", "= '5'", "!= 'true'", "= true", "< 2.5", ">= '5'", "> 'm'", "= t'2026-01-01T00:00:00Z'",
        "<= t'2026-01-01T00:00:00Z'", "< '9999-12-31T23:59:59Z'", "= h'ff'", "> b'AA=='",
        "IN (1, 'x', true, h'ff', t'2026-01-01T00:00:00Z')", "LIKE '%_'", "MATCHES '^.'", "ISSUBSET '0.0.0.0/0'",
        "ISSUPERSET '::1'",
    )
] + [parse("EXISTS x:a.b"), parse("NOT EXISTS x:a[*]")]  # fmt: skip


@given(st.dictionaries(st.sampled_from("abc"), anything) | anything)
@settings(max_examples=80, deadline=None)
def test_no_fact_makes_an_evaluation_raise_and_explanations_agree(fact: Any) -> None:
    for expression in every_operator:
        held = expression.evaluate({"x": fact})
        reasons = expression.explain({"x": fact})
        assert bool(reasons) == held
        assert all(reason.isprintable() for reason in reasons)


@given(anything)
@settings(max_examples=100, deadline=None)
def test_of_a_comparison_and_its_negation_one_holds_where_it_makes_sense_and_none_where_not(fact: Any) -> None:
    if isinstance(fact, list | tuple):
        return
    for plain, turned in (("= 5", "!= 5"), ("= 'x'", "NOT = 'x'"), ("< '5'", "NOT < '5'"), ("IN (1)", "NOT IN (1)")):
        sides = [holds(f"x:a {rest}", {"x": {"a": fact}}) for rest in (plain, turned)]
        assert sides != [True, True]
        if isinstance(fact, str) and "'" in plain:
            assert any(sides)


PAYLOADS = [
    *filter(
        None,
        r"""
{{7*7}}
${7*7}
#{7*7}
<%= 7*7 %>
{7*7}
*{7*7}
@(7*7)
{{config}}
{{self}}
{{''.__class__.__mro__[1].__subclasses__()}}
{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}
{{request.application.__globals__.__builtins__.__import__('os').popen('id').read()}}
__import__('os').system('id')
eval('1+1')
exec('x=1')
lambda: 0
().__class__.__bases__[0]
f'{7*7}'
%(x)s
%s%n
$(id)
`id`
; id
| id
&& id
$x
$scan.malware_found
__x__:value
__scan__malware_found__:value
$$
$name.b
' OR alert:severity_id >= 0 OR alert:x = '
' OR 'a' = 'a
x'] OR [alert:severity_id = 5
] OR [a:b = 1
\' OR alert:severity_id = 5 //
*/ OR alert:severity_id = 5 /*
' AND 1=1 --
" or ""="
1; DROP TABLE x
EXISTS alert:x
NOT
true
false
null
~
5
T1486
*a
&a x
!!python/object/apply:os.system [id]
{{constructor.constructor('return process')()}}
${{github.token}}
={{$json.x}}
{{ $node['x'].json }}
=cmd|' /C calc'!A0
T(java.lang.Runtime).getRuntime().exec('id')
#set($x=7*7)$x
[[${7*7}]]
${jndi:ldap://x/a}
<script>alert(1)</script>
../../etc/passwd
\\host\share
\
%
_
%_%
.*
(a+)+$
""".splitlines(),
    ),
    "\u202egpj.exe",
    "é\n\t",
    "'",
    "x" * 1_000,
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_in_the_data_stays_data(payload: str) -> None:
    literal = "'" + payload.replace("\\", "\\\\").replace("'", "\\'") + "'"
    fields = ("title", "host", "user", "path", "note")
    facts = strict_json.parse(json.dumps({"alert": dict.fromkeys(fields, payload), "variables": {"v": payload}}))
    assert facts["alert"]["title"] == payload
    assert strict_yaml.parse(json.dumps(payload)).value == payload
    for field in fields:
        same = parse(from_yaml(f"alert:{field} = {literal}"))
        assert same.evaluate(facts)
        assert same.paths == (f"alert:{field}",)
        assert not same.variables
        assert not holds(f"alert:{field} != {literal}", facts)
        assert not holds(f"alert:{field} = 'something else' OR alert:severity_id >= 0", facts)
        assert holds(f"alert:{field} IN ('x', {literal})", facts)
    assert holds(from_yaml(f"$v = {literal}"), facts)
    if payload.isprintable():
        assert parse(f"alert:title = {literal}").explain(facts)[0].startswith(f"alert:title = {literal} (is ")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_as_an_expression_is_refused_or_reads_only_facts(payload: str) -> None:
    found = bounded(payload, 1.0)
    if isinstance(found, Invalid):
        assert found.problems[0].mend
    else:
        assert not found.evaluate({"alert": {"x": None}, "variables": {}})
