"""OpenC2: every public case as it says, every verb both ways, and times."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.errors import Invalid
from soar.openc2 import language, message, values
from soar.openc2.language import Status, Unsupported, parse_command, parse_response
from soar.openc2.words import Timing, command_of, order_of, timing_of
from soar.verbs import VERBS, OnExpiry

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MS = round(NOW.timestamp() * 1000)
FOREIGN = ("x-acme", "x-mycompany", "x-mycompany_with_underscore", "x-example", "x-395", "x-esm")
"""The namespaces of the cases' own made-up profiles."""


def schema(samples: Path, name: str) -> Any:
    text = (samples / "openc2/schemas" / name).read_text(encoding="utf-8")
    return json.loads(text[text.index("{") :])


# --- the public cases -----------------------------------------------------------------------------


def test_every_public_case_is_taken_or_refused_as_it_says(samples: Path) -> None:
    wrong, count = [], {"good": 0, "bad": 0}
    for file in sorted((samples / "openc2/cases").rglob("*.json")):
        expected, kind = file.parent.name, file.parent.parent.name
        parse = parse_command if kind == "commands" else parse_response
        extensions = FOREIGN if "acme" in str(file) else ()
        try:
            read = parse(json.loads(file.read_bytes()), extensions)
            assert read.as_plain() == json.loads(file.read_bytes()) or expected == "bad"
            found = "good"
        except Invalid as error:
            found = "bad" if all(problem.pointer for problem in error.problems) else "unplaced"
        count[expected] += 1
        wrong += [str(file)] if found != expected else []
    assert wrong == []
    assert count == {"good": 25, "bad": 11}
    print(f"{count['good']} good and {count['bad']} bad public cases, all as they say")


def test_a_foreign_profile_is_refused_unless_it_is_named() -> None:
    command = {
        "action": "start",
        "target": {"x-acme:container": {}},
        "args": {"x-acme": {}},
        "actuator": {"x-acme": {}},
    }
    with pytest.raises(Invalid) as caught:
        parse_command(command)
    assert [problem.pointer for problem in caught.value.problems] == [
        "/target/x-acme:container", "/args/x-acme", "/actuator/x-acme",
    ]  # fmt: skip
    with pytest.raises(Unsupported):
        order_of(parse_command(command, ["x-acme"]))


# --- both ways ------------------------------------------------------------------------------------

SPOKEN = sorted(name for name, verb in VERBS.items() if verb.openc2)
NAME = st.text(st.sampled_from("abcxyz0189-"), min_size=1, max_size=12).filter(lambda text: text.strip("-") == text)
HOST = st.text("abc0189-_.\\é", min_size=1, max_size=10)
NETS = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("198.51.100.0/24"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "host": HOST, "account": HOST, "path": HOST, "name": HOST, "pid": st.integers(0, 2**31),
    "ip": NETS, "domain": NAME.map(lambda name: f"{name}.example") | st.just("bücher.example"),
    "url": NAME.map(lambda name: f"https://{name}.example/x") | st.just("https://bücher.example/"),
    "sender": NAME.map(lambda name: f"{name}@example.org") | st.just("jürgen@example.org"),
    "hash": st.sampled_from([32, 40, 64]).flatmap(lambda size: st.text("0189abcdef", min_size=size, max_size=size)),
    "allow": st.lists(NETS | st.just("soc"), min_size=1, max_size=3, unique=True),
}  # fmt: skip


@given(data=st.data())
@pytest.mark.parametrize("verb", SPOKEN)
def test_every_verb_with_a_word_goes_there_and_back(verb: str, data: Any) -> None:
    own = VERBS[verb].params
    wanted = {name for name, spec in own.items() if spec.required} | {name for name in own if name == "allow"}
    params = {name: data.draw(VALUES[name]) for name in sorted(wanted)}
    command = command_of(verb, params)
    order = order_of(parse_command(command.as_plain()))
    assert order.verb == verb
    assert {name: sorted(value) if name == "allow" else value for name, value in order.params.items()} == {
        name: sorted(value) if name == "allow" else value for name, value in params.items()
    }
    assert command_of(order.verb, order.params).target == command.target
    assert not order.by_name


