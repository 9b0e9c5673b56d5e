"""What the adapter raises against what really happened, for every fault and every broken line."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from integrations import lab as lab_adapter
from integrations.estate.server import Lab
from integrations.lab import LabAdapter
from soar.ports import AdapterError, AppliedStatus, NotSent, OutcomeUnknown
from tests.contract.adapter_rules import MemorySink, call
from tests.contract.lab_room import adapter_of, ask, calls, canned, eventually

# --- faults: what happened against what was heard --------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "heard", "happened", "status"),
    [
        ("hang", OutcomeUnknown, False, None),
        ("hang_after", OutcomeUnknown, True, None),
        ("cut", OutcomeUnknown, False, None),
        ("cut_after", OutcomeUnknown, True, None),
        ("error_500", OutcomeUnknown, False, 500),
        ("act_and_500", OutcomeUnknown, True, 500),
        ("lie", None, False, 200),
    ],
)
@pytest.mark.parametrize("phase", ["apply", "revert"])
def test_a_fault_does_what_its_name_says(
    estate: Lab, phase: str, fault: str, heard: type[AdapterError] | None, happened: bool, status: int | None
) -> None:
    adapter, key = adapter_of(estate), f"{phase}-{fault}"
    impatient = adapter_of(estate, timeout=0.15) if "hang" in fault else adapter
    do, undo = call("isolate_host", "host:srv-files-01", key), call("release_host", "host:srv-files-01", f"{key}-u")
    if phase == "revert":
        adapter.apply(do, MemorySink())
    verb, sent = (do.verb, do) if phase == "apply" else (undo.verb, undo)
    ask(estate, "POST", "/faults", {"verb": verb, "target": "srv-files-01", "phase": phase, "fault": fault})

    def send(through: LabAdapter) -> Any:
        return through.apply(do, MemorySink()) if phase == "apply" else through.revert(undo, {"key": key}, {})

    if heard is None:
        assert send(adapter).status is AppliedStatus.CONFIRMED
    else:
        with pytest.raises(heard):
            send(impatient)
    (entry,) = calls(estate, sent.key, phase)
    assert (entry["changed"], entry["status"], entry["fault"]) == (happened, status, fault)
    assert adapter.inspect(sent).present is happened
    send(adapter)
    assert adapter.inspect(sent).present is True, "the fault is used up"
    adapter.apply(call("release_host", "host:srv-files-01", "tidy"), MemorySink())


def test_what_is_accepted_for_later_is_not_yet_so_and_then_is(estate: Lab) -> None:
    adapter, do = adapter_of(estate), call("disable_account", "account:svc-backup", "later-1")
    ask(estate, "POST", "/faults", {"verb": do.verb, "phase": "apply", "fault": "accept_later", "seconds": 0.3})
    assert adapter.apply(do, MemorySink()).status is AppliedStatus.ACCEPTED
    assert adapter.inspect(do).present is False
    assert eventually(lambda: adapter.inspect(do).present is True)
    assert [(e["status"], e["changed"]) for e in calls(estate, "later-1", "apply")] == [(202, False), (None, True)]


@pytest.mark.parametrize("fault", ["hang", "cut", "error_500"])
def test_an_inspection_that_fails_claims_nothing_and_may_be_repeated(estate: Lab, fault: str) -> None:
    adapter, do = adapter_of(estate, timeout=0.15), call("isolate_host", "host:ws-0160", "seen")
    ask(estate, "POST", "/faults", {"verb": do.verb, "phase": "inspect", "fault": fault})
    with pytest.raises(NotSent):
        adapter.inspect(do)
    assert adapter_of(estate).inspect(do).present is False


def test_a_keyed_call_repeated_after_a_lost_answer_acts_once(estate: Lab) -> None:
    adapter, do = adapter_of(estate), call("block_domain", "observable:lost.example", "lost-1", domain="lost.example")
    ask(estate, "POST", "/faults", {"verb": do.verb, "phase": "apply", "fault": "cut_after"})
    with pytest.raises(OutcomeUnknown):
        adapter.apply(do, MemorySink())
    adapter.apply(do, MemorySink())
    seen = [(entry["changed"], entry["duplicate"]) for entry in calls(estate, "lost-1", "apply")]
    assert seen == [(True, False), (False, True)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verb": "isolate_host", "phase": "apply", "fault": "explode"},
        {"verb": "no_such", "phase": "apply", "fault": "cut"},
        {"verb": "isolate_host", "phase": "inspect", "fault": "lie"},
        {"verb": "isolate_host", "phase": "apply", "fault": "cut", "times": 0},
        {"verb": "isolate_host", "phase": "apply", "fault": "cut", "seconds": "1"},
        {"verb": "isolate_host", "phase": "apply", "fault": "cut", "colour": "red"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_and_not_set(estate: Lab, body: dict[str, Any]) -> None:
    assert ask(estate, "POST", "/faults", body)["error"]
    assert ask(estate, "GET", "/faults") == {"faults": []}


def test_faults_can_be_cleared(estate: Lab) -> None:
    ask(estate, "POST", "/faults", {"verb": "notify", "phase": "apply", "fault": "cut", "times": 3})
    assert ask(estate, "DELETE", "/faults") == {"faults": []}
    adapter_of(estate).apply(call("notify", "team:on-call", "clear", text="hello"), MemorySink())


# --- the line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.0 200 OK\r\n\r\nnot json",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 200_000,
        b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"",
    ],
)
def test_an_answer_that_cannot_be_understood_leaves_the_outcome_unknown(reply: bytes) -> None:
    with canned(reply) as url, pytest.raises(OutcomeUnknown):
        lab_adapter.connect("x", lab_adapter.Config(url=url)).apply(
            call("isolate_host", "host:ws-0147", "k"), MemorySink()
        )
    with canned(reply) as url, pytest.raises(NotSent):
        lab_adapter.connect("x", lab_adapter.Config(url=url)).inspect(call("isolate_host", "host:ws-0147", "k"))


def test_evidence_that_arrives_damaged_is_not_taken_for_whole() -> None:
    lab, listed = b"HTTP/1.0 200 OK\r\nX-Soar-Sha256: " + b"0" * 64 + b"\r\n\r\nabc", MemorySink()
    with canned(lab) as url, pytest.raises(NotSent, match="damaged"):
        lab_adapter.connect("x", lab_adapter.Config(url=url))._fetch(
            call("collect_evidence", "host:ws-0147", "k"), "logs", "", listed
        )


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    for nowhere in (url, "http://nobody.invalid:8765"):
        adapter = lab_adapter.connect("x", lab_adapter.Config(url=nowhere, timeout=2))
        with pytest.raises(NotSent):
            adapter.apply(call("isolate_host", "host:ws-0147", "k"), MemorySink())
        assert [problem.code for problem in adapter.check()] == ["unreachable"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a full queue drops connections on Linux")
def test_a_connection_that_never_opens_means_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as one, socket.socket() as two:
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        with pytest.raises(NotSent):
            lab_adapter.connect("x", lab_adapter.Config(url=url, timeout=0.3)).apply(
                call("isolate_host", "host:ws-0147", "k"), MemorySink()
            )
