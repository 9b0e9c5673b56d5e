"""Sigma rules of commands are tried on collected logs, apart from us; a log that was not read is never clean."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest

from evidence.sigma_scan import KIND, MAX_EVENTS, Config, SigmaAdapter, connect
from soar.errors import Invalid
from soar.model import Call, EntityKind, Repeat, Target
from soar.ports import Adapter, Rejected
from soar.verbs import VERBS
from tests.contract import adapter_rules
from tests.unit.test_yara_scan import Evidence

LOGON = """
title: Failed logon
logsource: {product: windows, service: security}
detection:
  selection: {EventID: 4625}
  filter: {User|endswith: $}
  condition: selection and not filter
"""
EVENTS = [{"EventID": 4625, "User": "eve"}, {"EventID": 4624, "User": "bob"}, {"EventID": "4625", "User": "WS-7$"}]


@pytest.fixture
def sink() -> Evidence:
    return Evidence()


@pytest.fixture
def adapter() -> SigmaAdapter:
    return connect("sigma", Config())


def log(sink: Evidence, ident: str, lines: list[Any], evidence_class: str = "logs") -> str:
    content = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    return sink.add(ident, content.encode(), "security", evidence_class)


def command(rule: Any, *ids: str) -> Call:
    target = Target(kind=EntityKind.SERVICE, id="siem")
    params = {"target": "siem", "command": {"type": "sigma", "command": rule}, "evidence": list(ids)}
    return Call(key="k", verb="command_sigma", target=target, params=params)


def test_it_is_an_adapter_that_reads(adapter: SigmaAdapter) -> None:
    port: Adapter = adapter
    assert isinstance(port, Adapter)
    assert (KIND, list(port.verbs)) == ("sigma", ["command_sigma"])
    assert port.verbs["command_sigma"].repeat is Repeat.READ
    assert adapter.inspect(command(LOGON)).present is None
    assert adapter.check() == []
    adapter_rules.declares_only_known_verbs(adapter)
    adapter_rules.refuses_what_it_does_not_declare(adapter, command(LOGON, "a"))
    with pytest.raises(Rejected, match="nothing to undo"):
        adapter.revert(command(LOGON), {}, {})


def test_events_that_match_come_back_with_item_and_line(adapter: SigmaAdapter, sink: Evidence) -> None:
    ids = [log(sink, "a", [EVENTS[1], "", EVENTS[0]]), log(sink, "b", []), log(sink, "c", [EVENTS[2], EVENTS[0]])]
    done = adapter.apply(command(LOGON, *ids), sink)
    found = {"host": "ws-7", "rule": "Failed logon", "event": EVENTS[0]}
    assert done.outputs == {
        "status": 2,
        "result": [{"item": "a", "line": 3, **found}, {"item": "c", "line": 2, **found}],
    }
    assert set(done.outputs) == set(VERBS["command_sigma"].outputs)
    assert done.summary == "3 logs searched, 2 events match"


def test_all_are_counted_and_the_first_are_listed(adapter: SigmaAdapter, sink: Evidence) -> None:
    many = [{"EventID": 4625, "n": number} for number in range(MAX_EVENTS + 50)]
    large = {"EventID": 4625, "text": "x" * 5_000}
    done = adapter.apply(command(LOGON, log(sink, "a", [large, *many]), log(sink, "b", many)), sink)
    assert done.outputs["status"] == 2 * len(many) + 1
    assert len(done.outputs["result"]) == MAX_EVENTS
    assert done.outputs["result"][0] == {"item": "a", "host": "ws-7", "rule": "Failed logon", "line": 1}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Nov 24 sshd[1]: text", "line 2 is no JSON"), ("[1]", "line 2 is no JSON object"), ('{"a": 1', "no JSON"),
        ('{"a": 1, "a": 2}', "twice"), ('{"a": NaN}', "NaN"), ("[" * 100_000, "nested too deeply"),
        (json.dumps({"a": "x" * 1_048_577}), "line 2 is longer than 1048576 octets"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_leaves_its_log_unread(
    adapter: SigmaAdapter, sink: Evidence, line: str, why: str
) -> None:
    ids = [log(sink, "good", EVENTS), log(sink, "bad", [EVENTS[1], line, EVENTS[0]])]
    with pytest.raises(Rejected, match=rf"1 of 2 items were not scanned: bad \(.*{why}.*hits in the others: 1$"):
        adapter.apply(command(LOGON, *ids), sink)


def test_odd_text_is_text(adapter: SigmaAdapter, sink: Evidence) -> None:
    odd = log(sink, "a", ['{"EventID": 4625, "User": "a\\u0000\\ud800"}'])
    assert adapter.apply(command(LOGON, odd), sink).outputs["status"] == 1


def test_what_is_no_log_is_named(adapter: SigmaAdapter, sink: Evidence) -> None:
    log(sink, "mem", EVENTS, "memory")
    with pytest.raises(Rejected, match=r"mem \(it is no log but memory\), gone \(no item gone\)"):
        adapter.apply(command(LOGON, "mem", "gone"), sink)
    with pytest.raises(Rejected, match="larger than 10 octets"):
        connect("s", Config(max_bytes=10)).apply(command(LOGON, log(sink, "a", EVENTS)), sink)


def test_without_logs_nothing_is_clean(adapter: SigmaAdapter, sink: Evidence) -> None:
    with pytest.raises(Rejected, match="no evidence to scan"):
        adapter.apply(command(LOGON), sink)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("", "no rule text"), (None, "no rule text"), ("x" * 300_000, "longer than"), ("# " + "x" * 70_000, "larger"),
        ("title: t\ncorrelation: {type: event_count}", "2:14: unsupported: correlation is not supported"),
        (LOGON.replace("not filter", "not other"), r"7:14: bad_condition: .*'other' not defined"),
        (LOGON + "  more: {a|expand: '%x%'}", "unsupported: the modifier expand"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_used_is_refused_with_its_place(
    adapter: SigmaAdapter, sink: Evidence, rule: Any, why: str
) -> None:
    with pytest.raises(Rejected, match=why):
        adapter.apply(command(rule, log(sink, "a", EVENTS)), sink)


def test_a_search_without_end_is_stopped_and_the_log_not_called_clean(sink: Evidence) -> None:
    slow = connect("sigma", Config(timeout=0.3))
    tests = ", ".join(f"'*{number}*y*z'" for number in range(800))
    rule = LOGON.replace("{EventID: 4625}", f"{{a: [{tests}]}}")
    before = time.monotonic()
    with pytest.raises(Rejected, match=r"a \(the scan did not end within 0\.3 s\)"):
        slow.apply(command(rule, log(sink, "a", [{"a": "0123456789 y" * 2_000}] * 300)), sink)
    assert time.monotonic() - before < 6


def test_without_its_package_the_adapter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigma", None)
    with pytest.raises(Invalid, match=r"needs pySigma.*soar-ir with \[sigma\]"):
        connect("sigma", Config())


def test_how_fast_a_log_is_searched(adapter: SigmaAdapter, sink: Evidence) -> None:
    lines = [{"EventID": number, "User": "bob", "more": {"text": "x" * 100}} for number in range(20_000)]
    ident = log(sink, "a", lines)
    began = time.monotonic()
    assert adapter.apply(command(LOGON, ident), sink).outputs["status"] == 1
    took = time.monotonic() - began
    print(f"a log of 20,000 events: {took:.1f} s")
    assert took < 10
