"""What an alert route costs at least: FastAPI, a JSON body, one row inserted and committed in SQLite.

The same uvicorn settings as the product's, the same database settings (WAL, full sync); one
connection behind a lock, which is the fastest way for one process.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI


def route(file: Path) -> FastAPI:
    """The app with its one route."""
    conn = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    conn.execute("PRAGMA journal_mode=WAL").fetchone()
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("CREATE TABLE alerts (id INTEGER PRIMARY KEY, body TEXT)")
    lock, app = threading.Lock(), FastAPI()

    @app.post("/alerts", status_code=202)
    def receive(alert: dict[str, Any]) -> dict[str, int]:
        with lock:
            made = conn.execute("INSERT INTO alerts (body) VALUES (?)", (json.dumps(alert),)).lastrowid
        return {"alert": made or 0}

    return app


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"READY {self._url}\n")
        sys.stdout.flush()


def main() -> None:
    """Serve until told to stop; the folder is the last word."""
    options: Any = {
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "ws": "none",
    }
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        _Server(uvicorn.Config(route(Path(sys.argv[-1]) / "bare.db"), **options), url).run(sockets=[taken])


if __name__ == "__main__":
    main()
