"""The estate as a process: who is who, hostile input, its file, its life, its laws."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from integrations import lab as lab_adapter
from integrations.estate import containments, reads
from integrations.estate.act import Act, Refusal
from integrations.estate.content import sha256_of
from integrations.estate.operations import OPERATIONS
from integrations.estate.sample import C2_ADDRESS, sample_estate
from integrations.estate.server import Lab, spawn
from soar.ports import Mention, Rejected
from tests.contract.adapter_rules import MemorySink, call
from tests.contract.lab_room import adapter_of, ask, eventually, plain

# --- who is who ------------------------------------------------------------------------------------


def test_an_address_means_the_host_that_had_it_at_that_time(estate: Lab) -> None:
    adapter, now = adapter_of(estate), datetime.now(UTC)
    mention = Mention(kind="address", value="10.20.1.47")
    (today,) = adapter.resolve(mention, now)
    (last_week,) = adapter.resolve(mention, now - timedelta(days=7))
    assert (today.id, last_week.id) == ("ws-0147", "ws-0160")
    assert today.source == "lab:dhcp"
    assert today.known_since is not None
    assert last_week.addresses == ("10.20.1.47",)
    assert adapter.resolve(mention, now - timedelta(days=365)) == []
    (same,) = adapter.resolve(mention, now.astimezone(None))
    assert same == today


@pytest.mark.parametrize(
    ("kind", "value", "ids"),
    [
        ("host", "WS-0147", ["ws-0147"]),
        ("host", "ws-0147.meridian.example", ["ws-0147"]),
        ("account", "j.doe", ["j.doe"]),
        ("account", "MERIDIAN\\J.Doe", ["j.doe"]),
        ("account", "j.doe@meridian.example", ["j.doe"]),
        ("account", "k.lind", ["k.lind", "k.lind@cloud"]),
        ("account", "OTHER\\j.doe", []),
        ("address", "10.20.0.10", ["dc-01"]),
        ("address", C2_ADDRESS, []),
        ("address", "not an address", []),
        ("host", "nobody", []),
        ("host", " ", []),
        ("mailbox", "j.doe", []),
    ],
)
def test_a_mention_resolves_to_all_that_it_can_mean(estate: Lab, kind: str, value: str, ids: list[str]) -> None:
    found = adapter_of(estate).resolve(Mention(kind=kind, value=value), datetime.now(UTC))
    assert [entity.id for entity in found] == ids


def test_the_domain_controller_is_protected(estate: Lab) -> None:
    (found,) = adapter_of(estate).resolve(Mention(kind="host", value="dc-01"), datetime.now(UTC))
    assert "protected" in found.tags
    assert found.groups == ("domain-controllers",)


# --- hostile input ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("verb", "target", "params"),
    [
        ("isolate_host", "host:nobody", {}),
        ("isolate_host", "host:ws-0160", {"allow": "soc"}),
        ("disable_account", "account:nobody", {}),
        ("quarantine_file", "host:ws-0147", {"path": "C:\\no"}),
        ("quarantine_file", "host:ws-0147", {}),
        ("stop_service", "host:ws-0147", {"name": "no"}),
        ("kill_process", "host:ws-0147", {"pid": True}),
        ("block_ip", "observable:not-an-address", {}),
        ("isolate_host", "host:ws-0160", {"allow": [object()]}),
        ("notify", "team:on-call", {"text": "\ud800"}),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_and_changes_nothing(
    estate: Lab, verb: str, target: str, params: dict[str, Any]
) -> None:
    before = ask(estate, "GET", "/estate")
    with pytest.raises(Rejected):
        adapter_of(estate).apply(call(verb, target, "nonsense", **params), MemorySink())
    assert ask(estate, "GET", "/estate") == before


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"url": "ftp://x"},
        {"url": "http://"},
        {"url": "http://u:p@127.0.0.1"},
        {"url": "http://127.0.0.1:99999"},
        {"url": "http://127.0.0.1", "timeout": 0},
        {"url": "http://127.0.0.1", "timeout": float("inf")},
        {"url": "http://127.0.0.1", "colour": "red"},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        lab_adapter.Config.model_validate(settings_)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda each: st.lists(each, max_size=3)
)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "target": st.sampled_from(["host:ws-0160", "account:k.lind", "observable:198.51.100.5", "x"]) | _JSON,
        "params": st.dictionaries(st.sampled_from(["path", "pid", "name", "items", "duration", "class", "at"]), _JSON),
        "handle": st.dictionaries(st.just("key"), _JSON),
    },
)


@settings(max_examples=50, deadline=None)
@given(
    verb=st.sampled_from(sorted(OPERATIONS)),
    method=st.sampled_from(["inspect", "apply", "revert", "other"]),
    body=_BODY,
)
def test_whatever_comes_in_the_lab_answers_and_lives(estate: Lab, verb: str, method: str, body: dict[str, Any]) -> None:
    url = f"{estate.url}/v1/{method}/{verb}"
    answer = plain().post(url, content=json.dumps(body), headers={"X-Soar-Key": "fuzz"})
    assert answer.status_code in (200, 400, 404, 405, 409)


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b"[" * 100_000, 400), (b"x" * 300_000, 413)], ids=range(4)
)
def test_a_body_that_is_no_request_gets_a_clear_answer(estate: Lab, body: bytes, status: int) -> None:
    answer = plain().post(f"{estate.url}/v1/apply/isolate_host", content=body)
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


def test_a_change_without_a_key_is_refused(estate: Lab) -> None:
    assert "X-Soar-Key" in ask(estate, "POST", "/v1/apply/isolate_host", {"target": "host:ws-0160"})["error"]


# --- the file and the process ----------------------------------------------------------------------


def test_what_was_done_survives_a_kill_and_the_log_is_whole(tmp_path: Path) -> None:
    with spawn(tmp_path) as first:
        adapter = adapter_of(first)
        adapter.apply(call("isolate_host", "host:ws-0147", "k1"), MemorySink())
        ask(
            first,
            "POST",
            "/faults",
            {"verb": "block_domain", "phase": "apply", "fault": "accept_later", "seconds": 0.2},
        )
        adapter.apply(call("block_domain", "observable:a.example", "k2"), MemorySink())
        os.kill(first.pid, signal.SIGKILL)
    log = first.state_file.with_name("estate.json.calls.jsonl")
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    with spawn(tmp_path, port=first.port) as second:
        assert second.url == first.url
        assert log.read_bytes() == whole, "the line that the crash tore is written again"
        assert adapter.inspect(call("isolate_host", "host:ws-0147", "k1")).ours == "k1"
        assert eventually(lambda: adapter.inspect(call("block_domain", "observable:a.example", "k2")).present is True)


def test_a_file_that_is_not_ours_is_set_aside_and_the_sample_starts(tmp_path: Path) -> None:
    (tmp_path / "estate.json").write_text("precious")
    with spawn(tmp_path) as lab:
        assert ask(lab, "GET", "/estate")["name"] == "Meridian Freight"
    assert (tmp_path / "estate.json.unknown").read_text() == "precious"


def test_an_estate_of_ones_own_can_be_given(tmp_path: Path) -> None:
    own = sample_estate(datetime.now(UTC)) | {"name": "Harbour Works"}
    with spawn(tmp_path, estate=own) as lab:
        assert ask(lab, "GET", "/estate")["name"] == "Harbour Works"


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind(
    estate: Lab, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        spawn(tmp_path, port=estate.port)
    assert "Address already in use" in capfd.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="only POSIX gives a process whose parent ended another one")
def test_it_outlives_the_thread_that_started_it_and_dies_with_the_process(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, threading; from integrations.estate.server import spawn\n"
        "def start():\n    print(spawn(pathlib.Path(sys.argv[1])).url, flush=True)\n"
        "thread = threading.Thread(target=start); thread.start(); thread.join(); sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        adapter = lab_adapter.connect("lab", lab_adapter.Config(url=url))
        time.sleep(0.2)
        assert adapter.check() == []
        parent.kill()
        assert eventually(lambda: adapter.check() != [])


def test_it_starts_in_half_a_second(tmp_path: Path) -> None:
    """Measured 0.13 s; the bound is wide because test machines are shared."""
    began = time.monotonic()
    with spawn(tmp_path):
        assert time.monotonic() - began < 2.0


# --- laws ------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
_KEYS = st.sampled_from(["a", "b", "c"])


@given(steps=st.lists(st.tuples(st.sampled_from(["contain", "release", "revert"]), _KEYS), max_size=12))
def test_only_the_key_that_stands_can_be_undone_whatever_came_before(steps: list[tuple[str, str]]) -> None:
    data, standing = sample_estate(NOW), ""
    for word, key in steps:
        act = Act(method="", verb="", target="host:ws-0147", now=NOW, key=key, handle={"key": key})
        slot = containments.ISOLATION
        if word == "contain":
            containments.contain(slot, data, act)
            standing = standing or key
        elif word == "release":
            containments.release(slot, data, act)
            standing = ""
        elif standing in ("", key):
            containments.revert(slot, data, act)
            standing = ""
        else:
            with pytest.raises(Refusal):
                containments.revert(slot, data, act)
        record = data["hosts"]["ws-0147"]["isolated"]
        assert (record["key"] if record else "") == standing


@given(hours=st.integers(min_value=-24 * 60, max_value=24 * 60))
def test_an_address_never_means_two_hosts_at_one_time(hours: int) -> None:
    data = sample_estate(NOW)
    at = (NOW + timedelta(hours=hours)).isoformat()
    for address in {lease["address"] for lease in data["leases"]}:
        params = {"kind": "address", "value": address, "at": at}
        answer = reads.resolve(data, Act(method="other", verb="resolve", target="x:", now=NOW, params=params))
        assert isinstance(answer.body, dict)
        assert len(answer.body["entities"]) <= 1


def test_every_digest_in_the_sample_is_the_digest_of_its_bytes() -> None:
    for each in sample_estate(NOW)["hosts"].values():
        for file in each["files"]:
            assert file["sha256"] == sha256_of(file)
