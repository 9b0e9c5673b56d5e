"""The sample incident of a drill: what the simulated estate has, put before one playbook."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from api.wiring import House
from integrations.estate import sample
from soar.engine import binding
from soar.errors import Invalid
from soar.model import (
    Actor,
    Alert,
    Entity,
    EntityKind,
    Mention,
    Observable,
    ScopeStatus,
    Severity,
    Verdict,
)
from soar.playbook.model import Playbook
from soar.readiness.coverage import techniques_in
from soar.store import incidents
from soar.store.session import Tx

SOURCE = Actor(kind="service", id="drill", name="drill", roles=frozenset({"source"}))
HOSTS, ACCOUNTS = ("ws-0147", "ws-0152"), ("j.doe", "m.ruiz")
_MAILBOX, _MESSAGE = "m.ruiz@meridian.example", "<7781@invoice-desk.example>"
_OBSERVABLES = (
    Observable(type="ipv4-addr", value=sample.C2_ADDRESS),
    Observable(type="domain-name", value=sample.C2_DOMAIN),
    Observable(type="email-addr", value=sample.PHISHER),
    Observable(type="file", value=f"SHA-256:{sample.MALWARE_SHA256}"),
)
_MORE = (
    Entity(kind=EntityKind.MAILBOX, id=_MAILBOX, name=_MAILBOX, source="drill"),
    Entity(kind=EntityKind.KEY, id=sample.KEY, name=sample.KEY, source="drill"),
    Entity(kind=EntityKind.SERVICE, id="freight-portal", name="freight-portal", source="drill"),
)
_GIVEN: Mapping[str, str] = {
    "host": HOSTS[0], "device": "nb-0201", "account": ACCOUNTS[0], "user": ACCOUNTS[0], "mailbox": _MAILBOX,
    "message": _MESSAGE, "rule": "rule-1", "app": "Calendar Sync Plus", "key": sample.KEY, "service": "freight-portal",
    "network": sample.WORKSTATIONS, "observable": f"ipv4-addr:{sample.C2_ADDRESS}", "ip": sample.C2_ADDRESS,
    "address": sample.C2_ADDRESS, "domain": sample.C2_DOMAIN, "sender": sample.PHISHER,
    "hash": f"SHA-256:{sample.MALWARE_SHA256}", "entry": r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run\Invoice",
    "team": "on-call", "tlp": "amber",
}  # fmt: skip
"""What a required input becomes that nothing else fills, by a word in its name; the first one that fits."""
_BY_TYPE: Mapping[str, Any] = {"str": "drill", "int": 1, "bool": True, "duration": "1h", "dict": {"drill": True}}


def open_incident(house: House, book: Playbook) -> str:
    """Let an alert come in that fits the playbook, and put the whole estate of the story into scope; the incident."""
    now = house.store.clock.now()
    alert = _alert(book, now - timedelta(seconds=30))
    raw = json.dumps({"drill": book.slug, "at": now.isoformat()}).encode()
    taken = house.intake.receive("drill", f"drill-{book.digest}", raw, [alert], SOURCE)
    incident: str = taken["alerts"][0]["incident"]

    def widen(tx: Tx) -> None:
        for kind, ids in ((EntityKind.HOST, HOSTS), (EntityKind.ACCOUNT, ACCOUNTS)):
            for each in ids:
                incidents.set_scope(tx, incident, f"{kind.value}:{each}", ScopeStatus.AFFECTED, SOURCE, "drill")
        for entity in _MORE:
            incidents.add_scope(tx, incident, entity, ScopeStatus.AFFECTED, tx.now, SOURCE)
        for seen in _OBSERVABLES:
            incidents.judge_observable(tx, incident, seen.id, Verdict.MALICIOUS, 95, "drill")

    house.store.write(widen)
    return incident


def _alert(book: Playbook, at: datetime) -> Alert:
    techniques = tuple(sorted(techniques_in(each.when for each in book.triggers)))
    title = f"drill of {book.name}"
    facts = {
        "source": "drill", "rule_id": "drill", "rule_name": title, "title": title,
        "severity": Severity.CRITICAL.value, "severity_id": Severity.CRITICAL.id, "techniques": list(techniques),
        "hosts": list(HOSTS), "accounts": list(ACCOUNTS), "observables": [each.id for each in _OBSERVABLES],
    }  # fmt: skip
    return Alert(
        source="drill", source_alert_id="drill", rule_id="drill", rule_name=title, title=title,
        severity=Severity.CRITICAL, occurred_at=at, raised_at=at, techniques=techniques, dedupe_key="drill",
        mentions=(
            *(Mention(kind="host", value=each, role="affected") for each in HOSTS),
            *(Mention(kind="account", value=each, role="affected") for each in ACCOUNTS),
        ),
        observables=_OBSERVABLES, facts=facts,
    )  # fmt: skip


def inputs(house: House, book: Playbook, incident: str) -> dict[str, Any]:
    """What the run begins with: from the incident, and from the estate where that says nothing. Raises Invalid."""
    with house.store.read() as conn:
        facts = incidents.facts(conn, incident)
    try:
        return binding.initial_inputs(book, facts, {})
    except Invalid as error:
        missing = [each.pointer.strip("/") for each in error.problems if each.code == "missing_value" and each.pointer]
        given = {name: _given(name, book.variables[name].type) for name in missing if name in book.variables}
        return binding.initial_inputs(book, facts, given)


def _given(name: str, kind: str) -> Any:
    """A value from the estate for an input that nothing fills."""
    fitting: Callable[[str], bool] = name.lower().__contains__
    named = next((value for word, value in _GIVEN.items() if fitting(word)), None)
    if kind == "list":
        return [named or "drill"]
    return named if named is not None and kind in ("str", "any") else _BY_TYPE.get(kind, "drill")
