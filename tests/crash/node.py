"""The third set-up: a child is a whole node of `soar worker`; its hands are Celery's pool processes.

The story is rung for through Redis. The fault hits a hand; the node makes a new one, which finds the
rows. What a hand says in its log, and that its fault was met, lie as files in the cell's folder.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from api import hand
from api.bells import Relay
from api.engine import Engine, Role
from api.worker import Courier, run_node
from evidence.vault import FolderVault
from soar.config import Settings
from soar.ids import new_id
from soar.intake import Intake
from soar.registry import Registry
from soar.store import nodes
from tests.crash import child, drills, engine

MET = "met"
"""A file in the cell's folder: the process id of the hand that met the fault."""
BEGUN = "begun"
"""A file in the cell's folder: the story stands in the rows."""
LOG = "log"
"""A file in the cell's folder: what the hands said, one event a line."""


class _Ringer:
    """Rings for the story's work as a process does that only answers."""

    def __init__(self, settings: Settings) -> None:
        self.courier = Courier(settings)

    def ring(self, work_id: str = "") -> None:
        if work_id:
            self.courier.send(work_id)


def play(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Begin the story, then be a node of one hand until told to stop."""
    folder = Path(spec["folder"])
    settings = Settings(
        data=folder / "data", database_url=spec["url"], broker_url=spec["broker"], claim_seconds=engine.CLAIM, workers=1
    )
    if spec.get("begin"):
        room = child.Room(spec)
        ringer = _Ringer(settings)
        room.store.doorbell = ringer
        drills.begin(room, spec["begin"])
        room.store.close()
        ringer.courier.close()
        (folder / BEGUN).touch()

    def move_in(leads: bool) -> Engine:
        return _move_in(spec, settings, leads=leads)

    code = run_node(settings, 1, move_in, lambda: None)
    return {"settled": True, "log": [], "why": [], "code": code}


def _move_in(spec: Mapping[str, Any], settings: Settings, *, leads: bool) -> Engine:
    """What a hand is built from: the cell's room, and the fault, unless it was met already."""
    folder = Path(spec["folder"])
    structlog.configure(processors=[_keep(folder / LOG)], cache_logger_on_first_use=False)
    vars(hand)["QUIET_SECONDS"] = 0.3
    if spec.get("broken"):
        engine.BREAK[spec["broken"]]()
    room = child.Room(spec)
    if spec.get("fault") and not (folder / MET).exists():
        child.arm(room, spec["fault"], met=folder / MET)
    hour = timedelta(hours=1)
    return Engine(
        settings=settings, store=room.store, vault=FolderVault(folder / "vault"), registry=Registry(), parts=room.parts,
        intake=Intake(store=room.store, vault=FolderVault(folder / "vault"), directories=(), may_start=True,
                      dedupe=hour, correlate=hour),
        node=nodes.Node(new_id(), "worker", socket.gethostname(), os.getpid()),
        roles=frozenset({Role.TIME} if leads else ()), bells=Relay(Courier(settings)),
    )  # fmt: skip


def _keep(path: Path) -> Any:
    """A processor that writes each event's name to a file, and nothing to anybody else."""
    lock = threading.Lock()

    def keep(_logger: Any, _method: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
        with lock, path.open("a", encoding="utf-8") as file:
            file.write(f"{said['event']}\t{said!r}\n")
        raise structlog.DropEvent

    return keep