def test_the_words_of_the_vocabulary_are_those_of_the_commands() -> None:
    sample = {"ip": "198.51.100.7", "domain": "a.example", "url": "https://a.example/", "sender": "a@b.example",
              "hash": "0" * 64, "host": "ws-1", "account": "alice", "path": "/x", "pid": 4, "name": "sshd"}  # fmt: skip
    for verb in SPOKEN:
        params = {name: sample[name] for name, spec in VERBS[verb].params.items() if spec.required}
        command = command_of(verb, params)
        assert f"{command.action} {command.target_type}" == VERBS[verb].openc2
        assert command.target_type in language.PAIRS[command.action]
    assert len(SPOKEN) >= 18


def test_a_verb_without_a_word_has_no_command() -> None:
    for verb in ("notify", "wipe_device", "nothing"):
        with pytest.raises(Invalid, match="no_word"):
            command_of(verb, {})
    with pytest.raises(Invalid):
        command_of("block_ip", {"ip": "not an address"})


def test_our_blocks_of_addresses_pass_the_published_schema(samples: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    check = jsonschema.Draft7Validator(schema(samples, "oc2slpf-v1.0.1_cmd_gen.json"))
    for verb, ip in (("block_ip", "198.51.100.7"), ("unblock_ip", "2001:db8::/64"), ("block_ip", "198.51.100.0/24")):
        assert list(check.iter_errors(command_of(verb, {"ip": ip}, seconds=60).as_plain())) == []


# --- what is asked and cannot be done -------------------------------------------------------------


def asked(action: str, target: Any, **args: Any) -> language.Command:
    return parse_command({"action": action, "target": target, **({"args": args} if args else {})})


DEVICE = {"device": {"hostname": "ws-1"}}


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        (asked("contain", DEVICE), Invalid, "device_containment"),
        (asked("contain", DEVICE, er={"device_containment": "disable_nic"}), Unsupported, "disable_nic"),
        (asked("deny", {"ipv4_connection": {"src_port": 21}}), Unsupported, "deny ipv4_connection"),
        (asked("deny", {"ipv4_net": "1.2.3.4"}, slpf={"direction": "ingress"}), Unsupported, "direction"),
        (asked("deny", {"ipv4_net": "1.2.3.4"}, slpf={"insert_rule": 7}), Unsupported, "insert_rule"),
        (asked("deny", {"ipv4_net": "1.2.3.4"}, slpf={"persistent": False}), Unsupported, "persistent"),
        (asked("deny", {"file": {"name": "x"}}), Invalid, "hashes"),
        (asked("update", {"file": {"name": "x"}}), Unsupported, "update file"),
        (asked("stop", {"process": {"pid": 3}}), Invalid, "downstream_device"),
        (asked("set", {"er:account": {"uid": "a"}}), Invalid, "account_status"),
        (asked("set", {"er:account": {"directory": "a"}}, er={"account_status": "enabled"}), Invalid, "uid"),
        (asked("detonate", {"uri": "https://x.example/"}), Unsupported, "detonate uri"),
    ],
)
def test_what_cannot_be_done_as_it_is_asked_is_refused_by_name(command: Any, error: Any, said: str) -> None:
    with pytest.raises(error) as caught:
        order_of(command)
    assert (type(caught.value) is error, said in caught.value.message) == (True, True)


def test_plain_slpf_arguments_ask_for_what_a_block_is_anyway() -> None:
    plain = {"drop_process": "none", "direction": "both", "persistent": True}
    assert order_of(asked("deny", {"ipv4_net": "1.2.3.4"}, slpf=plain)).verb == "block_ip"


