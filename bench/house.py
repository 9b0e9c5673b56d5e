"""The product as the measurements run it: its settings, its playbooks, and runs that wait to be begun."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import integrations
from api.wiring import House, build
from soar.config import GuardSettings, Settings, load
from soar.engine.running import start_run
from soar.model import ENGINE, Entity, EntityKind, ScopeStatus, Severity
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form
from soar.store import incidents
from soar.store.session import Tx
from soar.store.tables import runs

STEPS = 10
STATE_VERB = "revoke_consent"
"""Sets a state, destroys no evidence and does not stand on the register: a plain step."""
HOLD_VERB = "quarantine_file"
"""Contains: each step also places an effect and a hold with a review on the register."""
_ADAPTERS = Path(__file__).parent / "adapters"
_BATCH = 50
"""So many runs are begun in one commit while nobody measures."""


def open_adapters() -> None:
    """Let the registry find the adapter of the measurements among the integrations."""
    if str(_ADAPTERS) not in integrations.__path__:
        integrations.__path__.append(str(_ADAPTERS))


def settings_of(folder: Path, url: str, workers: int, **more: Any) -> Settings:
    """Settings for a house of the measurements; `url` "" keeps the data in SQLite below the folder."""
    return load(
        None, data=folder, database_url=url, workers=workers, adapters={"noop": {"kind": "noop"}},
        guards=GuardSettings.model_validate({"soft": {"ids": ["nobody"]}}), **more,
    )  # fmt: skip


def open_house(folder: Path, url: str, workers: int) -> House:
    """Build a house whose threads do not run yet."""
    open_adapters()
    return build(settings_of(folder, url, workers))


def playbook(verb: str, steps: int = STEPS) -> Playbook:
    """A playbook of so many steps of one verb, all on one target, each with another parameter."""
    step = {
        STATE_VERB: "  - {{id: s{n}, do: revoke_consent, with: {{account: $target, app: app-{n}}}}}",
        HOLD_VERB: "  - {{id: s{n}, do: quarantine_file, with: {{host: $target, path: /srv/{n}}}, review: 1d}}",
    }[verb]
    lines = "\n".join(step.format(n=number) for number in range(steps))
    slug = verb.replace("_", "-")
    text = f"id: bench-{slug}\nname: Measured\nvariables: {{target: {{type: str}}}}\nsteps:\n{lines}\n"
    return yaml_form.load(text.encode())


def begin(house: House, verb: str, number: int, prefix: str) -> str:
    """Begin so many runs, each in an incident of its own; returns the id of the first.

    Nobody works on them before the house is started.
    """
    book = playbook(verb)
    kind = EntityKind.ACCOUNT if verb == STATE_VERB else EntityKind.HOST

    def one(tx: Tx, name: str) -> str:
        incident = incidents.open_new(tx, f"Measured on {name}", Severity.HIGH, ENGINE, "measured")
        entity = Entity(kind=kind, id=name, name=name, source="bench")
        incidents.add_scope(tx, incident, entity, ScopeStatus.AFFECTED, tx.now)
        return start_run(tx, incident, book, {"target": name}, by=ENGINE, why="measured", automatic=True)

    def some(tx: Tx, first: int) -> list[str]:
        return [one(tx, f"{prefix}-{each}") for each in range(first, min(first + _BATCH, number))]

    begun = [house.store.write(partial(some, first=first)) for first in range(0, number, _BATCH)]
    return begun[0][0]


def wait_for(house: House, first: str, applied: int, seconds: float) -> float:
    """Wait until so many steps were applied and no run from the first on goes on; returns when (perf_counter).

    Raises TimeoutError when it takes longer than `seconds`, RuntimeError when a run did not succeed.
    """
    adapter: Any = house.parts.adapters["noop"]
    ends = time.perf_counter() + seconds
    query = sa.select(runs.c.status, sa.func.count()).where(runs.c.id >= first).group_by(runs.c.status)
    while time.perf_counter() < ends:
        if adapter.applied < applied:
            time.sleep(0.002)
            continue
        with house.store.read() as conn:
            counts = {str(status): int(count) for status, count in conn.execute(query).all()}
        if not counts.get("running"):
            if set(counts) != {"succeeded"}:
                raise RuntimeError(f"runs did not succeed: {counts}")
            return time.perf_counter()
        time.sleep(0.002)
    raise TimeoutError(f"{adapter.applied} of {applied} steps within {seconds:.0f} s")
