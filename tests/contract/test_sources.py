"""What SIEMs really send becomes alerts; what is wrong with it is refused with its place.

The third-party documents are Elastic's own example alert (ECS RFC 0031) and a public Suricata test
set with another vendor's reading of the same records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import integrations.sources
from integrations.estate.sample import C2_ADDRESS, C2_DOMAIN, MALWARE_SHA256
from integrations.sources import elastic, suricata
from integrations.sources.fields import Reader
from integrations.sources.samples import NAMES, load_sample
from integrations.sources.suricata import SuricataSource
from soar.errors import Invalid
from soar.model import Alert, Severity
from soar.registry import Registry

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


def mentions(alert: Alert) -> set[tuple[str, str, str]]:
    return {(each.kind, each.value, each.role) for each in alert.mentions}


def observables(alert: Alert) -> set[str]:
    return {each.id for each in alert.observables}


# third-party documents


def test_elastics_own_example_alert_is_read_whole(samples: Path) -> None:
    document = json.loads((samples / "alerts/elastic/ecs-rfc0031-example-alert.json").read_text())
    alert = one("elastic", document)
    assert alert.source_alert_id == "bbef4313d1ced5ff3c8558ebdd11a4dd7ea5df5df5bb391335f60845d361eba5"
    assert alert.rule_id == "9a1a2dae-0b5f-4c3d-8305-a268d404c306"
    assert alert.rule_name == "Malicious Behavior Prevention Alert: Regsvr32 Scriptlet Execution"
    assert alert.severity is Severity.HIGH
    assert alert.occurred_at == datetime(2022, 8, 12, 14, 40, 22, 70_000, tzinfo=UTC)
    assert alert.raised_at == datetime(2022, 8, 12, 14, 45, 36, 171_000, tzinfo=UTC)
    assert alert.techniques == ("T1218", "T1218.010")
    assert mentions(alert) == {
        ("host", "My-PC", "affected"),
        ("host", "13748c2e-ae9b-446d-97f6-028c1ee61ef8", "id"),
        ("account", "random-user", "affected"),
        ("address", "10.128.0.78", "affected"),
    }
    assert observables(alert) == {"file:SHA-256:9f68f5fc21270a06bb934b5f3fa5aee2068a56a1260d4e7e4b48f2dca501b8c9"}
    assert alert.facts["risk_score"] == 73
    assert alert.facts["hosts"] == ["My-PC"]


def test_loopback_and_link_local_addresses_of_a_host_correlate_nothing(samples: Path) -> None:
    document = json.loads((samples / "alerts/elastic/ecs-rfc0031-example-alert.json").read_text())
    assert {"127.0.0.1", "::1"} < set(document["host"]["ip"])
    assert one("elastic", document).facts["addresses"] == ["10.128.0.78"]


def records(folder: Path) -> list[dict[str, Any]]:
    raw = json.loads((folder / "alerts/suricata/raw_logs.json").read_text())
    return [json.loads(each["data"]) for each in raw["raw_logs"]["entries"]]


def expected(folder: Path) -> list[dict[str, Any]]:
    raw = json.loads((folder / "alerts/suricata/expected_events.json").read_text())
    return [each["event"]["idm"]["readOnlyUdm"] for each in raw["events"]]


def test_every_suricata_alert_reads_as_another_vendor_reads_it(samples: Path) -> None:
    compared = 0
    for record, theirs in zip(records(samples), expected(samples), strict=True):
        if record["event_type"] != "alert":
            continue
        alert = one("suricata", record)
        verdict = theirs["securityResult"][0]
        ips = {ip for end in ("principal", "target") for ip in theirs.get(end, {}).get("ip", [])}
        assert {each.value for each in alert.observables} == ips
        assert alert.rule_id == f"1:{verdict['ruleId']}"
        assert alert.rule_name == verdict.get("ruleName", f"Suricata rule {alert.rule_id}")
        assert alert.severity.value == verdict.get("severity", "unknown").lower()
        assert alert.occurred_at == datetime.fromisoformat(theirs["metadata"]["eventTimestamp"])
        assert alert.facts["action"] == verdict["actionDetails"]
        compared += 1
    assert compared == 3


def test_other_eve_records_are_refused_with_the_mend(samples: Path) -> None:
    others = [each for each in records(samples) if each["event_type"] != "alert"]
    assert len(others) == 10
    with pytest.raises(Invalid) as refused:
        PARSERS["suricata"].parse({"events": others})
    problems = refused.value.problems
    assert [each.pointer for each in problems] == [f"/events/{at}/event_type" for at in range(10)]
    assert all(each.mend.startswith("Forward alerts alone") for each in problems)


# our own samples


def test_the_encryption_alert_names_host_account_and_what_it_talked_to() -> None:
    alert = one("elastic", sample())
    assert alert.rule_name == "Ransomware: mass file encryption"
    assert alert.title == "Ransomware: mass file encryption on ws-0147"
    assert alert.severity is Severity.CRITICAL
    assert set(alert.techniques) == {"T1486", "T1021", "T1021.002"}
    assert mentions(alert) == {
        ("host", "ws-0147", "affected"),
        ("account", "j.doe", "affected"),
        ("address", "10.20.1.47", "affected"),
    }
    file = f"file:SHA-256:{MALWARE_SHA256}"
    assert observables(alert) == {f"ipv4-addr:{C2_ADDRESS}", f"domain-name:{C2_DOMAIN}", file}


def test_the_lateral_alert_names_a_second_host_as_related() -> None:
    alert = one("elastic", sample("elastic_lateral"))
    assert mentions(alert) == {
        ("host", "ws-0152", "affected"),
        ("host", "dc-01", "related"),
        ("account", "m.ruiz", "affected"),
        ("address", "10.20.1.52", "affected"),
        ("address", "10.20.1.47", "src"),
    }
    assert alert.techniques == ("T1021", "T1021.002")


def test_the_suricata_alert_names_our_end_and_observes_the_other() -> None:
    alert = one("suricata", sample("suricata_c2"))
    assert mentions(alert) == {("address", "10.20.1.47", "src")}
    assert observables(alert) == {f"ipv4-addr:{C2_ADDRESS}", f"domain-name:{C2_DOMAIN}"}
    assert alert.techniques == ("T1071",)
    assert alert.source_alert_id == "1289547116230457:1:9000417:0"
    assert alert.severity is Severity.HIGH


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_raised_when_asked_and_fresh_when_asked(name: str) -> None:
    kind = name.partition("_")[0]
    first, later, fresh = (
        one(kind, load_sample(name, at, fresh=new))
        for at, new in ((NOW, False), (NOW + timedelta(hours=1), False), (NOW, True))
    )
    assert abs(first.raised_at - NOW) < timedelta(milliseconds=1)
    assert later.raised_at - first.raised_at == later.occurred_at - first.occurred_at == timedelta(hours=1)
    assert first.source_alert_id == later.source_alert_id != fresh.source_alert_id
    assert first.dedupe_key == later.dedupe_key == fresh.dedupe_key


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_carries_the_facts_that_triggers_read(name: str) -> None:
    alert = one(name.partition("_")[0], sample(name))
    facts = alert.facts
    assert facts["severity_id"] == alert.severity.id
    assert facts["source"] == alert.source
    for key in ("techniques", "hosts", "accounts", "addresses", "observables", "category"):
        assert isinstance(facts[key], list)
    for key in ("severity", "rule_id", "rule_name", "title", "action"):
        assert isinstance(facts[key], str)
    assert json.loads(json.dumps(facts)) == facts


def test_the_registry_finds_both_sources_and_nothing_broken() -> None:
    registry = Registry()
    registry.scan(integrations.sources)
    assert registry.sources.keys() == {"elastic", "suricata"}
    assert registry.failures == []
    assert registry.source("elastic").kind == "elastic"


# one field, every spelling


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(each, f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def nested(pairs: dict[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value in pairs.items():
        *above, last = path.split(".")
        inside = root
        for key in above:
            inside = inside.setdefault(key, {})
        inside[last] = value
    return root


@pytest.mark.parametrize("name", ["elastic_encryption", "elastic_lateral"])
def test_flat_nested_and_mixed_documents_are_the_same_alert(name: str) -> None:
    mixed = one("elastic", sample(name))
    dotted = dict(flat(sample(name)))
    assert one("elastic", dotted) == mixed
    assert one("elastic", nested(dotted)) == mixed


def test_a_dotted_key_beside_an_object_of_its_prefix_is_read() -> None:
    reader = Reader({"a": {"x": 1, "b.c": "one"}, "a.b": {"c": "two"}, "a.b.c": ["three", None]})
    assert sorted(each.value for each in reader.texts("a.b.c")) == ["one", "three", "two"]
    assert {each.pointer for each in reader.find("a.b.c")} == {"/a/b.c", "/a.b/c", "/a.b.c/0"}


def test_a_scalar_and_a_list_of_one_are_the_same() -> None:
    listed, plain = sample(), sample()
    listed["host.name"], listed["destination"]["ip"] = ["ws-0147"], ["203.0.113.66"]
    listed["@timestamp"], listed["kibana.alert.severity"] = [listed["@timestamp"]], ["critical"]
    assert one("elastic", listed) == one("elastic", plain)


@pytest.mark.parametrize(
    "wrap",
    [lambda each: {"alerts": each}, lambda each: {"context": {"alerts": each}, "rule": "x"}, lambda each: each],
)
def test_a_batch_gives_its_alerts_in_order(wrap: Callable[[list[Any]], Any]) -> None:
    batch = [sample(), sample("elastic_lateral")]
    found = elastic.source().parse(wrap(batch))
    assert [each.facts["hosts"][0] for each in found] == ["ws-0147", "ws-0152"]


# meaning


@pytest.mark.parametrize("name", ["SYSTEM", "NT AUTHORITY\\SYSTEM", "root", "Local Service"])
def test_a_built_in_account_is_no_mention(name: str) -> None:
    document = sample()
    document["user"]["name"] = name
    assert one("elastic", document).facts["accounts"] == []


@pytest.mark.parametrize(
    ("score", "severity"),
    [(0, "low"), (21, "low"), (22, "medium"), (47, "medium"), (48, "high"), (73, "high"), (74, "critical")],
)
def test_without_a_word_the_risk_score_gives_the_severity(score: int, severity: str) -> None:
    document = sample()
    del document["kibana.alert.severity"]
    document["kibana.alert.risk_score"] = score
    assert one("elastic", document).severity.value == severity


@pytest.mark.parametrize(
    ("priority", "severity"), [(1, "high"), (2, "medium"), (3, "low"), (4, "informational"), (255, "informational")]
)
def test_suricata_counts_its_severity_downwards(priority: int, severity: str) -> None:
    document = sample("suricata_c2")
    document["alert"]["severity"] = priority
    assert one("suricata", document).severity.value == severity


def test_an_alert_without_a_kibana_id_is_told_by_its_document_or_event() -> None:
    document = sample()
    del document["kibana.alert.uuid"]
    assert one("elastic", document).source_alert_id == document.pop("_id")
    assert one("elastic", document).source_alert_id == document["event"]["id"]


def test_an_address_of_the_host_itself_is_never_an_observable() -> None:
    document = sample()
    document["host"]["ip"] = ["203.0.113.200"]
    document["source"] = {"ip": "203.0.113.200"}
    alert = one("elastic", document)
    assert "ipv4-addr:203.0.113.200" not in observables(alert)
    assert ("address", "203.0.113.200", "affected") in mentions(alert)


def test_our_own_public_network_can_be_named_as_home() -> None:
    document = sample("suricata_c2")
    (alert,) = SuricataSource([ip_network("203.0.113.0/24")]).parse(document)
    assert mentions(alert) == {("address", "203.0.113.66", "dest")}
    assert "ipv4-addr:203.0.113.66" not in observables(alert)


def test_a_mapped_address_is_the_same_address() -> None:
    document = sample("suricata_c2")
    document["dest_ip"] = "::ffff:203.0.113.66"
    assert one("suricata", document) == one("suricata", sample("suricata_c2"))


@pytest.mark.parametrize(
    "dns",
    [{"rrname": "Evil.Example."}, {"query": [{"rrname": "evil.example"}]}, {"queries": [{"rrname": "evil.example"}]}],
)
def test_dns_names_of_each_eve_version_are_observed(dns: dict[str, Any]) -> None:
    document = sample("suricata_c2") | {"dns": dns}
    assert "domain-name:evil.example" in observables(one("suricata", document))


@pytest.mark.parametrize("digests", [{"sha256": "a" * 64, "md5": "b" * 32}, {"sha256": None, "md5": "b" * 32}])
def test_the_strongest_digest_of_a_file_is_taken(digests: dict[str, Any]) -> None:
    document = sample("suricata_c2") | {"fileinfo": digests}
    wanted = f"file:SHA-256:{'a' * 64}" if digests["sha256"] else f"file:MD5:{'b' * 32}"
    assert {each for each in observables(one("suricata", document)) if each.startswith("file")} == {wanted}


def test_packets_outside_any_flow_are_told_apart() -> None:
    first, second = sample("suricata_c2"), sample("suricata_c2")
    del first["flow_id"], second["flow_id"]
    second["src_port"] = 1
    ids = {one("suricata", each).source_alert_id for each in (first, second)}
    assert len(ids) == 2
    assert all(each.startswith("packet-") for each in ids)


def test_order_and_case_of_names_do_not_change_the_dedupe_key_but_another_host_does() -> None:
    document = sample("elastic_lateral")
    key = one("elastic", document).dedupe_key
    assert len(key) == 64
    document["host.name"] = "WS-0152"
    document["related"]["hosts"].reverse()
    assert one("elastic", document).dedupe_key == key
    document["related"]["hosts"].append("ws-0160")
    assert one("elastic", document).dedupe_key != key
