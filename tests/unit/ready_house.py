"""A house that is ready for anything: the tests of readiness take one thing away, and see it told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

from soar.guards.policy import Policy, Protection
from soar.ports import Rights
from soar.readiness.facts import Book, Clocks, Facts, Need, Person, System, Vault
from soar.readiness.report import Report, assess

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
RESPONDERS = frozenset({"responder"})
BOOK = Book(
    slug="host", name="Contain a host",
    verbs=frozenset({frozenset({"isolate_host"}), frozenset({"block_ip", "block_url"})}),
    needs=(Need(playbook="host", step="isolate", any_of=RESPONDERS),),
    triggers=("alert:techniques[*] IN ('T1486', 'T1021.002')",), modified=NOW - 10 * DAY,
)  # fmt: skip
POLICY = Policy(
    hard=Protection(names=("soar*",)), soft=Protection(tags=frozenset({"production"})), configured=True,
    never_block_domains=frozenset({"example.com"}), resolvers=(ip_network("10.0.0.53/32"),),
)  # fmt: skip
EDR = System(name="edr", verbs=frozenset({"isolate_host", "block_ip"}), rights=Rights())


def person(name: str, *roles: str, **more: Any) -> Person:
    return Person(id=f"id-{name}", name=name, roles=frozenset(roles), **more)


TEAM = (
    person("ann", "responder", "commander"),
    person("bob", "responder"),
    person("cleo", "responder"),
    person("dan", "analyst"),
)
READY = Facts(
    now=NOW, policy=POLICY, systems=(EDR,), persons=TEAM, books=(BOOK,), vault=Vault(free_bytes=2**40),
    clocks=Clocks(newest=NOW),
)  # fmt: skip


def house(**changed: Any) -> Report:
    """The report on the ready house with something changed."""
    return assess(replace(READY, **changed))


def found(report: Report) -> dict[str, str]:
    """Severity by key."""
    return {each.key: each.level.value for each in report.findings}
