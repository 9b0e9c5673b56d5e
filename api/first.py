"""What must be so before anybody works: whose data folder it is, which key signs, what a database begins with."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from evidence.signer import Ed25519Signer
from playbooks import shipped
from soar.clock import Anchor, SystemClock, boot_id
from soar.config import Settings
from soar.engine import schedules
from soar.errors import Conflict, Invalid
from soar.events import Kind
from soar.ids import new_id
from soar.model import ENGINE
from soar.playbook.cacao import cacao_form
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form
from soar.store import people, runs, streams
from soar.store.session import Store, Tx
from soar.store.tables import meta, persons

_SIGNING_KEY = "signing_key"


def own(data: Path, *, alone: bool) -> IO[str]:
    """Hold the data folder. With its own database one process has it alone; else several may share it.

    Raises Conflict when somebody holds it in a way that does not go with this.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (data / "lock").open("w", encoding="ascii")
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Conflict(f"another process owns the data folder {data}") from error
    return lock


def signer(settings: Settings) -> Ed25519Signer:
    """The key that signs; made at the very first start."""
    path = settings.data / "signing-key.pem"
    if path.exists():
        return Ed25519Signer.load(path, settings.origin)
    if any((settings.data / "checkpoints").glob("checkpoint-*.txt")):
        raise Conflict(f"{path} is gone, but the log was signed with it: put it back before starting")
    return Ed25519Signer.generate(path, settings.origin)


def open_store(settings: Settings) -> Store:
    """The store, with the clock going on from where it was in this boot of this machine."""
    first = Store(settings.url, SystemClock())
    name = "clock" if first.embedded else f"clock:{boot_id()}"
    with first.read() as conn:
        anchor = conn.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar()
    first.close()
    clock = SystemClock(Anchor.from_plain(anchor) if anchor else None)
    store = Store(settings.url, clock)
    plain = clock.anchor.as_plain()
    if plain != anchor:
        store.write(lambda tx: _keep(tx, name, plain))
    return store


def prepare(tx: Tx, settings: Settings, adapters: Iterable[str]) -> None:
    """Note the start, and take in the playbooks."""
    data = {"start": new_id(), "adapters": sorted(adapters)}
    streams.append(tx, streams.SYSTEM, Kind.SYSTEM_STARTED, data=data)
    people.keep_same_day_rule(tx, settings.guards.same_day_issuer)
    for path in [*shipped(), *settings.playbooks]:
        playbook = _playbook(path)
        if runs.save_playbook(tx, playbook):
            streams.append(
                tx,
                streams.SYSTEM,
                Kind.PLAYBOOK_LOADED,
                data={"playbook": playbook.known_as, "digest": playbook.digest},
            )
    schedules.arm(tx)


def one_key(tx: Tx, key: Ed25519Signer, data: Path) -> None:
    """Every process that signs for this database must do so with the same key; raises Conflict."""
    mine = key.public_key.hex()
    known = tx.conn.execute(sa.select(meta.c.value).where(meta.c.name == _SIGNING_KEY)).scalar()
    if known is None:
        _keep(tx, _SIGNING_KEY, mine)
    elif known != mine:
        raise Conflict(
            f"{data / 'signing-key.pem'} is not the key that this house signs with: "
            "copy signing-key.pem from the node that was started first, or share its data folder"
        )


def administrator(tx: Tx) -> str | None:
    """On the very first start: an administrator; returns the key."""
    if tx.conn.execute(sa.select(persons.c.id)).first() is not None:
        return None
    admin = people.add_person(tx, "admin", ["admin"], ENGINE)
    return people.issue_key(tx, ENGINE, person_id=admin)


def _keep(tx: Tx, name: str, value: object) -> None:
    if not tx.conn.execute(meta.update().where(meta.c.name == name).values(value=value)).rowcount:
        tx.conn.execute(meta.insert().values(name=name, value=value))


def _playbook(path: Path) -> Playbook:
    """A playbook of the library or the settings; raises Invalid that names the file."""
    try:
        load = cacao_form.load if path.suffix.lower() == ".json" else yaml_form.load
        return load(path.read_bytes())
    except OSError as error:
        raise Invalid(f"the playbook {path} cannot be read: {error.strerror}") from error
    except Invalid as error:
        raise Invalid(f"the playbook {path} is not right: {error}", error.problems) from error
