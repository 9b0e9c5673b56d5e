"""The only place that builds: settings in, a running house out, read top to bottom."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
import structlog

import evidence
import integrations
import integrations.sources
from api.migrate import migrate
from evidence.collection import VaultCustodian
from evidence.export import give_up
from evidence.sealer import Sealer
from evidence.signer import Ed25519Signer
from evidence.vault import FolderVault
from playbooks import shipped
from soar.clock import Anchor, SystemClock, boot_id
from soar.config import GuardSettings, ProtectionSettings, Settings, check_secrets
from soar.engine.due import poll
from soar.engine.parts import Parts
from soar.engine.runner import Runner
from soar.errors import Conflict, Invalid, SoarError
from soar.events import Kind
from soar.guards.policy import Cap, Freeze, Policy, Protection
from soar.ids import new_id
from soar.intake import Intake
from soar.model import ENGINE
from soar.playbook import yaml_form
from soar.playbook.model import Playbook
from soar.ports import Adapter, Directory
from soar.registry import Registry
from soar.store import people, runs, streams, work
from soar.store.session import Store, Tx
from soar.store.tables import meta, persons

log = structlog.get_logger("soar.wiring")


@dataclass(slots=True)
class House:
    """Everything that was built, for the doors to use."""

    settings: Settings
    store: Store
    vault: FolderVault
    registry: Registry
    parts: Parts
    intake: Intake
    sealer: Sealer
    signer: Ed25519Signer
    lock: IO[str]
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    first_key: str | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start the workers, the poller and the sealer."""
        boot = boot_id()
        bells = Bells()
        self.store.write(work.reclaim)  # this process owns the data folder: every claim is a dead one's
        self.store.doorbell = bells
        runners = [Runner(self.parts, f"worker-{number}", boot) for number in range(self.settings.workers)]
        for runner in runners:
            self._thread(runner.name, lambda runner=runner: work_forever(runner, bells, self.stop))
        held = partial(_held, runners)
        self._thread("poller", lambda: poll(self.parts, self.stop, bells.timers, held))
        self._thread("sealer", lambda: self.sealer.run(self.stop))
        self._thread("resolver", lambda: self.intake.resolve_forever(self.stop))

    def silent(self) -> list[str]:
        """Threads that should run and do not."""
        return [thread.name for thread in self.threads if not thread.is_alive()]

    def close(self) -> None:
        """Stop taking new work, let what runs end, and let go of the data folder."""
        self.stop.set()
        if isinstance(self.store.doorbell, Bells):
            self.store.doorbell.wake_all()
        for thread in self.threads:
            thread.join(timeout=30)
        self.store.close()
        self.lock.close()

    def _thread(self, name: str, run: Any) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        self.threads.append(thread)


class Bells:
    """The embedded doorbell: wakes the worker threads and the poller of this process."""

    def __init__(self) -> None:
        self.work = threading.Condition()
        self.timers = threading.Event()
        self.rung = 0

    def ring(self, work_id: str = "") -> None:
        if not work_id:
            self.timers.set()
            return
        with self.work:
            self.rung += 1
            self.work.notify_all()

    def wake_all(self) -> None:
        """Wake everybody, so that they see that it is time to stop."""
        self.ring("everybody")
        self.ring()


def _held(runners: Iterable[Runner]) -> list[str]:
    """The work rows that living workers hold now."""
    return [runner.holding for runner in runners]


def work_forever(runner: Runner, bells: Bells, stop: threading.Event) -> None:
    """Work while there is work; else sleep until the bell rings, or a second has gone."""
    while not stop.is_set():
        heard = bells.rung
        try:
            if runner.work_once():
                continue
        except SoarError as error:
            log.warning("work_failed", worker=runner.name, reason=error.message)
        with bells.work:
            if bells.rung == heard:
                bells.work.wait(1.0)


def build(settings: Settings) -> House:
    """Build everything from the settings; raises Conflict when another process owns the data folder."""
    if sa.make_url(settings.url).get_backend_name() != "sqlite":
        raise Invalid("database_url: this version keeps its data in SQLite; leave it unset")
    check_secrets(settings)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = own(settings.data)
    try:
        signer = _signer(settings)
        migrate(settings.url)
        return _furnish(settings, lock, signer)
    except BaseException:
        lock.close()
        raise


def _furnish(settings: Settings, lock: IO[str], signer: Ed25519Signer) -> House:
    """The house over a data folder that is ours and a database that is up to date."""
    store = _open_store(settings)
    vault = FolderVault(settings.data / "vault")
    registry = Registry()
    for package in (integrations, integrations.sources, evidence):
        registry.scan(package)
    adapters = _connect(registry, settings.adapters)
    directories = tuple(each for each in adapters.values() if isinstance(each, Directory))
    policy = policy_of(settings.guards)
    parts = Parts(
        store=store, adapters=adapters, custodian=VaultCustodian(store, vault, store.clock), policy=policy,
        clock=store.clock, directories=directories,
    )  # fmt: skip
    house = House(
        settings=settings, store=store, vault=vault, registry=registry, parts=parts, lock=lock, signer=signer,
        sealer=Sealer(store, signer, settings.origin, settings.data / "checkpoints"),
        intake=Intake(
            store=store, vault=vault, directories=directories, may_start=policy.configured,
            dedupe=timedelta(hours=settings.dedupe_hours), correlate=timedelta(hours=settings.correlation_hours),
        ),
    )  # fmt: skip
    vault.sweep()
    give_up(store, settings.data / "packages")
    house.first_key = store.write(lambda tx: _first_start(tx, settings, adapters))
    return house


