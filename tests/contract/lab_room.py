"""What the lab's tests share: questions put to a running estate, and something that is no lab."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx2

from integrations import lab as lab_adapter
from integrations.estate.sample import C2_ADDRESS
from integrations.estate.server import Lab
from integrations.lab import LabAdapter

SCR = r"C:\Users\j.doe\Downloads\invoice_7781.scr"


def adapter_of(lab: Lab, timeout: float = 5.0) -> LabAdapter:
    return lab_adapter.connect("lab", lab_adapter.Config(url=lab.url, timeout=timeout))


def ask(lab: Lab, method: str, path: str, body: Any = None) -> Any:
    return plain().request(method, lab.url + path, json=body).json()


@cache
def plain() -> httpx2.Client:
    """A client for loopback: no proxy, no certificates to load."""
    return httpx2.Client(trust_env=False, verify=False, limits=httpx2.Limits(max_keepalive_connections=0))


def calls(lab: Lab, key: str, method: str) -> list[dict[str, Any]]:
    return [entry for entry in ask(lab, "GET", f"/log?key={key}")["calls"] if entry["method"] == method]


def host(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(lab, "GET", "/estate")["hosts"][name]
    return found


def flows(lab: Lab) -> list[str]:
    hosts = ask(lab, "GET", "/estate")["hosts"].values()
    return [each["id"] for each in hosts for flow in each["connections"] if flow["address"] == C2_ADDRESS]


def eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return true()


@contextmanager
def canned(reply: bytes) -> Iterator[str]:
    """Something that is no lab: reads a request and answers it with fixed bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            line, _ = server.accept()
            with line, line.makefile("rb") as request:
                head = b"".join(iter(request.readline, b"\r\n")).lower()
                request.read(int(head.partition(b"content-length:")[2].split()[0]))
                line.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)
