"""Adapters: which systems are connected, and what is wrong with them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.auth import TheHouse, needs
from api.views.base import ProblemItem
from api.views.house import AdapterRow, Adapters, Failure
from api.wiring import House
from soar.errors import AdapterError
from soar.model import Actor
from soar.ports import Adapter

router = APIRouter(prefix="/adapters", tags=["house"])


@router.get("", summary="List and check the connected systems")
def list_adapters(house: TheHouse, _: Annotated[Actor, needs("adapter.read")]) -> Adapters:
    """Each is asked whether credentials, reachability and rights are in order. Verbs carry their repeat class."""
    return Adapters(
        adapters=[_row(house, name, adapter) for name, adapter in house.parts.adapters.items()],
        failures=[Failure(module=each.module, reason=each.reason) for each in house.registry.failures],
    )


def _row(house: House, name: str, adapter: Adapter) -> AdapterRow:
    try:
        problems = [ProblemItem(**problem.as_dict()) for problem in adapter.check()]
    except AdapterError as error:
        problems = [ProblemItem(code=error.code, message=error.message)]
    kind = str(house.settings.adapters.get(name, {}).get("kind", name))
    verbs = {verb: capability.repeat.value for verb, capability in adapter.verbs.items()}
    return AdapterRow(name=name, kind=kind, verbs=verbs, problems=problems)
