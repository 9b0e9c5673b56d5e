"""Posts alerts as fast as it is answered: raw keep-alive connections, one request at a time on each.

A bare client, so that on few cores the server and not the client is measured. Every answer must be
202. Every second alert tells a finding again that was told before, which dedupe must count.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bench.figure import tell
from bench.served import TOKEN


def alert(name: str, severity: str = "") -> bytes:
    """An Elastic alert about a host and an account of its own. Without a severity it starts no playbook."""
    document = {
        "@timestamp": datetime.now(UTC).isoformat(), "kibana.alert.uuid": name, "host.name": f"host-{name}",
        "user.name": f"user-{name}", "kibana.alert.rule.name": "Measured rule",
        "kibana.alert.rule.rule_id": "9d2f7c1a-9e34-4b8d-8f60-1c7a2b3d4e5f", "event.action": "measured",
        "event.category": ["malware", "file"], "kibana.alert.reason": f"process on host-{name} created an alert",
        "process": {"pid": 4120, "name": "measured.exe", "command_line": "measured.exe /S"},
        "file": {"path": "C:\\\\ProgramData\\\\measured.exe", "size": 184320},
    }  # fmt: skip
    if severity:
        document["kibana.alert.severity"] = severity
    return json.dumps(document).encode()


class Connection:
    """One keep-alive connection to a server."""

    def __init__(self, url: str, path: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {TOKEN}\r\n"
            "content-type: application/json\r\n"
        )

    def post(self, delivery: str, body: bytes) -> int:
        """Post one body; the status of the answer. Raises OSError when the server goes away."""
        head = (
            f"{self._head}webhook-id: {delivery}\r\nidempotency-key: {delivery}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._more()
        head_bytes, _, rest = got.partition(b"\r\n\r\n")
        length = int(head_bytes.lower().partition(b"content-length:")[2].split()[0])
        while len(rest) < length:
            rest += self._more()
        return int(head_bytes.split(None, 2)[1])

    def _more(self) -> bytes:
        got = self._socket.recv(65536)
        if not got:
            raise ConnectionError("the server closed the connection")
        return got


def _bodies(prefix: str) -> Iterator[tuple[str, bytes]]:
    number = 0
    while True:
        told = alert(f"{prefix}{number // 2}")
        yield f"{prefix}d{number}", told
        number += 1


def main() -> None:
    """Post for some seconds, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.5)
    options = parser.parse_args()
    counts: list[int] = []
    wrong: list[int] = []
    name = f"{time.time_ns():x}"

    def client(number: int) -> None:
        connection, done = Connection(options.url, options.path), 0
        bodies = _bodies(f"{name}c{number}n")
        while time.perf_counter() < ends:
            status = connection.post(*next(bodies))
            done += 1
            if status != 202:
                wrong.append(status)
        counts.append(done)

    ends = time.perf_counter() + 0.3  # warm: connections, threads of the server, prepared statements
    client(-1)
    counts.clear()
    began = time.perf_counter()
    ends = began + options.seconds
    threads = [threading.Thread(target=client, args=(number,)) for number in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gone = time.perf_counter() - began
    if wrong or len(counts) != options.clients:
        raise SystemExit(f"answers were not all 202: {sorted(set(wrong))}")
    tell(rate=sum(counts) / gone, posted=sum(counts))


if __name__ == "__main__":
    main()