def test_a_name_of_a_host_is_a_name_and_a_folder_with_a_name_is_a_path() -> None:
    er = {"downstream_device": {"devices": [{"hostname": "ws-1"}]}}
    order = order_of(asked("delete", {"file": {"path": "C:\\temp", "name": "a.exe"}}, er=er))
    assert (order.params, order.by_name) == ({"host": "ws-1", "path": "C:\\temp\\a.exe"}, True)


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "delay", "lease"),
    [
        ({}, 0, 0),
        ({"duration": 60_000}, 0, 60),
        ({"duration": 500}, 0, 1),
        ({"stop_time": MS + 60_000}, 0, 60),
        ({"start_time": MS + 10_000}, 10, 0),
        ({"start_time": MS + 10_000, "duration": 5_000}, 10, 5),
        ({"start_time": MS - 10_000, "duration": 15_000}, 0, 5),
        ({"start_time": MS + 10_000, "stop_time": MS + 30_000}, 10, 20),
        ({"stop_time": MS + 30_000, "duration": 10_000}, 20, 10),
    ],
)
def test_any_two_times_say_when_and_how_long(args: Any, delay: int, lease: int) -> None:
    found = timing_of(asked("deny", {"ipv4_net": "1.2.3.4"}, **args), "block_ip", NOW)
    assert found == Timing(delay=timedelta(seconds=delay), lease=timedelta(seconds=lease))


@pytest.mark.parametrize(
    "args",
    [
        {"start_time": MS, "stop_time": MS + 1, "duration": 1},
        {"stop_time": MS},
        {"duration": 0},
        {"start_time": 1534775460000, "duration": 500},
        {"start_time": MS + 9, "stop_time": MS + 8},
        {"start_time": 2**53 - 1},
        {"duration": 2**53 - 1},
    ],
)
def test_times_that_contradict_or_are_over_are_refused(args: Any) -> None:
    with pytest.raises(Invalid) as caught:
        timing_of(asked("deny", {"ipv4_net": "1.2.3.4"}, **args), "block_ip", NOW)
    assert not isinstance(caught.value, Unsupported)


@pytest.mark.parametrize("verb", SPOKEN)
def test_only_a_block_ends_by_itself(verb: str) -> None:
    command = asked("deny", {"ipv4_net": "1.2.3.4"}, duration=1000)
    if VERBS[verb].on_expiry is OnExpiry.LIFT:
        assert timing_of(command, verb, NOW).lease
    else:
        with pytest.raises(Unsupported, match="does not end by itself"):
            timing_of(command, verb, NOW)


# --- hostile input --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["action", "target", "args", "file", "er", "headers", "body", "x"]), inner, max_size=3
    ), max_leaves=6,
)  # fmt: skip
TARGETS = [*values.LANGUAGE_TARGETS, *values.ER_TARGETS, "slpf:rule_number", "x"]
PARTS = st.fixed_dictionaries(
    {"action": st.sampled_from(language.ACTIONS)},
    optional={
        "target": st.dictionaries(st.sampled_from(TARGETS), JSON, max_size=2),
        "args": st.dictionaries(st.sampled_from(["er", "slpf", "duration", "start_time", "x-soar"]), JSON, max_size=2),
        "actuator": JSON,
        "command_id": JSON,
    },
)


@given(JSON | PARTS)
def test_nothing_from_outside_raises_anything_but_invalid(data: Any) -> None:
    for parse in (parse_response, message.parse_message, _understood):
        with contextlib.suppress(Invalid):
            parse(data)


def _understood(data: Any) -> None:
    command = parse_command(data)
    timing_of(command, order_of(command).verb, NOW)


def test_all_that_is_wrong_with_a_command_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        parse_command(
            {"action": "fly", "target": {"ipv4_net": "300.1.1.1"}, "args": {}, "more": 1, "command_id": "a b"}
        )
    assert sorted(problem.pointer for problem in caught.value.problems) == [
        "/action", "/args", "/command_id", "/more", "/target/ipv4_net",
    ]  # fmt: skip


def test_a_message_is_opened_and_answered_in_its_envelope() -> None:
    opened = message.parse_message(
        {"headers": {"request_id": "r-1", "from": "a", "to": ["b"], "created": 1}, "body": {"openc2": {"request": {}}}}
    )
    assert (opened.request, opened.request_id, opened.sender) == ({}, "r-1", "a")
    said = message.answer(language.Response(status=Status.OK), request_id="r-1", sender="soar", created=5, to="a")
    assert said["body"] == {"openc2": {"response": {"status": 200}}}
    assert said["headers"] == {"request_id": "r-1", "created": 5, "from": "soar", "to": "a"}
