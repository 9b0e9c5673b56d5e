"""Keeps the estate in a file, and beside it the log of every call.

The state is replaced whole: a temporary file, fsync, rename, fsync of the folder. The log is only
ever appended to, with fsync. The last entry that came with a change is part of the state too, so a
process killed between the two writes puts the missing line into the log when it starts again:
no change without its line, no line without its change.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from integrations.estate.act import Data
from integrations.estate.sample import VERSION, sample_estate

_PARTS = (
    "hosts", "leases", "accounts", "mailboxes", "keys", "services", "networks", "rules", "intel", "board", "repairs",
    "ended", "answers", "later",
)  # fmt: skip


class Store:
    """The estate's state in `data`, and its call log. One thread at a time."""

    def __init__(self, path: Path, now: datetime, fresh: Data | None = None) -> None:
        """Read the file; without one that is ours, start `fresh` or the sample estate."""
        self.path = path
        self.log_path = path.with_name(path.name + ".calls.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _read(path)
        if found is None and path.exists():
            path.replace(path.with_name(path.name + ".unknown"))
        self.data: Data = found or fresh or sample_estate(now)
        self._seq = self._mend_log()
        if found is None:
            self._write(self.data)

    def commit(self, data: Data, entry: dict[str, Any]) -> None:
        """Make `data` the state and log the call that brought it about."""
        entry = {"seq": self._seq + 1, **entry}
        data["last_call"] = entry
        self._write(data)
        self.data = data
        self._append(entry)

    def record(self, entry: dict[str, Any]) -> None:
        """Log a call that changed nothing."""
        self._append({"seq": self._seq + 1, **entry})

    def replace(self, data: Data) -> None:
        """Make `data` the state where no call is the cause: time has passed."""
        self._write(data)
        self.data = data

    def calls(self, key: str = "") -> list[dict[str, Any]]:
        """Every logged call in order, or those of one key."""
        if not self.log_path.exists():
            return []
        entries = [json.loads(line) for line in self.log_path.read_bytes().splitlines()]
        return [entry for entry in entries if not key or entry["key"] == key]

    def _write(self, data: Data) -> None:
        draft = self.path.with_name(self.path.name + ".new")
        with draft.open("wb") as file:
            file.write(json.dumps(data).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _append(self, entry: dict[str, Any]) -> None:
        with self.log_path.open("ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._seq = entry["seq"]

    def _mend_log(self) -> int:
        """Cut a line torn by a crash, add the one that a crash kept out; returns the last number."""
        if self.log_path.exists():
            raw = self.log_path.read_bytes()
            whole = raw[: raw.rfind(b"\n") + 1]
            if whole != raw:
                os.truncate(self.log_path, len(whole))
        entries = self.calls()
        self._seq = entries[-1]["seq"] if entries else 0
        last = self.data["last_call"]
        if last is not None and last["seq"] > self._seq:
            self._append(last)
        return self._seq


def _read(path: Path) -> Data | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(data, dict) and data.get("version") == VERSION and all(part in data for part in _PARTS)
    return data if ours else None
