"""Documents that break a source's rules, by mistake or by malice: refused with their place, never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.sources import elastic, suricata
from integrations.sources.samples import NAMES, load_sample
from soar.errors import Invalid, TooLarge
from soar.model import Alert

NOW = datetime(2026, 12, 1, 12, 0, 0, 250_000, tzinfo=UTC)
PARSERS: dict[str, Any] = {"elastic": elastic.source(), "suricata": suricata.source()}

Edit = Callable[[dict[str, Any]], Any]


def one(kind: str, document: Any) -> Alert:
    alerts = PARSERS[kind].parse(document)
    assert len(alerts) == 1
    found: Alert = alerts[0]
    return found


def sample(name: str = "elastic_encryption") -> dict[str, Any]:
    return load_sample(name, NOW)


def refused(kind: str, document: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        PARSERS[kind].parse(document)
    assert error.value.problems
    assert all(each.message and each.code for each in error.value.problems)
    return {each.pointer: f"{each.message} {each.mend}" for each in error.value.problems}


def test_a_batch_over_five_hundred_is_refused_and_five_hundred_are_not() -> None:
    record = sample("suricata_c2")
    assert len(suricata.source().parse({"events": [record] * 500})) == 500
    with pytest.raises(TooLarge, match="at most 500"):
        suricata.source().parse({"events": [record] * 501})


def test_one_bad_alert_refuses_its_whole_batch_with_its_place() -> None:
    bad = sample("elastic_lateral")
    bad["host.name"] = {"first": "ws-0152"}
    del bad["@timestamp"]
    problems = refused("elastic", {"alerts": [sample(), bad]})
    assert problems.keys() == {"/alerts/1/host.name", "/alerts/1/@timestamp"}


# refusals with their place


@pytest.mark.parametrize(
    ("edit", "pointer", "says"),
    [
        (lambda each: each.pop("@timestamp"), "/@timestamp", "Send @timestamp"),
        (lambda each: each.update({"@timestamp": "yesterday"}), "/@timestamp", "2026-11-23T09:00:00.000Z"),
        (lambda each: each.update({"@timestamp": "2026-11-23T09:00:00"}), "/@timestamp", "with a zone"),
        (lambda each: each.update({"@timestamp": "0001-01-01T00:00:00+14:00"}), "/@timestamp", "with a zone"),
        (lambda each: each.update({"host.name": True}), "/host.name", "must be a text, not true or false"),
        (lambda each: each.update({"host": "ws-0147"}), "/host", "must be an object"),
        (lambda each: each.update({"kibana.alert.severity": "severe"}), "/kibana.alert.severity", "low, medium, high"),
        (lambda each: each.update({"kibana.alert.risk_score": "99"}), "/kibana.alert.risk_score", "0 to 100"),
        (lambda each: each.update({"kibana.alert.risk_score": 1e400}), "/kibana.alert.risk_score", "0 to 100"),
        (lambda each: each["kibana"]["alert"].pop("rule"), "/kibana/alert/rule/rule_id", "rule.uuid"),
        (lambda each: each["process"].update({"hash": {"sha256": {}}}), "/process/hash/sha256", "must be a text"),
    ],
)
def test_a_broken_elastic_alert_is_refused_at_its_place(edit: Edit, pointer: str, says: str) -> None:
    document = sample()
    edit(document)
    problems = refused("elastic", document)
    assert says in problems[pointer]


@pytest.mark.parametrize(
    ("edit", "pointer", "says"),
    [
        (lambda each: each.pop("event_type"), "/event_type", "Send event_type"),
        (lambda each: each.pop("alert"), "/alert/signature_id", "Send alert.signature_id"),
        (lambda each: each.update({"alert": [1]}), "/alert/0", "must be an object, not a number"),
        (lambda each: each["alert"].update({"severity": 0}), "/alert/severity", "1 to 255"),
        (lambda each: each["alert"].update({"severity": 2.5}), "/alert/severity", "a whole number"),
        (lambda each: each.update({"src_ip": {"v4": "1.2.3.4"}}), "/src_ip", "must be a text"),
    ],
)
def test_a_broken_suricata_record_is_refused_at_its_place(edit: Edit, pointer: str, says: str) -> None:
    document = sample("suricata_c2")
    edit(document)
    assert says in refused("suricata", document)[pointer]


@pytest.mark.parametrize("document", [None, 3, "text", [3], {"alerts": 3}, {"events": {}}, {}])
def test_what_is_no_alert_at_all_is_refused(document: Any) -> None:
    for kind in PARSERS:
        refused(kind, document)


def test_an_attackers_odd_value_is_left_out_and_does_not_hide_the_alert() -> None:
    document = sample()
    document["user"]["name"] = "j\x00doe"
    document["destination"]["ip"] = ["not-an-address", "203.0.113.66"]
    document["kibana.alert.rule.name"] = "Ransom\u202eware" + "x" * 600
    alert = one("elastic", document)
    assert alert.facts["accounts"] == []
    assert alert.facts["left_out"] == ["/user/name: control characters", "/destination/ip/0: no address"]
    assert "ipv4-addr:203.0.113.66" in {each.id for each in alert.observables}
    assert alert.rule_name.startswith("Ransom\ufffdware")
    assert len(alert.rule_name) == 512


def test_a_host_of_a_thousand_addresses_is_read_to_a_bound_and_says_so() -> None:
    document = sample()
    document["host"]["ip"] = [f"10.{at >> 8}.{at & 255}.9" for at in range(1000)]
    alert = one("elastic", document)
    assert len(alert.facts["addresses"]) == 200
    assert alert.facts["left_out"] == ["/host/ip/200: host.ip has over 200 values, the rest is not read"]


# hostile documents

KEYS = st.sampled_from(
    ["host", "name", "ip", "host.name", "kibana", "alert", "rule", "kibana.alert.rule.name", "uuid", "@timestamp",
     "alerts", "context", "events", "event_type", "timestamp", "src_ip", "signature_id", "threat", "technique", "id",
     "severity", "related", "hosts", "process", "hash", "sha256", "files", "tls", "sni", "", "a/b~c"],
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(["alert", "2026-11-23T09:00:00Z", "10.0.0.1", "203.0.113.1", "T1486", "critical", "\ud800"]),
)  # fmt: skip
JSON = st.recursive(SCALARS, lambda each: st.lists(each, max_size=4) | st.dictionaries(KEYS, each, max_size=6))


def only_soar_errors(kind: str, document: Any) -> None:
    try:
        alerts = PARSERS[kind].parse(document)
    except Invalid as error:
        alerts = []
        problems = error.problems
    else:
        problems = ()
        assert all(isinstance(each, Alert) and each.source_alert_id and each.rule_id for each in alerts)
    assert alerts or problems or document.keys() & {"alerts", "events", "context"}


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=8))
def test_any_document_gives_alerts_or_a_refusal(document: dict[str, Any]) -> None:
    for kind in PARSERS:
        only_soar_errors(kind, document)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield (*path, key)
        yield from places(each, (*path, key))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_sample_with_one_field_of_another_type_gives_an_alert_or_a_refusal(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    document = sample(name)
    *above, last = data.draw(st.sampled_from(list(places(document))))
    inside: Any = document
    for key in above:
        inside = inside[key]
    inside[last] = data.draw(JSON)
    only_soar_errors(name.partition("_")[0], document)


def test_a_number_too_long_to_write_is_refused() -> None:
    assert "must be a text" in refused("suricata", sample("suricata_c2") | {"flow_id": 10**5000})["/flow_id"]


def test_a_very_deep_array_is_refused() -> None:
    deep: Any = "ws-0147"
    for _ in range(900):
        deep = [deep]
    assert "levels deep" in next(iter(refused("elastic", sample() | {"host.name": deep}).values()))


def test_a_hundred_thousand_wrong_values_are_refused_at_once() -> None:
    with pytest.raises(Invalid) as error:
        elastic.source().parse(sample() | {"host": [1] * 100_000})
    assert len(error.value.problems) == 50
