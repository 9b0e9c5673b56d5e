"""The item about alerts: accepted per second over HTTP, with dedupe, beside a bare route with one insert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.contest import Field, child, hold
from bench.figure import Figure
from bench.result import Result, beside
from bench.served import ALERTS, Service, config, running

UNIT = "alerts/s"


def posting(ground: Field, service: Service, path: str, clients: int) -> Callable[[], Figure]:
    """How one round of posting to a service is measured; processor time and memory are the server's."""

    def measure() -> Figure:
        before = service.cpu()
        given = ("--url", service.url, "--path", path, "--clients", clients, "--seconds", ground.seconds)
        told = child("poster", *given)
        cpu = (service.cpu() - before) / told.more["posted"] * 1000
        return Figure(told.rate, cpu, service.peak_mb())

    return measure


def alerts(ground: Field) -> list[Result]:
    """Our route beside the bare one, with one client and with eight; both servers stay up all the time."""
    results = []
    with ground.room() as room:
        file = config(room / "ours", room / "ours" / "data")
        with running(room, "served", "serve", "--config", file) as ours, running(room, "bare_route", room) as bare:
            for clients in (1, 8):
                many = "client" if clients == 1 else "clients"
                entrants = {
                    f"soar, alerts, {clients} {many}": posting(ground, ours, ALERTS, clients),
                    f"bare route, alerts, {clients} {many}": posting(ground, bare, "/alerts", clients),
                }
                mine, theirs = hold(ground, entrants).values()
                words: dict[str, Any] = {
                    "title": f"alerts over HTTP, {clients} {many}",
                    "peer": "bare FastAPI route, one insert",
                }
                results.append(beside(mine, theirs, id=f"alerts.{clients}", unit=UNIT, goal=0.5, **words))
    return results
