"""A service and a node on PostgreSQL and Redis: what one begins the other ends, whatever happens to the broker."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from api.bells import Relay
from api.cli import doctor
from api.cli.exits import Exit
from api.worker import QUEUE, Courier, hint_of
from soar.config import load
from soar.errors import Invalid
from soar.ids import new_id
from tests.scale.fleet import Town, passwords
from tests.servers import Redis
from tests.stage import Estate, until

HINT = "0199d4a2-0000-7000-8000-000000000001"


def test_a_service_takes_in_and_a_node_elsewhere_does(town: Town) -> None:
    town.run()
    took = [town.run() for _ in range(5)]
    print(f"\na run of one action, told of by message: {[f'{each * 1000:.0f} ms' for each in took]}")
    assert max(took) < 1.9, "nobody was rung"
    assert town.fleet.lab is not None
    assert len(Estate(town.fleet.lab).log(verb="isolate_host", method="apply", changed=True)) == 1
    health = until(lambda: town.serve.health().json()["working"] == 1 and town.serve.health().json())
    assert health["roles"] == ["api", "ask", "seal", "time"]
    assert (health["database"], health["broker"], health["serving"]) == ("postgresql", "ok", 1)


def envelope(body: Any, headers: dict[str, Any] | None = None, **properties: Any) -> bytes:
    """A message as it lies in the queue; by default one of ours, but for what is given."""
    ours = {
        "lang": "py", "task": "soar.work", "id": new_id(), "eta": None, "expires": None, "group": None,
        "timelimit": [None, None],
    }  # fmt: skip
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = {
        "body": base64.b64encode(raw).decode(), "content-encoding": properties.pop("encoding", "utf-8"),
        "content-type": properties.pop("kind", "application/json"), "headers": {**ours, **(headers or {})},
        "properties": {
            "correlation_id": new_id(), "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0, "body_encoding": "base64", "delivery_tag": new_id(), **properties,
        },
    }  # fmt: skip
    return json.dumps(said).encode()


REST: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
CHAIN = {**REST, "chain": [{"task": "soar.work", "args": [], "kwargs": {}}]}


def said(**kwargs: Any) -> list[Any]:
    return [[], kwargs, REST]


MALFORMED = {
    "not json": b"no message",
    "a number": b"7",
    "a list": b"[]",
    "half": envelope(said(v=1, hint=HINT))[:100],
    "deep": b"[" * 100_000,
    "no properties": b'{"body": ""}',
    "not utf-8": b"\xff\xfe",
    "pickle": envelope(pickle.dumps(said(v=1, hint=HINT)), kind="application/x-python-serialize", encoding="binary"),
    "yaml": envelope(b"- []", kind="application/x-yaml"),
    "another task": envelope(said(v=1, hint=HINT), {"task": "celery.backend_cleanup"}),
    "no task": envelope(said(v=1, hint=HINT), {"task": None}),
    "wrong version": envelope(said(v=2, hint=HINT)),
    "version as a word": envelope(said(v="1", hint=HINT)),
    "true for one": envelope(said(v=True, hint=HINT)),
    "no hint": envelope(said(v=1)),
    "more than ours": envelope(said(v=1, hint=HINT, run="rm")),
    "a hint that is no text": envelope(said(v=1, hint={"id": HINT})),
    "a long hint": envelope(said(v=1, hint="x" * 65)),
    "huge": envelope(said(v=1, hint="x" * 3_000_000)),
    "arguments": envelope([[HINT], {"v": 1, "hint": HINT}, REST]),
    "a chain behind it": envelope([[], {"v": 1, "hint": HINT}, CHAIN]),
    "for later": envelope(said(v=1, hint=HINT), {"eta": "2099-01-01T00:00:00+00:00"}),
    "duplicate names": envelope(b'[[], {"v": 1, "v": 1, "hint": "x"}, {}]'),
    "unknown id": envelope(said(v=1, hint=HINT)),
}


def test_what_is_no_message_of_ours_is_dropped_and_counted(town: Town) -> None:
    hands = town.worker.children()
    before = town.dropped()
    with redis.Redis.from_url(town.fleet.broker) as queue:
        for raw in MALFORMED.values():
            queue.lpush(QUEUE, raw)
        assert until(lambda: queue.llen(QUEUE) == 0)
    assert until(lambda: town.dropped() - before == len(MALFORMED)), (town.dropped() - before, len(MALFORMED))
    assert town.run() < 5
    assert town.worker.process.poll() is None
    assert town.worker.children() == hands
    said = town.worker.said()
    assert "Traceback" not in said
    assert len(said) < 20_000


def test_a_broker_that_forgets_or_dies_costs_seconds_and_nothing_else(town: Town, broker: Redis) -> None:
    before = [town.run() for _ in range(2)]
    runs = [town.begin() for _ in range(4)]
    broker.flush()
    assert until(lambda: all(town.status(run) == "succeeded" for run in runs))
    runs = [town.begin() for _ in range(4)]
    broker.kill()
    assert until(lambda: all(town.status(run) == "succeeded" for run in runs))
    without = [town.run() for _ in range(2)]
    away = until(lambda: town.serve.health().json()["broker"] == "away" and town.serve.health())
    assert away.status_code == 200
    broker.start()
    assert until(lambda: town.serve.health().json()["broker"] == "ok")
    after = [town.run() for _ in range(2)]
    told = [f"{name} {max(each):.2f} s" for name, each in (("before", before), ("dead", without), ("after", after))]
    print(f"\nslowest of two runs: {', '.join(told)}")
    assert max(without) < max(before) + 4
    assert town.worker.process.poll() is None


def test_a_hand_that_ends_while_the_broker_is_away_is_replaced(town: Town, broker: Redis) -> None:
    hands = set(town.worker.children())
    broker.kill()
    for hand in hands:
        os.kill(hand, signal.SIGKILL)
    try:
        assert town.run() < 10
        assert not hands & set(town.worker.children())
    finally:
        broker.start()
    assert town.run() < 10
    assert town.worker.process.poll() is None


def test_hands_that_end_before_their_node_has_reached_the_broker_are_replaced(town: Town, broker: Redis) -> None:
    late = town.fleet.worker()
    hands = until(lambda: len(late.children()) == 2 and set(late.children()))
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        for hand in hands:
            os.kill(hand, signal.SIGKILL)
        time.sleep(0.5)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    late.ready()
    assert until(lambda: len(late.children()) == 2 and not hands & set(late.children()))
    assert late.stop() == Exit.OK


def test_a_ring_never_waits_for_a_broker_that_is_frozen(town: Town, broker: Redis) -> None:
    relay, stop = Relay(Courier(town.fleet.settings())), threading.Event()
    carrier = threading.Thread(target=relay.run, args=(stop,), daemon=True)
    carrier.start()
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        took = []
        for _ in range(200):
            began = time.monotonic()
            relay.ring(HINT)
            took.append(time.monotonic() - began)
        assert until(lambda: not relay.well and relay.lost, 5)
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert until(lambda: relay.well, 15), "it asks again by itself"
    stop.set()
    relay.wake_all()
    carrier.join(5)
    print(f"\nslowest of 200 rings: {max(took) * 1000:.1f} ms; rings not carried: {relay.lost}")
    assert max(took) < 0.1


def test_the_doctor_sees_both_servers_and_the_nodes(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DATABASE_URL", town.fleet.database), ("BROKER_URL", town.fleet.broker)):
        monkeypatch.setenv(f"SOAR_{name}", value)
    found = {each.check: each for check in (doctor._database, doctor._broker) for each in check(load())}
    assert {name: each.status for name, each in found.items() if name in ("database", "broker")} == {
        "database": "ok", "broker": "ok",
    }  # fmt: skip
    assert f"({town.serve.process.pid})" in found["nodes that serve"].said
    assert not [each for each in found.values() for secret in passwords(town.fleet.database) if secret in each.said]


def test_what_we_send_ourselves_is_heard() -> None:
    body = json.dumps(said(v=1, hint=HINT))
    assert hint_of({"task": "soar.work"}, "application/json", body) == HINT
    wrong: tuple[Any, ...] = (None, [], {"task": "other"})
    for headers in wrong:
        try:
            hint_of(headers, "application/json", body)
        except Invalid:
            continue
        raise AssertionError(headers)


def gone(number: int) -> bool:
    file = Path(f"/proc/{number}/stat")
    return not file.exists() or file.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_node_that_is_told_to_stop_leaves_nothing_in_doubt(town: Town) -> None:
    runs = [town.begin() for _ in range(12)]
    assert until(lambda: any(town.status(run) == "succeeded" for run in runs))
    hands = town.worker.children()
    began = time.monotonic()
    assert town.worker.stop() == Exit.OK
    print(f"\nstopped in {time.monotonic() - began:.1f} s")
    left = [run for run in runs if town.status(run) == "running"]
    assert not town.states() & {"calling", "in_doubt"}
    assert all(gone(hand) for hand in hands)
    town.worker = town.fleet.worker()
    town.worker.ready()
    assert until(lambda: all(town.status(run) != "running" for run in left))
    assert {town.status(run) for run in runs} == {"succeeded"}


def test_nothing_of_a_node_lives_on_when_it_is_killed(town: Town) -> None:
    hands = town.worker.children()
    assert len(hands) == 2
    os.kill(town.worker.process.pid, 9)
    town.worker.process.wait()
    assert until(lambda: all(gone(hand) for hand in hands), 5)
    for secret in passwords(town.fleet.database, town.fleet.broker):
        assert not [each.name for each in town.fleet.members if secret in each.said() + each.out.read_text()]
