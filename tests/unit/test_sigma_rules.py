"""What Sigma rules mean over events: each rule here finds what it should and passes over what it should."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import sigma_match, sigma_rule
from evidence.sigma_match import Event, Wild
from soar.errors import Invalid, TooLarge

HEAD = "title: t\nlogsource: {product: windows}\ndetection:\n"


def rule(detection: str) -> sigma_rule.Rule:
    return sigma_rule.parse(HEAD + detection)


def hits(detection: str, event: Any) -> bool:
    return rule(detection).matches(Event(event))


RULES: dict[str, tuple[str, list[Any], list[Any]]] = {
    "one field, whatever its case": (
        "  sel: {User: ADMIN}\n  condition: sel",
        [{"User": "admin"}, {"User": ["x", "Admin"]}],
        [{"User": "admins"}, {"user": "admin"}, {"User": None}, {}, {"User": {"ADMIN": 1}}],
    ),
    "several values, one is enough": (
        "  sel: {Image: [a.exe, b.exe]}\n  condition: sel", [{"Image": "B.EXE"}], [{"Image": "c.exe"}],
    ),
    "several fields, all are needed": (
        "  sel: {a: 1, b: x}\n  condition: sel", [{"a": 1, "b": "X"}], [{"a": 1}, {"b": "x"}, {"a": 2, "b": "x"}],
    ),
    "a list of mappings, one is enough": (
        "  sel: [{a: 1, b: 2}, {c: 3}]\n  condition: sel", [{"c": 3}, {"a": 1, "b": 2}], [{"a": 1, "c": 4}],
    ),
    "wildcards over the whole value": (
        "  sel: {Image: 'C:\\Users\\\\*\\evil?.exe'}\n  condition: sel",
        [{"Image": r"c:\users\bob\x\EVIL1.exe"}],
        [{"Image": r"c:\users\bob\evil.exe"}, {"Image": r"D:\c:\users\bob\evil1.exe"}],
    ),
    "wildcards that are meant as they are": (
        "  sel: {a: 'what\\?', b: 'x\\*y', c: '\\\\srv\\\\*'}\n  condition: sel",
        [{"a": "what?", "b": "X*Y", "c": r"\srv\share"}],
        [{"a": "whats", "b": "x*y", "c": r"\srv\a"}, {"a": "what?", "b": "xzy", "c": r"\srv\a"}],
    ),
    "contains, startswith and endswith": (
        "  sel:\n    a|contains: mimi\n    b|startswith: 'C:\\'\n    c|endswith: [.ps1, .bat]\n  condition: sel",
        [{"a": "x MIMIkatz", "b": "c:\\x", "c": "run.BAT"}],
        [{"a": "mim", "b": "c:\\x", "c": "run.bat"}, {"a": "mimi", "b": "/c:\\", "c": ".bat"},
         {"a": "mimi", "b": "c:\\", "c": ".bat.txt"}],
    ),
    "all of the parts": (
        "  sel: {cmd|contains|all: [-enc, hidden]}\n  condition: sel",
        [{"cmd": "powershell -w HIDDEN -Enc AA"}, {"cmd": ["-enc", "hidden"]}], [{"cmd": "-enc"}, {"cmd": "hidden"}],
    ),
    "all of several parts about one field": (
        "  sel:\n    cmd|contains: a\n    cmd|endswith: z\n  condition: sel", [{"cmd": "a to z"}], [{"cmd": "to z"}],
    ),
    "numbers, also as text": (
        "  sel: {EventID: [4624, 4625]}\n  condition: sel",
        [{"EventID": 4624}, {"EventID": "4625"}, {"EventID": 4624.0}], [{"EventID": 46240}, {"EventID": True}, {}],
    ),
    "text that is a number": (
        "  sel: {EventID: '4624', ok: 'true'}\n  condition: sel", [{"EventID": 4624, "ok": True}],
        [{"EventID": 4625, "ok": True}, {"EventID": 4624, "ok": 1}],
    ),
    "true and false": (
        "  sel: {signed: false}\n  condition: sel", [{"signed": False}, {"signed": "False"}],
        [{"signed": True}, {"signed": 0}, {"signed": None}, {}],
    ),
    "nothing there": (
        "  sel: {parent: null}\n  condition: sel", [{}, {"parent": None}, {"parent": [None]}],
        [{"parent": ""}, {"parent": 0}, {"parent": {}}],
    ),
    "an empty text": ("  sel: {a: ''}\n  condition: sel", [{"a": ""}], [{"a": " "}, {"a": None}, {}]),
    "there or not": (
        "  sel: {a|exists: true, b|exists: false}\n  condition: sel", [{"a": None}, {"a": []}],
        [{}, {"a": 1, "b": None}],
    ),
    "larger and smaller": (
        "  sel: {size|gte: 10, port|lt: 1024, rate|gt: 0.5, left|lte: -1}\n  condition: sel",
        [{"size": 10, "port": "80", "rate": "0.51", "left": -1}],
        [{"size": 9, "port": 80, "rate": 1, "left": -1}, {"size": 10, "port": 1024, "rate": 1, "left": -1},
         {"size": 10, "port": 80, "rate": 0.5, "left": -1}, {"size": 10, "port": 80, "rate": 1, "left": 0},
         {"size": "ten", "port": 80, "rate": 1, "left": -1}, {"size": True, "port": 80, "rate": 1, "left": -2}],
    ),
    "networks of both kinds": (
        "  sel: {ip|cidr: [10.0.0.0/8, '2001:db8::/32']}\n  condition: sel",
        [{"ip": "10.9.8.7"}, {"ip": "2001:db8::1"}, {"ip": "::ffff:10.0.0.1"}, {"ip": ["1.1.1.1", "10.1.1.1"]}],
        [{"ip": "11.0.0.1"}, {"ip": "2001:db9::1"}, {"ip": "10.0.0.0/9"}, {"ip": 167772161}, {"ip": "ten"}],
    ),
    "regular expressions, found anywhere, case counts": (
        "  sel: {cmd|re: 'IEX\\s*\\(\\w+'}\n  condition: sel", [{"cmd": "a; IEX (New"}, {"cmd": "IEX(x)"}],
        [{"cmd": "iex (new"}, {"cmd": "IEX"}, {"cmd": {"IEX (a": 1}}],
    ),
    "regular expressions with flags": (
        "  sel: {cmd|re|i|m|s: '^begin.end$'}\n  condition: sel",
        [{"cmd": "x\nBEGIN\nEND\ny"}], [{"cmd": "xbegin end"}],
    ),
    "case counts where the rule says so": (
        "  sel: {a|cased: Admin, b|contains|cased: XyZ}\n  condition: sel", [{"a": "Admin", "b": "__XyZ"}],
        [{"a": "admin", "b": "XyZ"}, {"a": "Admin", "b": "xyz"}],
    ),
    "base64 at any offset": (
        "  sel: {cmd|base64offset|contains: 'http://'}\n  condition: sel",
        [{"cmd": "aHR0cDovL2V2aWw="}, {"cmd": "IGh0dHA6Ly9ldmls"}, {"cmd": "ICBodHRwOi8vZXZpbA=="}],
        [{"cmd": "http://evil"}, {"cmd": "aHR0cHM6Ly8="}],
    ),
    "base64 of wide text": (
        "  sel: {cmd|wide|base64|contains: IEX}\n  condition: sel", [{"cmd": "-enc SQBFAFgA"}], [{"cmd": "-enc SUVY"}],
    ),
    "dashes of windows": (
        "  sel: {cmd|windash|contains: ' -enc '}\n  condition: sel",
        [{"cmd": "p /enc x"}, {"cmd": "p -ENC x"}, {"cmd": "p \u2013enc x"}], [{"cmd": "p enc x"}],
    ),
    "one field beside another": (
        "  sel: {a|fieldref: b}\n  starts: {a|fieldref|startswith: c}\n  condition: sel or starts",
        [{"a": "Bob", "b": ["eve", "bob"]}, {"a": "bobby", "c": "Bob"}], [{"a": "bob"}, {"a": "bob", "b": "eve"}, {}],
    ),
    "not": (
        "  sel: {a: 1}\n  filter: {b|startswith: ok}\n  condition: sel and not filter", [{"a": 1}, {"a": 1, "b": "no"}],
        [{"a": 1, "b": "okay"}, {"b": "no"}],
    ),
    "a field that is not": (
        "  sel: {a: 1, b|neq: x}\n  condition: sel", [{"a": 1}, {"a": 1, "b": "y"}], [{"a": 1, "b": "X"}],
    ),
    "one of some": (
        "  selection_a: {a: 1}\n  selection_b: {b: 1}\n  other: {c: 1}\n  condition: 1 of selection_*",
        [{"a": 1}, {"b": 1}], [{"c": 1}, {}],
    ),
    "all of them": (
        "  x: {a: 1}\n  y: {b: 1}\n  condition: all of them", [{"a": 1, "b": 1}], [{"a": 1}, {"b": 1}],
    ),
    "what binds closer": (
        "  x: {a: 1}\n  y: {b: 1}\n  z: {c: 1}\n  condition: x or y and not z", [{"a": 1, "c": 1}, {"b": 1}],
        [{"b": 1, "c": 1}],
    ),
    "parentheses": (
        "  x: {a: 1}\n  y: {b: 1}\n  z: {c: 1}\n  condition: (x or y) and not (z)", [{"a": 1}], [{"a": 1, "c": 1}],
    ),
    "several conditions, one is enough": (
        "  x: {a: 1}\n  y: {b: 1}\n  condition: [x, y]", [{"a": 1}, {"b": 1}], [{}],
    ),
    "keywords anywhere in the event": (
        "  keywords: [rm -rf, 'wget*evil', 4711]\n  condition: keywords",
        [{"text": "sudo RM -RF /"}, {"deep": {"list": [{"x": "a wget http://evil/x"}]}}, {"id": 4711}, {"id": "14711"}],
        [{"rm -rf": 1}, {"a": "rm", "b": "-rf"}, {"a": "evil wget"}, {}],
    ),
    "all keywords, and one as an expression": (
        "  k: {'|all': [failed, root]}\n  r: {'|re': 'from 10\\.\\d+'}\n  condition: k and r",
        [{"m": "Failed login of root from 10.1", "n": 1}, {"m": "failed", "n": "root", "o": "from 10.2"}],
        [{"m": "failed from 10.1"}, {"m": "failed root from 11.1"}],
    ),
    "nested fields, by dots": (
        "  sel: {winlog.event_data.Image|endswith: .exe}\n  condition: sel",
        [{"winlog": {"event_data": {"Image": "a.exe"}}}, {"winlog.event_data.Image": "a.exe"},
         {"winlog": {"event_data.Image": "a.exe"}}, {"winlog": [{"x": 1}, {"event_data": [{"Image": ["a.exe"]}]}]}],
        [{"winlog": {"event_data": "a.exe"}}, {"event_data": {"Image": "a.exe"}}, {"winlog": {"event_data": {}}}],
    ),
    "text that is not from here": (
        "  sel: {a: 'ÜBER*'}\n  condition: sel", [{"a": "über alles"}], [{"a": "uber alles"}, {"a": "\ud800"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_what_it_means_and_nothing_else(name: str) -> None:
    detection, matching, others = RULES[name]
    read = rule(detection)
    assert [event for event in matching if not read.matches(Event(event))] == []
    assert [event for event in others if read.matches(Event(event))] == []


REFUSED: dict[str, tuple[str, str, str]] = {
    "correlation": (
        "title: t\ncorrelation: {type: event_count, rules: [a], group-by: [b], timespan: 1m, condition: {gte: 3}}",
        "unsupported", "correlation is not supported",
    ),
    "filter": ("title: t\nlogsource: {product: a}\nfilter: {rules: [a], x: {a: 1}, condition: x}", "", "filter is not"),
    "placeholder": (HEAD + "  x: {a|expand: '%admins%'}\n  condition: x", "unsupported", "4:17.*expand is not"),
    "part of a time": (HEAD + "  x: [{at|hour|gt: 22}]\n  condition: x", "unsupported", "modifier hour"),
    "aggregation": (HEAD + "  x: {a: 1}\n  condition: x | count() > 3", "unsupported", "aggregations"),
    "anchored expression": (HEAD + "  x: {a|re|startswith: b}\n  condition: x", "unsupported", "write \\^"),
    "modifier that does not exist": (HEAD + "  x: {a|sounds_like: b}\n  condition: x", "bad_rule", "sounds_like"),
    "expression that RE2 has not": (HEAD + "  x: {a|re: '(?=b)'}\n  condition: x", "bad_rule", "invalid"),
    "expression that is none": (HEAD + "  x: {a|re: '('}\n  condition: x", "bad_rule", "invalid"),
    "expression that is no text": (HEAD + "  x: {a|re: null}\n  condition: x", "wrong_type", "quotes"),
    "network that is none": (HEAD + "  x: {a|cidr: 10.0.0.1/8}\n  condition: x", "bad_rule", "CIDR"),
    "number that is none": (HEAD + "  x: {a|gt: many}\n  condition: x", "bad_rule", "incompatible"),
    "name that is not defined": (HEAD + "  x: {a: 1}\n  condition: y", "bad_condition", "'y' not defined"),
    "selection that is empty": (HEAD + "  x: {a: 1}\n  condition: 1 of y_*", "bad_condition", "y_"),
    "condition that is none": (HEAD + "  x: {a: 1}\n  condition: x and", "bad_condition", "condition"),
    "no condition": (HEAD + "  x: {a: 1}", "bad_condition", "a condition is text"),
    "no detection": ("title: t\nlogsource: {product: a}", "bad_rule", "called detection"),
    "no log source": ("title: t\ndetection: {x: {a: 1}, condition: x}", "bad_rule", "log source"),
    "values in values": (HEAD + "  x: {a: [[1]]}\n  condition: x", "bad_rule", "list"),
    "mapping as value": (HEAD + "  x: {a: {b: 1}}\n  condition: x", "bad_rule", "dict"),
    "keyword of nothing": (HEAD + "  x: [null, a]\n  condition: x", "bad_condition", "not Null"),
    "no mapping": ("- a", "bad_rule", "a rule is a mapping"),
    "nothing": ("", "empty", "no YAML"),
    "alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "anchor", "not read"),
    "two rules": (HEAD + "  x: {a: 1}\n  condition: x\n---\na: 1", "several_documents", "second"),
    "name twice": (HEAD + "  x: {a: 1}\n  x: {b: 1}\n  condition: x", "duplicate_key", "twice"),
    "python": ("!!python/object/apply:os.system ['id']", "tag", "not read"),
    "long condition": (HEAD + "  x: {a: 1}\n  condition: " + "x or " * 1_000 + "x", "too_large", "longer than 4096"),
    "many nots": (HEAD + "  x: {a: 1}\n  condition: " + "not " * 1_000 + "x", "bad_", ""),
    "many comparisons by pattern": (
        HEAD + f"  x: {{a: [{'1, ' * 2_000}1]}}\n  condition: " + "1 of * or " * 100 + "1 of them",
        "too_large", "more than 10000",
    ),
    "many comparisons": (
        HEAD + f"  x: {{a: [{'1, ' * 2_000}1]}}\n  condition: " + "x or " * 200 + "x",
        "too_large", "more than 10000",
    ),
    "dashes by the thousand": (HEAD + "  x: {a|windash: '" + " -a" * 50 + "'}\n  condition: x", "bad_rule", "windash"),
    "long name": (HEAD + f"  x: {{{'a.' * 200}: 1}}\n  condition: x", "too_large", "name is longer"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_rule_or_cannot_be_evaluated_is_refused_by_name(name: str) -> None:
    source, code, reason = REFUSED[name]
    began = time.monotonic()
    with pytest.raises(Invalid) as refused:
        sigma_rule.parse(source)
    assert time.monotonic() - began < 2
    assert refused.value.problems[0].code.startswith(code)
    assert re.search(reason, str(refused.value.problems[0]))


def test_all_problems_are_named_at_once_each_with_its_line() -> None:
    with pytest.raises(Invalid) as refused:
        rule("  x:\n    a|expand: '%x%'\n    b|re: 7\n  y: [{c|day: 1}]\n  condition: x | count() > 1")
    assert [(each.code, each.line) for each in refused.value.problems] == [
        ("unsupported", 8), ("unsupported", 5), ("wrong_type", 6), ("unsupported", 7),
    ]  # fmt: skip


def test_parentheses_by_the_thousand_cost_nothing() -> None:
    began = time.monotonic()
    assert hits(f"  x: {{a: 1}}\n  condition: {'(' * 2_000}x{')' * 2_000}", {"a": 1})
    assert time.monotonic() - began < 1


def test_a_rule_that_is_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge):
        sigma_rule.parse(HEAD + f"  x: {{a: [{'1, ' * 6_000}1]}}\n  condition: x")
    with pytest.raises(TooLarge):
        sigma_rule.parse("# " + "x" * 70_000)


def test_a_hostile_expression_takes_no_longer_than_its_text_is() -> None:
    slow = rule("  x: {a|re: '(a+)+$'}\n  y: {a: '*a*a*a*a*a*a*b'}\n  condition: x or y")
    began = time.monotonic()
    assert not slow.matches(Event({"a": "a" * 200_000 + "!"}))
    assert time.monotonic() - began < 1


def test_a_deep_or_wide_event_is_looked_through_without_falling() -> None:
    deep: Any = "needle"
    for _ in range(5_000):
        deep = [{"a": deep}]
    assert hits("  k: [needle]\n  condition: k", {"a": deep})
    assert not hits("  x: {a.a.a.a: needle}\n  condition: x", {"a": deep})
    assert not hits("  x: {" + "a." * 120 + "b: 1}\n  condition: x", {"a": deep, "a.a": deep})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "a.b"]), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "a.b"]), _JSON, max_size=3))
def test_a_rule_and_its_opposite_never_agree(event: dict[str, Any]) -> None:
    for detection, _, _ in RULES.values():
        plain, turned = detection.rpartition("condition: ")[::2]
        if turned.startswith("["):
            continue
        told = _read(detection).matches(Event(event))
        assert _read(f"{plain}condition: not ({turned})").matches(Event(event)) is not told


_known: dict[str, sigma_rule.Rule] = {}


def _read(detection: str) -> sigma_rule.Rule:
    if detection not in _known:
        _known[detection] = rule(detection)
    return _known[detection]


@given(
    st.lists(st.sampled_from(["a", "B", "é", ".", "(", Wild.MANY, Wild.ONE]), max_size=6), st.text("aAbé.(", max_size=8)
)
def test_wildcards_mean_what_an_expression_says(parts: list[str | Wild], said: str) -> None:
    wild = {Wild.MANY: ".*", Wild.ONE: "."}
    pattern = "".join(re.escape(part.lower()) if isinstance(part, str) else wild[part] for part in parts)
    assert sigma_match.like(parts)(said) is (re.fullmatch(pattern, said.lower(), re.DOTALL) is not None)


def outcome(source: str) -> sigma_rule.Rule | Invalid:
    try:
        return sigma_rule.parse(source)
    except Invalid as refused:
        return refused


@given(st.text(max_size=300) | st.dictionaries(st.text(max_size=9), _JSON, max_size=5).map(json.dumps))
def test_whatever_comes_is_a_rule_or_is_refused_with_its_problems(source: str) -> None:
    for text in (source, HEAD + "  x: " + source + "\n  condition: x", "title: t\ndetection: " + source):
        found = outcome(text)
        assert isinstance(found, sigma_rule.Rule) or found.problems
