"""Meridian Freight, a made-up company with two infected workstations and a web server that was broken into.

Outside addresses and names come from the ranges kept for documentation (RFC 5737, RFC 2606). Times
are relative to the moment of the first start, so the story is always fresh.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from integrations.estate.act import Data, stamp
from integrations.estate.content import sha256_of

VERSION = 2
C2_ADDRESS = "203.0.113.66"
C2_DOMAIN = "cdn-update.example"
PHISHER = "billing@invoice-desk.example"
WORKSTATIONS = "10.20.1.0/24"
KEY = "AKIAEXAMPLE7781"
VENDOR, VENDOR_KEY, VENDOR_NETWORK = "northline@cloud", "northline-rates-1", "10.30.5.0/24"
PORTAL_KEY = "rates-portal-1"
_DROPPER: Data = {"seed": "invoice_7781.scr", "size": 24_576, "marked": True}
MALWARE_SHA256 = sha256_of(_DROPPER)
_CARRIER: Data = {"address": "198.51.100.20", "port": 443}
_MEMORY = 65_536


def sample_estate(now: datetime) -> Data:
    """The estate as it stands at its first start."""
    return _with_portal(now, {
        "version": VERSION,
        "name": "Meridian Freight",
        "born": stamp(now),
        "hosts": {host["id"]: host for host in _hosts(now)},
        "leases": _leases(now),
        "accounts": {account["id"]: account for account in _accounts(now)},
        "mailboxes": _mailboxes(now),
        "keys": {key["id"]: key for key in _keys()},
        "services": {"freight-portal": {"id": "freight-portal", "sites": ["vienna", "graz"], "failed_over": None}},
        "networks": {network["id"]: network for network in _networks()},
        "repairs": {},
        "rules": {},
        "intel": {
            C2_ADDRESS: {"verdict": "malicious", "confidence": 95},
            C2_DOMAIN: {"verdict": "malicious", "confidence": 90},
            PHISHER: {"verdict": "malicious", "confidence": 92},
            MALWARE_SHA256: {"verdict": "malicious", "confidence": 97},
            "198.51.100.20": {"verdict": "benign", "confidence": 90},
        },
        "board": {"notifications": [], "tickets": [], "comments": [], "changes": [], "shared": []},
        "ended": {},
        "answers": {},
        "later": [],
        "last_call": None,
    })  # fmt: skip


def _leases(now: datetime) -> list[Data]:
    """DHCP history: 10.20.1.47 moved from ws-0160 to ws-0147 a day ago."""
    month, day = stamp(now - timedelta(days=30)), stamp(now - timedelta(days=1))
    return [
        {"address": "10.20.1.47", "host": "ws-0160", "from": month, "until": day},
        {"address": "10.20.1.47", "host": "ws-0147", "from": day, "until": None},
        {"address": "10.20.1.61", "host": "ws-0147", "from": month, "until": day},
        {"address": "10.20.1.52", "host": "ws-0152", "from": month, "until": None},
        {"address": "10.20.1.60", "host": "ws-0160", "from": day, "until": None},
    ]


def _keys() -> list[Data]:
    """One that lies in the open, and one that a vendor calls us with."""
    return [
        {"id": KEY, "owner": "svc-backup", "seen_in": "a public repository", "revoked": None},
        {"id": VENDOR_KEY, "owner": VENDOR, "seen_in": "", "revoked": None},
    ]


def _networks() -> list[Data]:
    """The workstations', and a vendor's behind its tunnel, in which nothing is ours."""
    return [
        {"id": WORKSTATIONS, "hosts": ["ws-0147", "ws-0152", "ws-0160"], "segmented": None},
        {"id": VENDOR_NETWORK, "hosts": [], "segmented": None},
    ]


def _hosts(now: datetime) -> list[Data]:
    workstation: Data = {"os": "Windows 11", "tags": ["workstation"], "groups": ["workstations"]}
    return [
        _host(now, "ws-0147", owner="j.doe", infected=True, **workstation),
        _host(now, "ws-0152", owner="m.ruiz", infected=True, **workstation),
        _host(now, "ws-0160", owner="k.lind", **workstation),
        _host(
            now, "dc-01", os="Windows Server 2022", tags=["server", "protected"], groups=["domain-controllers"],
            owner="a.admin", addresses=["10.20.0.10"], services=["NTDS", "DNS"],
        ),
        _host(
            now, "srv-files-01", os="Debian 12", tags=["server"], groups=["file-servers"],
            owner="a.admin", addresses=["10.20.0.21"], services=["smbd", "backup-agent"],
        ),
        _host(
            now, "srv-web-01", os="Debian 12", tags=["server"], groups=["web-servers"],
            owner="a.admin", addresses=["10.20.2.31"], services=["nginx", "freight-portal"],
        ),
        _host(now, "nb-0201", os="Windows 11", tags=["laptop"], groups=["laptops"], owner="k.lind"),
    ]  # fmt: skip


def _host(now: datetime, ident: str, *, infected: bool = False, **facts: Any) -> Data:
    owner = facts["owner"]
    windows = facts["os"].startswith("Windows")
    home = f"C:\\Users\\{owner}\\Documents\\" if windows else f"/home/{owner}/"
    programs = "C:\\Program Files\\" if windows else "/usr/bin/"
    files = [
        _file(now, f"{home}rates-2026.xlsx", hours=30, seed=f"{ident} rates", size=8_192),
        _file(now, f"{home}routes.csv", hours=2_000, seed=f"{ident} routes", size=2_048),
    ]
    processes = [
        _process(now, 812, "health-agent", "SYSTEM", seed=f"{ident} 812", path=f"{programs}health-agent"),
        _process(
            now,
            3304,
            "dispatch-client",
            owner,
            seed=f"{ident} 3304",
            path=f"{programs}dispatch-client",
            talks_to=_CARRIER,
        ),
    ]
    log = [{"at": stamp(now - timedelta(hours=9)), "text": f"logon {owner}"}]
    if infected:
        path = f"C:\\Users\\{owner}\\Downloads\\invoice_7781.scr"
        files.append(_file(now, path, hours=2, **_DROPPER))
        beacon = {"address": C2_ADDRESS, "port": 443, "domain": C2_DOMAIN}
        rogue = _process(
            now, 4120, "invoice_7781.scr", owner, seed=f"{ident} 4120", path=path, marked=True, talks_to=beacon
        )
        processes.append({**rogue, "sha256": MALWARE_SHA256})
        log.append({"at": stamp(now - timedelta(hours=2)), "text": f"process 4120 started from {path}"})
    return {
        "id": ident,
        "name": f"{ident}.meridian.example",
        "addresses": facts.pop("addresses", []),
        "known_since": stamp(now - timedelta(days=400)),
        "services": [{"name": name, "stopped": None} for name in facts.pop("services", ["Spooler", "BackupAgent"])],
        "processes": processes,
        "killed": {},
        "files": files,
        "connections": [],
        "autostarts": [r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run\Invoice"] if infected else [],
        "updates": [],
        "workarounds": [],
        "log": log,
        "isolated": None,
        "locked": None,
        "wiped": None,
        **facts,
    }


def _file(now: datetime, path: str, *, hours: int, **content: Any) -> Data:
    written = stamp(now - timedelta(hours=hours))
    return {"path": path, "written_at": written, "sha256": sha256_of(content), "quarantined": None, **content}


def _process(now: datetime, pid: int, name: str, user: str, **more: Any) -> Data:
    image = {"seed": name, "size": 4_096}
    return {
        "pid": pid,
        "name": name,
        "user": user,
        "sha256": sha256_of(image),
        "started_at": stamp(now - timedelta(hours=2)),
        "size": _MEMORY,
        "talks_to": None,
        **more,
    }


def _accounts(now: datetime) -> list[Data]:
    people = ["staff"]
    return [
        _account(now, "j.doe", groups=people, on=["ws-0147"]),
        _account(now, "m.ruiz", groups=people, on=["ws-0152"]),
        _account(now, VENDOR, name="northline", directory="cloud", groups=["vendors"], on=["srv-web-01"]),
        _account(now, "k.lind", groups=people, on=["ws-0160"]),
        _account(now, "k.lind@cloud", name="k.lind", directory="cloud", groups=people),
        _account(now, "a.admin", groups=["domain-admins"], tags=["privileged"], on=["dc-01"]),
        _account(now, "svc-backup", groups=["service-accounts"], tags=["protected"], on=["srv-files-01"]),
    ]


def _with_portal(now: datetime, estate: Data) -> Data:
    """A second web server that was broken into: a web shell among its uploads, its process, what the portal knows."""
    path = "/srv/portal/uploads/label.php"
    server = _host(
        now, "srv-web-02", os="Debian 12", tags=["server"], groups=["web-servers"], owner="a.admin",
        addresses=["10.20.2.32"], services=["nginx", "rates-portal"],
    )  # fmt: skip
    server["files"].append(_file(now, path, hours=3, seed="label.php", size=4_096, marked=True))
    server["processes"].append(_process(now, 4188, "php", "www-data", seed="php 4188", path=path, marked=True))
    server["log"].append({"at": stamp(now - timedelta(hours=3)), "text": f"POST /upload from {C2_ADDRESS}, {path}"})
    account = _account(now, "svc-portal", groups=["service-accounts"], on=["srv-web-02"])
    estate["hosts"]["srv-web-02"] = server
    estate["accounts"]["svc-portal"] = account
    estate["keys"][PORTAL_KEY] = {"id": PORTAL_KEY, "owner": "svc-portal", "seen_in": "a file", "revoked": None}
    return estate


def _mailboxes(now: datetime) -> dict[str, Data]:
    """Three mailboxes; two have got a phishing message, one of these a rule that its owner did not make."""
    phishing: Data = {
        "id": "<7781@invoice-desk.example>", "from": PHISHER, "subject": "Overdue invoice 7781",
        "at": stamp(now - timedelta(hours=3)), "quarantined": None,
    }  # fmt: skip
    forward: Data = {"id": "rule-1", "does": "forward to collect@invoice-desk.example and delete"}
    return {
        f"{owner}@meridian.example": {
            "id": f"{owner}@meridian.example",
            "messages": [{**phishing}] if owner in ("m.ruiz", "k.lind") else [],
            "rules": [forward] if owner == "m.ruiz" else [],
        }
        for owner in ("j.doe", "m.ruiz", "k.lind")
    }


def _account(now: datetime, ident: str, *, on: list[str] | None = None, **facts: Any) -> Data:
    since = stamp(now - timedelta(hours=9))
    return {
        "id": ident,
        "name": ident,
        "directory": "meridian.example",
        "tags": [],
        "created_at": stamp(now - timedelta(days=300)),
        "enabled": True,
        "disabled": None,
        "sessions": [{"id": f"{ident}-{n}", "host": host, "since": since} for n, host in enumerate(on or [], 1)],
        "sessions_revoked": None,
        "consents": ["Calendar Sync Plus"] if ident == "m.ruiz" else [],
        "password_changed_at": stamp(now - timedelta(days=60)),
        "password_reset": None,
        **facts,
    }
