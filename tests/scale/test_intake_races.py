"""Many at once, on both databases: nothing is lost, nothing is counted twice, one question has one answer."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from evidence.collection import VaultCustodian, custody_of, handle
from evidence.custody import problems
from evidence.merkle import Tree, leaf_hash
from evidence.sealer import Sealer
from evidence.signer import Ed25519Signer
from evidence.vault import FolderVault
from soar.clock import SystemClock
from soar.engine import approving, asking
from soar.errors import Conflict, SoarError
from soar.events import Kind
from soar.ids import new_id
from soar.intake import INLINE, Intake
from soar.model import ENGINE, Actor, Alert, Item, Observable, Severity
from soar.observables import observable
from soar.store import incidents, people, streams, tasks
from soar.store.session import Store, Tx
from soar.store.tables import (
    alerts,
    approvals,
    deliveries,
    events,
    evidence_items,
    leaves,
    links,
    meta,
    runs,
    unsealed,
    votes,
)  # fmt: skip
from soar.store.tables import incidents as incident_rows

SIEM = Actor(kind="service", id="elastic", name="elastic")
CLIENTS = 20


@dataclass
class Nodes:
    """The stores of several nodes over one database; on SQLite one process owns it, so there is one."""

    stores: list[Store]
    intakes: list[Intake]

    @property
    def store(self) -> Store:
        return self.stores[0]

    def at_once(self, *calls: Callable[[int], Any]) -> list[Any]:
        """Do all of these at the same moment, dealt out to the nodes; results and the house's errors, in order."""
        gate = threading.Barrier(len(calls))
        found: list[Any] = [None] * len(calls)

        def run(number: int) -> None:
            gate.wait()
            try:
                found[number] = calls[number](number % len(self.stores))
            except SoarError as error:
                found[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return found

    def rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        with self.store.read() as conn:
            return conn.execute(query).all()

    def chains_hold(self) -> None:
        """Every stream is unbroken and without a gap."""
        with self.store.read() as conn:
            for name in streams.names(conn):
                assert streams.verify(conn, name)[1] == []


@pytest.fixture
def nodes(database_url: str, tmp_path: Path) -> Iterator[Nodes]:
    vault = FolderVault(tmp_path / "vault")
    count = 1 if database_url.startswith("sqlite") else 4
    stores = [Store(database_url, SystemClock()) for _ in range(count)]
    day = timedelta(hours=24)
    intakes = [
        Intake(store=store, vault=vault, directories=(), may_start=False, dedupe=day, correlate=day) for store in stores
    ]
    yield Nodes(stores, intakes)
    for store in stores:
        store.close()


def finding(ident: str, dedupe: str = "", address: str = "", **more: Any) -> Alert:
    now = datetime.now(UTC)
    seen = (Observable(type="ipv4-addr", value=address),) if address else ()
    given: dict[str, Any] = {
        "source": "elastic", "source_alert_id": ident, "rule_id": "r-1", "rule_name": "Ransom note",
        "title": "Ransom note", "severity": Severity.HIGH, "occurred_at": now, "raised_at": now, "mentions": (),
        "dedupe_key": dedupe or ident, "observables": seen, "facts": {"severity_id": 4}, **more,
    }  # fmt: skip
    return Alert(**given)


def report(nodes: Nodes, node: int, delivery: str, *found: Alert, raw: bytes = b"{}") -> dict[str, Any]:
    return nodes.intakes[node].receive("elastic", delivery, raw, found, SIEM)


def test_one_delivery_that_comes_many_times_at_once_is_taken_in_once(nodes: Nodes) -> None:
    got = nodes.at_once(*[lambda node: report(nodes, node, "d-1", finding("a-1"))] * CLIENTS)
    assert Counter(each["replayed"] for each in got) == {False: 1, True: CLIENTS - 1}
    assert len({each["alerts"][0]["alert"] for each in got}) == 1
    assert [row.count for row in nodes.rows(sa.select(alerts.c.count))] == [1]
    nodes.chains_hold()


def test_of_two_bodies_with_one_delivery_id_one_is_taken_and_the_other_refused(nodes: Nodes) -> None:
    calls = [
        lambda node, number=number: report(nodes, node, "d-1", finding(f"a-{number}"), raw=b"%d" % number)
        for number in range(CLIENTS)
    ]
    got = nodes.at_once(*calls)
    assert sum(isinstance(each, dict) for each in got) == 1
    assert sum(isinstance(each, Conflict) for each in got) == CLIENTS - 1
    assert len(nodes.rows(sa.select(alerts.c.id))) == 1
    assert len(nodes.rows(sa.select(deliveries.c.id))) == 1


@pytest.mark.parametrize("same", ["dedupe key", "source id"])
def test_equal_alerts_of_many_clients_are_one_alert_with_the_exact_count(nodes: Nodes, same: str) -> None:
    each_sends = 10

    def client(name: int) -> Callable[[int], Any]:
        def send(node: int) -> set[str]:
            taken = set()
            for number in range(each_sends):
                unique = f"{name}-{number}"
                alert = finding(unique, "k") if same == "dedupe key" else finding("a-1", unique)
                taken.add(report(nodes, node, unique, alert)["alerts"][0]["incident"])
            return taken

        return send

    got = nodes.at_once(*(client(name) for name in range(CLIENTS)))
    assert all(isinstance(each, set) for each in got), got
    assert len(set().union(*got)) == 1
    assert [row.count for row in nodes.rows(sa.select(alerts.c.count))] == [CLIENTS * each_sends]
    assert len(nodes.rows(sa.select(incident_rows.c.id))) == 1
    nodes.chains_hold()


def test_alerts_that_share_an_address_at_the_same_moment_land_in_one_incident(nodes: Nodes) -> None:
    for turn in range(5):
        calls = [
            lambda node, ident=f"{turn}-{number}", turn=turn: report(
                nodes, node, ident, finding(ident, address=f"198.51.100.{turn + 1}")
            )
            for number in range(8)
        ]
        got = nodes.at_once(*calls)
        assert len({each["alerts"][0]["incident"] for each in got}) == 1
        assert Counter(each["alerts"][0]["outcome"] for each in got) == {"opened": 1, "joined": 7}
    assert len(nodes.rows(sa.select(links.c.id))) == 5
    nodes.chains_hold()


def test_deliveries_that_name_the_same_things_in_another_order_do_not_lock_each_other_out(nodes: Nodes) -> None:
    places = [f"198.51.100.{number}" for number in range(1, 9)]

    def batch(number: int) -> Callable[[int], Any]:
        order = places if number % 2 else places[::-1]
        found = [finding(f"{number}-{place}", address=place) for place in order]
        return lambda node: report(nodes, node, f"d-{number}", *found)

    got = nodes.at_once(*(batch(number) for number in range(8)))
    assert all(isinstance(each, dict) for each in got), got
    assert len(nodes.rows(sa.select(incident_rows.c.id))) == len(places)
    assert len(nodes.rows(sa.select(alerts.c.id))) == 64


def _small(nodes: Nodes, number: int, alert: Alert, node: int) -> dict[str, Any]:
    return report(nodes, node, f"s-{number}", alert)


def test_a_delivery_of_five_hundred_alerts_goes_in_beside_many_small_ones(nodes: Nodes) -> None:
    many = [finding(f"big-{number}", "alike", f"198.51.100.{number % 200 + 1}") for number in range(500)]
    calls: list[Callable[[int], Any]] = [lambda node: report(nodes, node, "big", *many)]
    for number in range(8):
        alert = finding(f"s-{number}", address=f"198.51.100.{number + 1}")
        calls.append(partial(_small, nodes, number, alert))
    got = nodes.at_once(*calls)
    assert all(isinstance(each, dict) for each in got), got
    assert sum(row.count for row in nodes.rows(sa.select(alerts.c.count))) == 508


def test_different_alerts_of_many_clients_open_an_incident_each_with_a_number_of_its_own(nodes: Nodes) -> None:
    calls = [lambda node, n=number: report(nodes, node, f"d-{n}", finding(f"a-{n}")) for number in range(CLIENTS)]
    got = nodes.at_once(*calls)
    assert all(isinstance(each, dict) for each in got), got
    assert sorted(row.number for row in nodes.rows(sa.select(incident_rows.c.number))) == list(range(1, CLIENTS + 1))


def test_a_small_body_is_stored_with_its_delivery_and_a_large_one_in_the_vault(nodes: Nodes) -> None:
    small, large = b"s" * INLINE, b"l" * (INLINE + 1)
    report(nodes, 0, "small", finding("a-1"), raw=small)
    report(nodes, 0, "large", finding("a-2"), raw=large)
    stored = {row.delivery_id: row for row in nodes.rows(sa.select(deliveries))}
    assert (stored["small"].raw, stored["large"].raw) == (small, None)
    with nodes.intakes[0].vault.open(stored["large"].body_sha256) as blob:
        assert blob.read() == large


def open_approval(tx: Tx, starter: Actor, persons: int = 1) -> str:
    incident = incidents.open_new(tx, "t", Severity.LOW, ENGINE, "w")
    run, asked = new_id(), new_id()
    tx.conn.execute(
        runs.insert().values(
            id=run, incident_id=incident, playbook_digest="p", playbook_slug="p", status="running", state={},
            inputs={}, why="", started_by=starter.id, automatic=False, priority=1, created_at=tx.now,
        )
    )  # fmt: skip
    tx.conn.execute(
        approvals.insert().values(
            id=asked, incident_id=incident, run_id=run, subject="s", digest="d" * 64, digests=["d" * 64],
            any_of=["responder"], persons=persons, on_timeout="deny", status="open", asked_by=starter.id,
            asked_at=tx.now, escalations=0,
        )
    )  # fmt: skip
    return asked


def persons(nodes: Nodes, count: int, role: str = "responder") -> list[Actor]:
    names = [f"p-{number}" for number in range(count)]
    made = nodes.store.write(lambda tx: [people.add_person(tx, name, [role], ENGINE) for name in names])
    held = frozenset({role})
    return [Actor(kind="person", id=ident, name=name, roles=held) for ident, name in zip(made, names, strict=True)]


def test_of_fifty_votes_at_once_one_decides_and_all_others_are_told(nodes: Nodes) -> None:
    nodes.store.write(lambda tx: streams.append(tx, streams.SYSTEM, Kind.SYSTEM_STARTED))
    starter, *voters = persons(nodes, 51)
    asked = nodes.store.write(lambda tx: open_approval(tx, starter))

    def vote(who: Actor, decision: str) -> Callable[[int], Any]:
        def cast(tx: Tx) -> Any:
            return approving.vote(tx, asked, who, decision, "seen", "d" * 64)

        return lambda node: nodes.stores[node].write(cast)

    got = nodes.at_once(*(vote(who, ("approve", "deny")[n % 2]) for n, who in enumerate(voters)))
    assert sum(isinstance(each, Conflict) for each in got) == 49, got
    assert len(nodes.rows(sa.select(votes.c.id))) == 1
    status = nodes.rows(sa.select(approvals.c.status))[0].status
    decision = nodes.rows(sa.select(votes.c.decision))[0].decision
    assert status == {"approve": "approved", "deny": "denied"}[decision]
    decided = nodes.rows(sa.select(events.c.id).where(events.c.kind == Kind.APPROVAL_DECIDED.value))
    assert len(decided) == 1
    nodes.chains_hold()


def test_of_many_answers_to_one_task_one_stands(nodes: Nodes) -> None:
    def ask(tx: Tx) -> str:
        incident = incidents.open_new(tx, "t", Severity.LOW, ENGINE, "w")
        return tasks.open_task(tx, incident, kind="manual", text="What?", asks={"note": "str"})

    task = nodes.store.write(ask)

    def answer(number: int) -> Callable[[int], Any]:
        who = Actor(kind="person", id=f"p-{number}", name="p")
        return lambda node: nodes.stores[node].write(lambda tx: asking.answer(tx, task, who, {"note": str(number)}))

    got = nodes.at_once(*(answer(number) for number in range(CLIENTS)))
    winners = [number for number, each in enumerate(got) if each is None]
    assert len(winners) == 1
    with nodes.store.read() as conn:
        assert tasks.get(conn, task).answer == {"note": str(winners[0])}
    assert len(nodes.rows(sa.select(events.c.id).where(events.c.kind == Kind.TASK_DONE.value))) == 1


def test_administrators_who_demote_each_other_at_once_leave_one(nodes: Nodes) -> None:
    admins = persons(nodes, 6, "admin")

    def demote(who: Actor) -> Callable[[int], Any]:
        def write(tx: Tx) -> None:
            people.change_person(tx, who.id, active=True, wanted=["viewer"], by=ENGINE)

        return lambda node: nodes.stores[node].write(write)

    got = nodes.at_once(*(demote(who) for who in admins))
    assert sum(isinstance(each, Conflict) for each in got) == 1
    with nodes.store.read() as conn:
        assert sum("admin" in each["roles"] for each in people.everyone(conn)) == 1


def test_two_persons_of_one_name_are_one_person_and_a_conflict(nodes: Nodes) -> None:
    calls = [lambda node: nodes.stores[node].write(lambda tx: people.add_person(tx, "ann", ["viewer"], ENGINE))] * 8
    got = nodes.at_once(*calls)
    assert sum(isinstance(each, Conflict) for each in got) == 7


def test_a_setting_that_all_nodes_write_at_their_start_is_one_row(nodes: Nodes) -> None:
    calls = [lambda node: nodes.stores[node].write(lambda tx: people.keep_same_day_rule(tx, "strict"))] * 8
    assert nodes.at_once(*calls) == [None] * 8
    assert len(nodes.rows(sa.select(meta.c.name))) == 1


def test_evidence_taken_in_at_once_gets_numbers_without_a_gap_and_an_unbroken_custody(
    nodes: Nodes, tmp_path: Path
) -> None:
    vault = FolderVault(tmp_path / "vault")
    incident = nodes.store.write(lambda tx: incidents.open_new(tx, "t", Severity.LOW, ENGINE, "w"))

    def take(number: int) -> Callable[[int], Any]:
        def put(node: int) -> str:
            store = nodes.stores[node]
            taken = VaultCustodian(store, vault, store.clock).collect(
                incident_id=incident, action_id=f"a-{number}", target="host:ws-1", actor="service:x"
            )
            item = Item(name="m", evidence_class="memory", source="ws-1", path="/m", method="copy", tool="t")
            stored = taken.put(item, io.BytesIO(b"%d" % number))
            store.write(taken.record)
            return stored.id

        return put

    items = nodes.at_once(*(take(number) for number in range(10)))
    exhibits = [row.exhibit for row in nodes.rows(sa.select(evidence_items.c.exhibit))]
    assert sorted(exhibits) == [f"INC-1-E{number:04d}" for number in range(1, 11)]

    def read(node: int) -> None:
        nodes.stores[node].write(lambda tx: handle(tx, items[0], "read", ENGINE, "to look"))

    assert nodes.at_once(*[read] * 10) == [None] * 10
    with nodes.store.read() as conn:
        chain = custody_of(conn, items[0])
    assert [entry.seq for entry in chain] == list(range(11))
    assert problems(chain) == []


def test_several_sealers_and_a_flood_of_alerts_make_one_log_without_a_gap(nodes: Nodes, tmp_path: Path) -> None:
    signer = Ed25519Signer.generate(tmp_path / "key.pem", "o")
    sealers = [Sealer(store, signer, "o", tmp_path / f"n{n}") for n, store in enumerate(nodes.stores * 2)]
    ready = threading.Event()

    def seal(sealer: Sealer) -> Callable[[int], Any]:
        def work(_: int) -> None:
            while not ready.is_set():
                sealer.seal()

        return work

    def flood(name: int) -> Callable[[int], Any]:
        def work(node: int) -> None:
            for number in range(30):
                report(nodes, node, f"{name}-{number}", finding(f"{name}-{number}", f"k-{name}"))
            if name == 0:
                ready.set()

        return work

    got = nodes.at_once(*(seal(each) for each in sealers), *(flood(name) for name in range(4)))
    assert got == [None] * len(got)
    sealers[-1].seal()
    assert nodes.rows(sa.select(unsealed)) == []
    stored = nodes.rows(
        sa.select(leaves, events.c.body).join(events, events.c.id == leaves.c.event_id).order_by("leaf_index")
    )
    assert [row.leaf_index for row in stored] == list(range(len(nodes.rows(sa.select(events.c.id)))))
    tree = Tree()
    for row in stored:
        assert bytes.fromhex(row.hash) == leaf_hash(bytes(row.body))
        tree.append_hash(bytes.fromhex(row.hash))
    with nodes.store.read() as conn:
        last = conn.execute(sa.text("SELECT root, size FROM checkpoints ORDER BY size DESC LIMIT 1")).one()
    assert (last.root, last.size) == (tree.root().hex(), tree.size)


def test_the_longest_values_that_a_source_may_name_are_taken_in(nodes: Nodes) -> None:
    noise = "".join(chr(0x20000 + number * 7919 % 40_000) for number in range(255))
    url = observable("url", "https://x.example/" + hashlib.shake_256(b"url").hexdigest(1015))
    assert url is not None
    assert len(url.value) == 2048
    assert observable("url", "https://x.example/" + noise * 4) is None
    alert = finding(noise, noise, observables=(url,), title=noise)
    assert report(nodes, 0, "d-1", alert)["alerts"][0]["outcome"] == "opened"
