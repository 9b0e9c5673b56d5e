"""What can be asked of the estate without changing it: who is who, what is known, what is found, evidence."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from integrations.estate.act import Act, Answer, Data, Refusal, host_of, stamp
from integrations.estate.content import content_of, is_malware

VOLATILITY = ("connections", "processes", "memory", "files", "disk", "logs")
"""Most volatile first (RFC 3227, section 2.1: network state, process table, memory, then disks, then logs)."""
_RECENT = timedelta(days=7)
_SECTOR = 512


def look_up(data: Data, act: Act) -> Answer:
    """What threat intelligence holds of an observable."""
    known = data["intel"].get(act.id.lower().removeprefix("sha-256:"), {"verdict": "unknown", "confidence": 0})
    return Answer({**known, "summary": f"{act.id}: {known['verdict']} {known['confidence']}"})


def search(data: Data, act: Act) -> Answer:
    """Look for malware and its flows on a host."""
    found = list(_findings(data, host_of(data, act)))
    return Answer({"found": found, "summary": "; ".join(found) or "nothing found"})


def resolve(data: Data, act: Act) -> Answer:
    """Which hosts or accounts a mention meant at a time."""
    kind, value = act.text("kind"), act.text("value").strip().lower()
    at = _moment(act.text("at"))
    finders: Mapping[str, Callable[[Data, str, str], Iterator[Data]]] = {
        "host": _by_name,
        "address": _by_address,
        "account": _by_user,
        "mailbox": partial(_by_id, "mailboxes"),
        "key": partial(_by_id, "keys"),
        "service": partial(_by_id, "services"),
    }
    if kind not in finders:
        raise Refusal(400, f"kind must be one of {', '.join(finders)}, not {kind!r}")
    return Answer({"entities": list(finders[kind](data, value, at))})


def list_evidence(data: Data, act: Act) -> Answer:
    """What can be fetched from a host, most volatile first, whatever order was asked."""
    asked = act.params.get("items")
    if not isinstance(asked, list) or not asked or not set(map(str, asked)) <= set(VOLATILITY):
        raise Refusal(400, f"'items' must be a list of {', '.join(VOLATILITY)}")
    host = host_of(data, act)
    paths: dict[str, list[str]] = {
        "memory": [f"pid:{process['pid']}" for process in host["processes"]],
        "files": [file["path"] for file in _user_files(data, host)],
    }
    names = [name for name in VOLATILITY if name in asked]
    return Answer({"items": [{"class": name, "path": path} for name in names for path in paths.get(name, [""])]})


def list_snapshot(data: Data, act: Act) -> Answer:
    """The whole disk of a host, to be fetched at once."""
    host_of(data, act)
    return Answer({"items": [{"class": "disk", "path": ""}]})


def fetch_evidence(data: Data, act: Act) -> Answer:
    """The bytes of one thing that list_evidence named. Works while the host is isolated."""
    host, name, path = host_of(data, act), act.text("class"), str(act.params.get("path", ""))
    lines: dict[str, list[Data]] = {
        "connections": host["connections"],
        "processes": [_process_row(process) for process in host["processes"]],
        "logs": host["log"],
    }
    if name in lines:
        return Answer(b"".join(json.dumps(row, sort_keys=True).encode() + b"\n" for row in lines[name]))
    if name == "disk":
        return Answer(b"".join(_on_disk(file) for file in host["files"]))
    things = {
        "memory": {f"pid:{process['pid']}": process for process in host["processes"]},
        "files": {file["path"]: file for file in _user_files(data, host)},
    }.get(name, {})
    if path not in things:
        raise Refusal(404, f"{act.id} has no evidence {name} {path!r}")
    return Answer(content_of(things[path]))


def show(data: Data, _act: Act) -> Answer:
    """The estate as it stands, without its book-keeping."""
    return Answer({name: part for name, part in data.items() if name not in {"answers", "later", "last_call"}})


def _findings(data: Data, host: Data) -> Iterator[str]:
    for process in host["processes"]:
        if is_malware(process):
            yield f"process {process['pid']} ({process['name']}) carries malware in memory"
    for file in host["files"]:
        if file["quarantined"] is None and is_malware(file):
            yield f"file {file['path']} is malware (sha256 {file['sha256']})"
    for flow in host["connections"]:
        if data["intel"].get(flow["address"], {}).get("verdict") == "malicious":
            yield f"live flow of process {flow['pid']} to {flow['address']}:{flow['port']}"


def _by_name(data: Data, value: str, at: str) -> Iterator[Data]:
    for host in data["hosts"].values():
        if value in {host["id"], host["name"].lower()}:
            yield _host_entity(data, host, at, "lab:inventory", host["known_since"])


def _by_address(data: Data, value: str, at: str) -> Iterator[Data]:
    try:
        address = str(ipaddress.ip_address(value))
    except ValueError:
        return
    for lease in data["leases"]:
        if lease["address"] == address and _held(lease, at):
            yield _host_entity(data, data["hosts"][lease["host"]], at, "lab:dhcp", lease["from"])
    for host in data["hosts"].values():
        if address in host["addresses"]:
            yield _host_entity(data, host, at, "lab:inventory", host["known_since"])


def _by_user(data: Data, value: str, _at: str) -> Iterator[Data]:
    """Takes j.doe, MERIDIAN\\j.doe, j.doe@meridian.example and an account's id."""
    domain, _, user = value.rpartition("\\")
    for account in data["accounts"].values():
        name, directory = account["name"].lower(), account["directory"].lower()
        plain = user == name and domain in {"", directory, directory.partition(".")[0]}
        if plain or value in {account["id"].lower(), f"{name}@{directory}"}:
            yield {
                "kind": "account", "id": account["id"], "name": account["name"], "source": "lab:directory",
                "known_since": account["created_at"], "addresses": [],
                "tags": account["tags"], "groups": account["groups"],
            }  # fmt: skip


