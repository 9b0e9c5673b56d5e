"""The only place that builds: settings in, a running house out, read top to bottom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, Any

from api import first
from api.bells import Bells, Relay
from api.engine import Engine, Role, assemble, say_living
from api.migrate import alone, migrate
from evidence.export import give_up
from evidence.sealer import Sealer
from evidence.signer import Ed25519Signer
from soar.config import Settings, check_secrets
from soar.errors import Invalid
from soar.store import nodes
from soar.store.session import Store, Tx


@dataclass(slots=True, kw_only=True)
class House(Engine):
    """Everything that was built, for the doors to use."""

    sealer: Sealer
    signer: Ed25519Signer
    lock: IO[str]
    first_key: str | None = field(default=None, repr=False)

    def start(self) -> None:
        """Run the threads of this house's roles."""
        super(House, self).start()
        if Role.SEAL in self.roles:
            self.thread("sealer", lambda: self.sealer.run(self.stop))
        if not self.store.embedded:
            self.thread("node", lambda: say_living(self))

    def close(self) -> None:
        """Stop taking new work, let what runs end, and let go of the data folder."""
        super(House, self).close()
        self.lock.close()


def build(settings: Settings) -> House:
    """The house that `soar serve` runs. Without a broker it works by itself; with one, workers do.

    Raises Conflict when another process owns the data folder, Invalid for settings that do not go
    together, what the database raises when it cannot be had.
    """
    embedded = _embedded(settings)
    check_secrets(settings)
    _reach_broker(settings)
    lock = first.own(settings.data, alone=embedded)
    try:
        with alone(settings.url):
            signer = first.signer(settings)
            migrate(settings.url)
            return _furnish(settings, lock, signer)
    except BaseException:
        lock.close()
        raise


def rehearse(settings: Settings) -> None:
    """Everything that a worker node needs, built once and let go of; raises what `build` raises."""
    _reach_broker(settings)
    with first.own(settings.data, alone=False), alone(settings.url):
        migrate(settings.url)
        engine = Engine(**assemble(settings, "worker"))
        engine.store.write(lambda tx: first.prepare(tx, settings, engine.parts.adapters))
        engine.close()


def move_in(settings: Settings, *, leads: bool) -> Engine:
    """The engine of one child of a worker node; the one that leads asks connected systems too.

    Each watches timers: so one that a hand sets for at once fires at once.
    """
    roles = {Role.WORK, Role.TIME, Role.ASK} if leads else {Role.WORK, Role.TIME}
    return Engine(**assemble(settings, "worker"), roles=frozenset(roles), bells=_bells(settings))


def _embedded(settings: Settings) -> bool:
    embedded = not settings.url.startswith("postgresql")
    if embedded and settings.broker_url:
        raise Invalid(
            "broker_url: workers elsewhere need PostgreSQL. "
            "Set database_url (SOAR_DATABASE_URL) to postgresql://..., or leave broker_url out"
        )
    return embedded


def _reach_broker(settings: Settings) -> None:
    """A broker that is away at the start is most likely a wrong address: raises Unavailable."""
    if settings.broker_url:
        from api.worker import Courier

        courier = Courier(settings)
        courier.ask()
        courier.close()


def _furnish(settings: Settings, lock: IO[str], signer: Ed25519Signer) -> House:
    """The house over a data folder that is ours and a database that is up to date."""
    roles = frozenset(Role) - ({Role.WORK} if settings.broker_url else set())
    built = assemble(settings, "serve")
    store: Store = built["store"]
    sealer = Sealer(store, signer, settings.origin, settings.data / "checkpoints")
    house = House(**built, roles=roles, bells=_bells(settings), lock=lock, signer=signer, sealer=sealer)
    house.vault.sweep()
    if _only_one(house):
        give_up(store, settings.data / "packages")

    def begin(tx: Tx) -> str | None:
        first.one_key(tx, signer, settings.data)
        first.prepare(tx, settings, house.parts.adapters)
        return first.administrator(tx)

    house.first_key = store.write(begin)
    return house


def _only_one(house: House) -> bool:
    """Nobody else serves this database: what is half done is a dead one's."""
    with house.store.read() as conn:
        living: Any = nodes.living(conn, house.store.clock.now())
    return not any(node.kind == "serve" for node in living)


def _bells(settings: Settings) -> Bells | Relay:
    if not settings.broker_url:
        return Bells()
    from api.worker import Courier

    return Relay(Courier(settings))