def own(data: Path) -> IO[str]:
    """One process owns a data folder: its claims and threads are the only ones."""
    lock = (data / "lock").open("w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Conflict(f"another process owns the data folder {data}") from error
    return lock


def _open_store(settings: Settings) -> Store:
    """The store, with the clock going on from where it was in this boot."""
    first = Store(settings.url, SystemClock())
    with first.read() as conn:
        anchor = conn.execute(sa.select(meta.c.value).where(meta.c.name == "clock")).scalar()
    first.close()
    clock = SystemClock(Anchor.from_plain(anchor) if anchor else None)
    store = Store(settings.url, clock)
    plain = clock.anchor.as_plain()

    def keep(tx: Tx) -> None:
        if not tx.conn.execute(meta.update().where(meta.c.name == "clock").values(value=plain)).rowcount:
            tx.conn.execute(meta.insert().values(name="clock", value=plain))

    store.write(keep)
    return store


def _connect(registry: Registry, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, Adapter]:
    """Connect what is configured, and YARA always; what cannot be connected is an error that names it."""
    configured = {"yara": {"kind": "yara"}, **wanted}
    adapters = {}
    for name, given in configured.items():
        settings = dict(given)
        kind = str(settings.pop("kind", name))
        adapters[name] = registry.connect(name, kind, settings)
    return adapters


def policy_of(settings: GuardSettings) -> Policy:
    """The guards' policy as configured."""
    return Policy(
        hard=_protection(settings.hard),
        soft=_protection(settings.soft),
        configured=settings.hard is not None or settings.soft is not None,
        never_block_networks=tuple(settings.never_block_networks),
        never_block_domains=frozenset(settings.never_block_domains),
        resolvers=tuple(settings.resolvers),
        blockable_networks=tuple(settings.blockable_networks),
        widest_v4=settings.widest_v4,
        widest_v6=settings.widest_v6,
        caps={
            verb: Cap(per_run=cap.per_run, per_hour=cap.per_hour, share_of_group=cap.share_of_group)
            for verb, cap in settings.caps.items()
        },
        freezes=tuple(Freeze(name=each.name, start=each.start, end=each.end) for each in settings.freezes),
        block_confidence=settings.block_confidence,
        evidence_box=settings.evidence_box,
    )


def _protection(settings: ProtectionSettings | None) -> Protection:
    if settings is None:
        return Protection()
    return Protection(
        ids=frozenset(settings.ids), names=settings.names, tags=frozenset(settings.tags),
        groups=frozenset(settings.groups), networks=tuple(settings.networks),
    )  # fmt: skip


def _signer(settings: Settings) -> Ed25519Signer:
    path = settings.data / "signing-key.pem"
    if path.exists():
        return Ed25519Signer.load(path, settings.origin)
    if any((settings.data / "checkpoints").glob("checkpoint-*.txt")):
        raise Conflict(f"{path} is gone, but the log was signed with it: put it back before starting")
    return Ed25519Signer.generate(path, settings.origin)


def _playbook(path: Path) -> Playbook:
    """A playbook of the library or the settings; raises Invalid that names the file."""
    try:
        return yaml_form.load(path.read_bytes())
    except OSError as error:
        raise Invalid(f"the playbook {path} cannot be read: {error.strerror}") from error
    except Invalid as error:
        raise Invalid(f"the playbook {path} is not right: {error}", error.problems) from error


def _first_start(tx: Tx, settings: Settings, adapters: Iterable[str]) -> str | None:
    """Note the start, take in the playbooks, and on the very first one make an administrator."""
    data = {"start": new_id(), "adapters": sorted(adapters)}
    streams.append(tx, streams.SYSTEM, Kind.SYSTEM_STARTED, data=data)
    people.keep_same_day_rule(tx, settings.guards.same_day_issuer)
    for path in [*shipped(), *settings.playbooks]:
        playbook = _playbook(path)
        if runs.save_playbook(tx, playbook):
            streams.append(
                tx, streams.SYSTEM, Kind.PLAYBOOK_LOADED, data={"playbook": playbook.slug, "digest": playbook.digest}
            )
    if tx.conn.execute(sa.select(persons.c.id)).first() is not None:
        return None
    admin = people.add_person(tx, "admin", ["admin"], ENGINE)
    return people.issue_key(tx, ENGINE, person_id=admin)
