"""Cases and a policy that the stories of the guards share."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from soar.guards.case import Case, Finding, Judgement
from soar.guards.policy import Cap, Policy, Protection
from soar.model import Entity, EntityKind, Observable, Target, Verdict
from soar.verbs import VERBS

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POLICY = Policy(
    hard=Protection(
        ids=frozenset({"host:soar-01"}),
        names=("*.mgmt.corp.example", "breakglass-*"),
        networks=(ip_network("198.51.100.0/28"),),
    ),
    soft=Protection(
        ids=frozenset({"ws-0001"}),
        names=("DC*", "krbtgt"),
        tags=frozenset({"Crown-Jewel"}),
        groups=frozenset({"Domain Controllers"}),
        networks=(ip_network("10.9.0.0/16"),),
    ),
    configured=True,
    never_block_networks=(ip_network("192.0.2.0/24"),),
    never_block_domains=frozenset({"corp.example", "cdn.partner.example"}),
    resolvers=(ip_network("9.9.9.9/32"),),
    blockable_networks=(ip_network("10.66.0.0/16"),),
    caps={"*": Cap(per_run=10, per_hour=20, share_of_group=0.25), "notify": Cap(per_run=3)},
)


def host_case(ident: str = "ws-0147", *, verb: str = "isolate_host", **more: Any) -> Case:
    entity = Entity(
        kind=EntityKind.HOST, id=ident, name=more.pop("name", ident), source="lab",
        addresses=more.pop("addresses", ("10.1.0.7",)), tags=more.pop("tags", ()), groups=more.pop("groups", ()),
    )  # fmt: skip
    given: dict[str, Any] = {"entity": entity, "collected": frozenset({"connections"}), "params": {"host": ident}}
    target = Target(kind=EntityKind.HOST, id=ident)
    return Case(verb=VERBS[verb], target=target, now=NOW, **(given | more))


def account_case(ident: str, **more: Any) -> Case:
    entity = Entity(kind=EntityKind.ACCOUNT, id=ident, name=ident, source="lab", groups=more.pop("groups", ()))
    target = Target(kind=EntityKind.ACCOUNT, id=ident)
    return Case(verb=VERBS["disable_account"], target=target, entity=entity, now=NOW, **more)


def block_case(value: str, *, what: str = "ip", **more: Any) -> Case:
    kinds = {"ip": "ipv4-addr", "domain": "domain-name", "url": "url", "sender": "email-addr", "hash": "file"}
    seen = Observable(type=kinds[what], value=value, verdict=Verdict.MALICIOUS, confidence=95)
    target = Target(kind=EntityKind.OBSERVABLE, id=seen.id)
    given: dict[str, Any] = {"observable": seen, "params": {what: value}}
    return Case(verb=VERBS[f"block_{what}"], target=target, now=NOW, **(given | more))


def wide(text: str) -> str:
    """The text in full-width letters, which mean the same."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


def stops(judgement: Judgement) -> list[tuple[str, str]]:
    return [(f.guard, f.verdict) for f in judgement.findings if f.verdict != "pass"]


def finding(judgement: Judgement, guard: str) -> Finding:
    return next(f for f in judgement.findings if f.guard == guard)
