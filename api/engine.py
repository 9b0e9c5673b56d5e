"""What every process of ours is built from, and the threads that it runs: one for each role that it plays."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

import evidence
import integrations
import integrations.sources
from api.bells import Bells, Relay, work_forever
from api.first import open_store
from api.keyring import read_keyring
from api.policy import policy_of, sharing_of
from evidence.collection import VaultCustodian
from evidence.vault import FolderVault
from soar.clock import boot_id
from soar.config import Settings
from soar.engine.drift import watch_register
from soar.engine.due import poll
from soar.engine.parts import Parts
from soar.engine.runner import Runner
from soar.errors import SoarError
from soar.ids import new_id
from soar.intake import Intake
from soar.playbook.trust.gate import Gate, TrustPolicy
from soar.ports import Adapter, Directory
from soar.registry import Registry
from soar.store import nodes, work
from soar.store.session import Store, Tx
from soar.store.work import Owner

log = structlog.get_logger("soar.engine")
NODE_SECONDS = 5.0
"""How often a node says that it lives."""
AWAY = (SoarError, sa.exc.SQLAlchemyError)
"""What a thread meets while the database is away; it goes on when that is back."""


class Role(StrEnum):
    """What a process does: answers, works, watches timers, asks connected systems what is so, seals the log."""

    API = "api"
    WORK = "work"
    TIME = "time"
    ASK = "ask"
    SEAL = "seal"


@dataclass(slots=True, kw_only=True)
class Engine:
    """The store, the connected systems and the engine over them; threads once it is started."""

    settings: Settings
    store: Store
    vault: FolderVault
    registry: Registry
    parts: Parts
    intake: Intake
    node: nodes.Node
    roles: frozenset[Role] = frozenset()
    bells: Bells | Relay = field(default_factory=Bells)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Run the threads of the roles that were given."""
        self.store.doorbell = self.bells
        if isinstance(self.bells, Relay):
            relay = self.bells
            self.thread("bell", lambda: relay.run(self.stop))
        elif Role.WORK in self.roles:
            self._workers(self.bells)
        if Role.TIME in self.roles:
            self.thread("poller", lambda: poll(self.parts, self.stop, self.bells.timers))
        if Role.ASK in self.roles:
            self.thread("resolver", lambda: self.intake.resolve_forever(self.stop))
            self.thread("register", lambda: watch_register(self.parts, self.stop))

    def _workers(self, bells: Bells) -> None:
        if self.store.embedded:
            self.store.write(work.reclaim)  # this process owns the data folder: every claim is a dead one's
        runners = [self.runner(f"worker-{number}") for number in range(self.settings.workers)]
        for runner in runners:
            self.thread(runner.owner.name, partial(work_forever, runner, bells, self.stop))
        self.thread("heart", lambda: beat(self, runners))

    def runner(self, name: str) -> Runner:
        """A worker of this process; no other process has one of its name."""
        claim = timedelta(seconds=self.settings.claim_seconds)
        return Runner(self.parts, Owner(f"{self.node.id}/{name}", boot_id(), claim), self.stop.is_set)

    def thread(self, name: str, run: Callable[[], Any]) -> None:
        """Run something until `stop` is set; what ends before that is told by `silent`."""
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        self.threads.append(thread)

    def silent(self) -> list[str]:
        """Threads that should run and do not."""
        return [thread.name for thread in self.threads if not thread.is_alive()]

    def close(self) -> None:
        """Stop taking new work, let what runs end, and let go of the database."""
        self.stop.set()
        self.bells.wake_all()
        for thread in self.threads:
            thread.join(timeout=30)
        self.store.close()


def _held(runners: Sequence[Runner]) -> list[str]:
    """The work rows that living workers hold now."""
    return [runner.holding for runner in runners if runner.holding]


def beat(engine: Engine, runners: Sequence[Runner]) -> None:
    """Lengthen what living workers hold, four times in the time of a claim."""
    claim = timedelta(seconds=engine.settings.claim_seconds)
    while not engine.stop.wait(claim.total_seconds() / 4):
        held = _held(runners)
        if held:
            _try(engine, "heart_stumbled", partial(work.extend, held=held, claim=claim))


def say_living(engine: Engine, dropped: Callable[[], int] = lambda: 0) -> None:
    """Say every few seconds that this node lives, and that it has gone when it goes in order."""
    while True:
        seen = partial(nodes.seen, node=engine.node, dropped=dropped(), silent=len(engine.silent()))
        _try(engine, "node_unheard", seen)
        if engine.stop.wait(NODE_SECONDS):
            break
    _try(engine, "node_unheard", lambda tx: nodes.gone(tx, engine.node.id))


def _try(engine: Engine, what: str, function: Callable[[Tx], Any]) -> None:
    try:
        engine.store.write(function)
    except AWAY as error:
        log.warning(what, reason=str(error).partition("\n")[0])


def assemble(settings: Settings, kind: str) -> Mapping[str, Any]:
    """What every process of ours is built from, by the names of `Engine`; the database must be up to date."""
    store = open_store(settings)
    vault = FolderVault(settings.data / "vault")
    registry = Registry()
    for package in (integrations, integrations.sources, evidence):
        registry.scan(package)
    adapters = connect(registry, settings.adapters)
    directories = tuple(each for each in adapters.values() if isinstance(each, Directory))
    policy = policy_of(settings.guards, settings.adapter_limits, sharing_of(settings))
    gate = Gate(read_keyring(settings.trust.keys), TrustPolicy(signed_only=settings.trust.signed_only))
    parts = Parts(
        store=store, adapters=adapters, custodian=VaultCustodian(store, vault, store.clock), policy=policy,
        clock=store.clock, directories=directories, drift_seconds=settings.drift_seconds,
        sweep_seconds=min(10.0, settings.claim_seconds / 2),
        gate=gate, longest_step=timedelta(days=settings.longest_step_days),
    )  # fmt: skip
    intake = Intake(
        store=store, vault=vault, directories=directories, may_start=policy.configured, gate=gate,
        dedupe=timedelta(hours=settings.dedupe_hours), correlate=timedelta(hours=settings.correlation_hours),
    )  # fmt: skip
    node = nodes.Node(new_id(), kind, socket.gethostname(), os.getpid())
    return {
        "settings": settings, "store": store, "vault": vault, "registry": registry, "parts": parts,
        "intake": intake, "node": node,
    }  # fmt: skip


def connect(registry: Registry, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, Adapter]:
    """Connect what is configured, and YARA always; what cannot be connected is an error that names it."""
    configured = {"yara": {"kind": "yara"}, **wanted}
    adapters = {}
    for name, given in configured.items():
        settings = dict(given)
        kind = str(settings.pop("kind", name))
        for ours in ("limits", "highest_tlp"):  # how fast it is called, what may go there
            settings.pop(ours, None)
        adapters[name] = registry.connect(name, kind, settings)
    return adapters