def _by_id(shelf: str, data: Data, value: str, _at: str) -> Iterator[Data]:
    """A mailbox, key or service by its id."""
    for thing in data[shelf].values():
        if thing["id"].lower() == value:
            yield {
                "kind": {"mailboxes": "mailbox", "keys": "key", "services": "service"}[shelf], "id": thing["id"],
                "name": thing["id"], "source": "lab:inventory", "known_since": data["born"], "addresses": [],
                "tags": [], "groups": [],
            }  # fmt: skip


def _host_entity(data: Data, host: Data, at: str, source: str, since: str) -> Data:
    leased = [lease["address"] for lease in data["leases"] if lease["host"] == host["id"] and _held(lease, at)]
    return {
        "kind": "host", "id": host["id"], "name": host["name"], "source": source, "known_since": since,
        "addresses": [*host["addresses"], *leased], "tags": host["tags"], "groups": host["groups"],
    }  # fmt: skip


def _held(lease: Data, at: str) -> bool:
    return bool(lease["from"] <= at and (lease["until"] is None or at < lease["until"]))


def _moment(text: str) -> str:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refusal(400, f"'at' is no RFC 3339 time: {text!r}") from error
    if parsed.tzinfo is None:
        raise Refusal(400, f"'at' has no time zone: {text!r}")
    return stamp(parsed)


def _user_files(data: Data, host: Data) -> list[Data]:
    """Files of people and web applications, at their place, written in the week before the first start, or later."""
    since = stamp(datetime.fromisoformat(data["born"]) - _RECENT)
    homes = ("C:\\Users\\", "/home/", "/srv/")
    return [
        file
        for file in host["files"]
        if file["path"].startswith(homes) and file["quarantined"] is None and file["written_at"] >= since
    ]


def _process_row(process: Data) -> dict[str, Any]:
    return {name: process[name] for name in ("pid", "name", "path", "user", "sha256", "started_at")}


def _on_disk(file: Data) -> bytes:
    """One file on the raw disk: a sector with its path, then its bytes, padded to whole sectors."""
    head: bytes = file["path"].encode()[:_SECTOR].ljust(_SECTOR, b"\0")
    body = content_of(file)
    return head + body + b"\0" * (-len(body) % _SECTOR)
