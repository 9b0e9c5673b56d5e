"""The lab does what it says: every verb acts, is seen, is undone; flows, rules and evidence are real."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.estate.content import MARKER
from integrations.estate.sample import C2_ADDRESS, MALWARE_SHA256
from integrations.estate.server import Lab
from soar.ports import Directory, NotSent, OutcomeUnknown, Rejected, Repeat
from soar.verbs import VERBS
from tests.contract import adapter_rules
from tests.contract.adapter_rules import MemorySink, call
from tests.contract.lab_room import SCR, adapter_of, ask, calls, eventually, flows, host, plain

# --- every verb does, is seen, is undone -----------------------------------------------------------

PAIRS: list[tuple[str, str, dict[str, Any]]] = [
    ("isolate_host", "host:ws-0160", {"host": "ws-0160", "allow": ["soc"]}),
    ("disable_account", "account:k.lind", {"account": "k.lind"}),
    ("quarantine_file", "host:ws-0152", {"host": "ws-0152", "path": SCR.replace("j.doe", "m.ruiz")}),
    ("stop_service", "host:srv-files-01", {"host": "srv-files-01", "name": "smbd"}),
    ("quarantine_email", "mailbox:<7781@invoice-desk.example>", {"message_id": "<7781@invoice-desk.example>"}),
    ("revoke_credential", "key:AKIAEXAMPLE7781", {"key": "AKIAEXAMPLE7781"}),
    ("fail_over", "service:freight-portal", {"service": "freight-portal"}),
    ("segment_network", "host:10.20.1.0/24", {"network": "10.20.1.0/24"}),
    ("lock_device", "host:nb-0201", {"host": "nb-0201"}),
    ("block_ip", "observable:ipv4-addr:198.51.100.77", {"ip": "198.51.100.77"}),
    ("block_ip", "observable:2001:db8::77", {"ip": "2001:db8::77"}),
    ("block_domain", "observable:domain-name:cdn-update.example", {"domain": "cdn-update.example"}),
    ("block_url", "observable:https://cdn-update.example/a", {"url": "https://cdn-update.example/a"}),
    ("block_hash", f"observable:file:{MALWARE_SHA256}", {"hash": MALWARE_SHA256}),
    ("block_sender", "observable:billing@cdn-update.example", {"sender": "billing@cdn-update.example"}),
]


@pytest.mark.parametrize(("verb", "target", "params"), PAIRS, ids=[f"{verb}-{target}" for verb, target, _ in PAIRS])
def test_a_containment_is_done_seen_and_undone_and_only_by_its_own_key(
    estate: Lab, verb: str, target: str, params: dict[str, Any]
) -> None:
    inverse = VERBS[verb].inverse
    do = call(verb, target, f"k {target}", **params)
    undo = call(inverse, target, f"u {target}", **{n: v for n, v in params.items() if n in VERBS[inverse].params})
    adapter_rules.is_done_seen_undone_and_never_takes_what_is_not_ours(adapter_of(estate), do, undo)


REPAIRS: list[tuple[str, str, dict[str, Any]]] = [
    ("delete_file", "host:ws-0152", {"host": "ws-0152", "path": SCR.replace("j.doe", "m.ruiz")}),
    ("remove_persistence", "host:ws-0152",
     {"host": "ws-0152", "entry": r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run\Invoice"}),
    ("remove_inbox_rule", "mailbox:m.ruiz@meridian.example", {"mailbox": "m.ruiz@meridian.example", "rule": "rule-1"}),
    ("revoke_consent", "account:m.ruiz", {"account": "m.ruiz", "app": "Calendar Sync Plus"}),
    ("wipe_device", "host:nb-0201", {"host": "nb-0201"}),
    ("rebuild_host", "host:ws-0160", {"host": "ws-0160"}),
    ("patch", "host:srv-web-01", {"host": "srv-web-01", "update": "nginx 1.27.4"}),
    ("apply_workaround", "host:srv-web-01", {"host": "srv-web-01", "change": "upload off"}),
    ("restore_backup", "host:srv-files-01", {"host": "srv-files-01", "backup": "nightly"}),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "target", "params"), REPAIRS, ids=[verb for verb, _, _ in REPAIRS])
def test_a_repair_is_done_once_for_a_key_and_is_seen_by_it_alone(
    estate: Lab, verb: str, target: str, params: dict[str, Any]
) -> None:
    adapter = adapter_of(estate)
    do, other = call(verb, target, f"k {verb}", **params), call(verb, target, "another", **params)
    assert adapter.inspect(do).present is False
    adapter.apply(do, MemorySink())
    adapter.apply(do, MemorySink())
    seen = adapter.inspect(do)
    assert (seen.present, seen.ours) == (True, do.key)
    assert adapter.inspect(other).present is False
    assert [entry["changed"] for entry in calls(estate, do.key, "apply")] == [True, False]


def test_a_rebuilt_host_is_clean(estate: Lab) -> None:
    adapter = adapter_of(estate)
    look = call("verify_clean", "host:ws-0152", "r", host="ws-0152")
    assert adapter.apply(look, MemorySink()).outputs["clean"] is False
    adapter.apply(call("rebuild_host", "host:ws-0152", "k", host="ws-0152"), MemorySink())
    assert adapter.apply(look, MemorySink()).outputs["clean"] is True


@pytest.mark.parametrize(
    ("verb", "target", "params"),
    [
        ("revoke_credential", "key:none", {"key": "none"}),
        ("quarantine_email", "mailbox:none", {"message_id": "none"}),
        ("remove_inbox_rule", "mailbox:k.lind@meridian.example", {"mailbox": "k.lind@meridian.example", "rule": "x"}),
        ("revoke_consent", "account:k.lind", {"account": "k.lind", "app": "x"}),
        ("delete_file", "host:ws-0160", {"host": "ws-0160", "path": "none"}),
        ("update_ticket", "team:on-call", {"team": "on-call", "ticket": "T-9999", "text": "x"}),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_changes(
    estate: Lab, verb: str, target: str, params: dict[str, Any]
) -> None:
    with pytest.raises(Rejected):
        adapter_of(estate).apply(call(verb, target, "k", **params), MemorySink())


def test_it_declares_what_it_can_do_and_refuses_the_rest(estate: Lab) -> None:
    adapter = adapter_of(estate)
    adapter_rules.declares_only_known_verbs(adapter)
    adapter_rules.refuses_what_it_does_not_declare(adapter, call("isolate_host", "host:ws-0160", "k"))
    assert isinstance(adapter, Directory)
    assert adapter.verbs["notify"].repeat is Repeat.UNSAFE
    assert adapter.verbs["block_ip"].repeat is Repeat.KEYED


def test_what_stood_before_us_is_not_ours_to_undo(estate: Lab) -> None:
    adapter = adapter_of(estate)
    adapter.apply(call("isolate_host", "host:dc-01", "theirs"), MemorySink())
    seen = adapter.inspect(call("isolate_host", "host:dc-01", "mine"))
    prior = {"present": seen.present, "ours": seen.ours, "state": dict(seen.state)}
    applied = adapter.apply(call("isolate_host", "host:dc-01", "mine"), MemorySink())
    with pytest.raises(Rejected, match="not ours"):
        adapter.revert(call("release_host", "host:dc-01", "undo"), applied.handle, prior)
    assert adapter.inspect(call("isolate_host", "host:dc-01", "mine")).ours == "theirs"
    adapter.apply(call("release_host", "host:dc-01", "by-hand"), MemorySink())
    assert adapter.inspect(call("release_host", "host:dc-01", "by-hand")).ours == "by-hand"


def test_an_undo_that_its_own_prior_state_speaks_against_is_never_sent(estate: Lab) -> None:
    adapter, prior = adapter_of(estate), {"present": True, "ours": "theirs", "state": {}}
    adapter.apply(call("isolate_host", "host:dc-01", "k1"), MemorySink())
    with pytest.raises(Rejected, match="before the call"):
        adapter.revert(call("release_host", "host:dc-01", "unsent"), {"key": "k1"}, prior)
    assert calls(estate, "unsent", "revert") == []
    adapter.revert(call("release_host", "host:dc-01", "sent"), {"key": "k1"}, {})


def test_disabling_an_account_leaves_its_sessions_until_they_are_revoked(fresh: Lab) -> None:
    adapter, target = adapter_of(fresh), "account:j.doe"
    adapter.apply(call("disable_account", target, "k1"), MemorySink())
    revoke = call("revoke_sessions", target, "k2")
    assert adapter.inspect(revoke).present is False
    assert adapter.apply(revoke, MemorySink()).outputs == {"revoked": 1}
    seen = adapter.inspect(revoke)
    assert (seen.present, seen.ours) == (True, "k2")


def test_a_password_reset_is_seen_only_by_the_call_that_made_it(fresh: Lab) -> None:
    adapter, target = adapter_of(fresh), "account:m.ruiz"
    first, second = call("reset_password", target, "k1"), call("reset_password", target, "k2")
    before = adapter.inspect(first)
    adapter.apply(first, MemorySink())
    after = adapter.inspect(first)
    assert (before.present, after.present, after.ours) == (False, True, "k1")
    assert after.state["password_changed_at"] > before.state["password_changed_at"]
    assert adapter.inspect(second).present is False
    adapter.apply(first, MemorySink())
    assert adapter.inspect(first).state == after.state


def test_a_killed_process_takes_its_flow_and_memory_with_it(fresh: Lab) -> None:
    adapter, kill = adapter_of(fresh), call("kill_process", "host:ws-0147", "k1", host="ws-0147", pid=4120)
    assert adapter.inspect(kill).present is False
    adapter.apply(kill, MemorySink())
    assert (adapter.inspect(kill).present, adapter.inspect(kill).ours) == (True, "k1")
    assert flows(fresh) == ["ws-0152"]
    with pytest.raises(Rejected, match="no process 9999"):
        adapter.apply(call("kill_process", "host:ws-0147", "k2", pid=9999), MemorySink())


def test_the_board_keeps_every_notification_but_opens_a_ticket_once_for_each_key(estate: Lab) -> None:
    adapter = adapter_of(estate)
    tell = call("notify", "team:on-call", "n1", team="on-call", text="Containment failed")
    ticket = call("open_ticket", "team:it", "t1", team="it", text="Rebuild ws-0147")
    assert adapter.inspect(tell).present is False
    for _ in range(2):
        adapter.apply(tell, MemorySink())
    first, again = (adapter.apply(ticket, MemorySink()) for _ in range(2))
    board = ask(estate, "GET", "/estate")["board"]
    assert [entry["caller"] for entry in board["notifications"] if entry["key"] == "n1"] == ["person:Zoë"] * 2
    assert len([entry for entry in board["tickets"] if entry["key"] == "t1"]) == 1
    assert first.outputs == again.outputs == {"ticket": "T-0001"}
    assert (adapter.inspect(tell).ours, adapter.inspect(ticket).ours) == ("n1", "t1")
    assert [entry["duplicate"] for entry in calls(estate, "t1", "apply")] == [False, True]


# --- flows, rules and time -------------------------------------------------------------------------


def test_a_rule_alone_leaves_the_flow_and_ending_flows_alone_lets_it_come_back(fresh: Lab) -> None:
    def send(verb: str, key: str) -> Any:
        body = {"target": f"observable:{C2_ADDRESS}"}
        return plain().post(f"{fresh.url}/v1/apply/{verb}", json=body, headers={"X-Soar-Key": key}).json()

    assert flows(fresh) == ["ws-0147", "ws-0152"]
    assert send("end_flows", "f1")["flows_ended"] == 2
    assert flows(fresh) == ["ws-0147", "ws-0152"], "the malware connects again where nothing stands in its way"
    send("block_ip", "b1")
    assert flows(fresh) == ["ws-0147", "ws-0152"]
    assert send("end_flows", "f2")["flows_ended"] == 2
    assert flows(fresh) == []


def test_a_block_ends_the_flows_and_says_how_many(fresh: Lab) -> None:
    adapter, block = adapter_of(fresh), call("block_ip", f"observable:ipv4-addr:{C2_ADDRESS}", "k1", ip=C2_ADDRESS)
    assert adapter.inspect(block).summary == f"no rule for {C2_ADDRESS}, 2 live flows"
    assert adapter.apply(block, MemorySink()).outputs == {"flows_ended": 2}
    assert adapter.inspect(block).state["flows"] == []
    unblock = call("unblock_ip", f"observable:{C2_ADDRESS}", "k2", ip=C2_ADDRESS)
    adapter.revert(unblock, {"key": "k1"}, {})
    assert flows(fresh) == ["ws-0147", "ws-0152"]


def test_a_rule_whose_flows_may_still_run_is_never_called_done(fresh: Lab) -> None:
    adapter, block = adapter_of(fresh), call("block_ip", f"observable:{C2_ADDRESS}", "k1", ip=C2_ADDRESS)
    ask(fresh, "POST", "/faults", {"verb": "end_flows", "phase": "apply", "fault": "error_500"})
    with pytest.raises(OutcomeUnknown, match="flows"):
        adapter.apply(block, MemorySink())
    assert adapter.inspect(block).present is True
    assert len(adapter.inspect(block).state["flows"]) == 2
    assert adapter.apply(block, MemorySink()).outputs == {"flows_ended": 2}, "the same key finishes the work"


def test_a_rule_with_a_duration_ends_by_itself_and_a_longer_one_moves_its_end(estate: Lab) -> None:
    adapter, target = adapter_of(estate), "observable:198.51.100.90"
    block = call("block_ip", target, "d1", ip="198.51.100.90", duration=0.4)
    adapter.apply(block, MemorySink())
    short = adapter.inspect(block)
    adapter.apply(call("block_ip", target, "d2", ip="198.51.100.90", duration="0.8s"), MemorySink())
    longer = adapter.inspect(block)
    assert short.ours == longer.ours == "d1"
    assert longer.state["blocked"]["until"] > short.state["blocked"]["until"]
    assert eventually(lambda: adapter.inspect(block).present is False)
    assert datetime.now(UTC) >= datetime.fromisoformat(longer.state["blocked"]["until"])


@pytest.mark.parametrize("duration", ["soon", "7 days", "-1s", -5, 0, True, 1e12, float("nan"), [1]])
def test_a_duration_that_is_none_sets_no_rule(estate: Lab, duration: object) -> None:
    adapter = adapter_of(estate)
    block = call("block_ip", "observable:198.51.100.91", "bad", ip="198.51.100.91", duration=duration)
    with pytest.raises(Rejected):
        adapter.apply(block, MemorySink())
    assert adapter.inspect(call("block_ip", "observable:198.51.100.91", "bad")).present is False


def test_isolation_cuts_the_flows_and_a_release_before_cleaning_brings_the_malware_back(fresh: Lab) -> None:
    adapter, target = adapter_of(fresh), "host:ws-0147"

    def search(verb: str) -> Any:
        return adapter.apply(call(verb, target, "look", host="ws-0147"), MemorySink()).outputs

    adapter.apply(call("isolate_host", target, "k1"), MemorySink())
    assert flows(fresh) == ["ws-0152"]
    assert search("verify_clean")["clean"] is False
    adapter.apply(call("release_host", target, "k2"), MemorySink())
    assert any(C2_ADDRESS in hit for hit in search("watch")["hits"])
    adapter.apply(call("quarantine_file", target, "k3", path=SCR), MemorySink())
    adapter.apply(call("kill_process", target, "k4", pid=4120), MemorySink())
    assert search("verify_clean") == {"clean": True, "found": []}
    assert search("watch") == {"hits": []}
    adapter.apply(call("restore_file", target, "k5", path=SCR), MemorySink())
    assert search("verify_clean")["clean"] is False


# --- evidence --------------------------------------------------------------------------------------


def test_evidence_comes_most_volatile_first_from_an_isolated_host_and_hashes_as_the_lab_says(fresh: Lab) -> None:
    adapter, sink = adapter_of(fresh), MemorySink()
    adapter.apply(call("isolate_host", "host:ws-0152", "k1"), MemorySink())
    order = ["logs", "disk", "files", "memory", "processes", "connections"]
    applied = adapter.apply(call("collect_evidence", "host:ws-0152", "k2", host="ws-0152", items=order), sink)
    assert applied.outputs["items"] == list(sink.items)
    taken = [stored.item for stored, _ in sink.items.values()]
    assert [item.evidence_class for item in taken] == [
        "connections", "processes", "memory", "memory", "memory", "files", "files", "disk", "logs",
    ]  # fmt: skip
    assert all(stored.sha256 == stored.item.source_sha256 for stored, _ in sink.items.values())
    assert {item.source for item in taken} == {"ws-0152"}
    assert all(item.acquired_at and item.tool and item.method == "live" for item in taken)
    marked = {stored.item.path for stored, raw in sink.items.values() if MARKER in raw}
    dropper = SCR.replace("j.doe", "m.ruiz")
    assert marked == {"pid:4120", dropper, ""}, "the malware is in memory, in its file and on the disk"
    (digest,) = {stored.sha256 for stored, _ in sink.items.values() if stored.item.path == dropper}
    assert (
        digest == MALWARE_SHA256 == next(f["sha256"] for f in host(fresh, "ws-0152")["files"] if f["path"] == dropper)
    )


def test_connections_show_the_beacon_before_isolation_and_not_after(fresh: Lab) -> None:
    adapter, before, after = adapter_of(fresh), MemorySink(), MemorySink()
    collect = call("collect_evidence", "host:ws-0147", "k1", items=["connections"])
    adapter.apply(collect, before)
    adapter.apply(call("isolate_host", "host:ws-0147", "k2"), MemorySink())
    adapter.apply(collect, after)
    assert C2_ADDRESS.encode() in before.open("item-1").read()
    assert after.open("item-1").read() == b""


@pytest.mark.parametrize("items", [[], ["sessions"], "memory", None, [["memory"]]])
def test_evidence_that_does_not_exist_is_refused(estate: Lab, items: object) -> None:
    with pytest.raises(Rejected):
        adapter_of(estate).apply(call("collect_evidence", "host:ws-0147", "k", items=items), MemorySink())


def test_collecting_through_a_fault_claims_nothing(estate: Lab) -> None:
    ask(estate, "POST", "/faults", {"verb": "fetch_evidence", "phase": "apply", "fault": "cut"})
    with pytest.raises(NotSent):
        adapter_of(estate).apply(call("collect_evidence", "host:ws-0147", "k", items=["logs"]), MemorySink())


@pytest.mark.parametrize(
    ("observable", "verdict", "confidence"),
    [
        (f"ipv4-addr:{C2_ADDRESS}", "malicious", 95),
        ("domain-name:CDN-update.example", "malicious", 90),
        (f"file:{MALWARE_SHA256}", "malicious", 97),
        ("198.51.100.20", "benign", 90),
        ("203.0.113.1", "unknown", 0),
    ],
)
def test_a_look_up_gives_verdict_and_confidence(estate: Lab, observable: str, verdict: str, confidence: int) -> None:
    found = adapter_of(estate).apply(call("look_up", f"observable:{observable}", "k"), MemorySink())
    assert found.outputs == {"verdict": verdict, "confidence": confidence}
    assert found.handle == {}
