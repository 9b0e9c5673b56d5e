"""Elastic Security detection alerts (Kibana 8 and 9, Elastic Common Schema) to alerts.

Takes one alert document, or a batch under `alerts` or `context.alerts`, as a connector's body
template writes it (`{{{context.alerts}}}`). Field meanings: Elastic, "Alert schema" and ECS 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from integrations.sources.draft import Draft
from integrations.sources.fields import Reader, refuse, unpack
from soar.model import Alert, JsonObject, Severity
from soar.observables import HOME_NETWORKS, Network
from soar.ports import Source

KIND = "elastic"

_WORDS = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
_TECHNIQUES = tuple(
    f"{where}.technique.{part}"
    for where in ("kibana.alert.rule.threat", "threat")
    for part in ("id", "subtechnique.id")
)


class ElasticSource:
    """Parses detection alerts. `home_networks` tells an address of ours from one outside."""

    kind = KIND

    def __init__(self, home_networks: Iterable[Network] = HOME_NETWORKS) -> None:
        self._home = tuple(home_networks)

    def parse(self, document: JsonObject) -> Sequence[Alert]:
        """The alerts of a delivery: all of them, or Invalid with every problem. Raises TooLarge over 500."""
        alerts, problems = [], []
        for pointer, entry in unpack(document, "alerts", "context.alerts"):
            reader = Reader(entry, pointer)
            alerts.append(_alert(reader, Draft(KIND, reader, self._home)))
            problems += reader.problems
        refuse(problems)
        return alerts


def source() -> Source:
    """The parser with its defaults."""
    return ElasticSource()


def _alert(reader: Reader, draft: Draft) -> Alert:
    _mentions(reader, draft)
    _observables(reader, draft)
    raised_at = reader.needed_time("@timestamp")
    rule_id = reader.needed("kibana.alert.rule.rule_id", "kibana.alert.rule.uuid")
    return draft.alert(
        source_alert_id=reader.needed("kibana.alert.uuid", "_id", "event.id"),
        rule_id=rule_id,
        rule_name=reader.prose("kibana.alert.rule.name") or rule_id,
        severity=_severity(reader),
        occurred_at=reader.time("kibana.alert.original_time") or raised_at,
        raised_at=raised_at,
        techniques=reader.techniques(*_TECHNIQUES),
        risk_score=reader.number("kibana.alert.risk_score", 0, 100),
        reason=reader.prose("kibana.alert.reason"),
        category=[each.value for each in reader.texts("event.category")],
        action=reader.first("event.action"),
    )


def _mentions(reader: Reader, draft: Draft) -> None:
    names, ids = reader.texts("host.name"), reader.texts("host.id")
    names = names or reader.texts("host.hostname")
    draft.mention("host", names or ids, "affected")
    draft.mention("host", ids, "id")
    draft.mention("account", reader.texts("user.name"), "affected")
    draft.own_addresses(reader.texts("host.ip"), "affected")
    # ECS copies every name into related.*; what stands there under another name of the same thing is no second one.
    aliases = {each.value.lower() for each in reader.texts("host.hostname", "host.id", "user.id")}
    for kind, path in (("host", "related.hosts"), ("account", "related.user")):
        draft.mention(kind, [each for each in reader.texts(path) if each.value.lower() not in aliases], "related")


def _observables(reader: Reader, draft: Draft) -> None:
    draft.addresses(reader.texts("source.ip"), "src")
    draft.addresses(reader.texts("destination.ip"), "dest")
    draft.home_addresses(reader.texts("related.ip"), "related")
    draft.observe("url", reader.texts("url.full", longest=2048))
    draft.names(reader.texts("dns.question.name"))
    draft.digests("process.hash", "file.hash")


def _severity(reader: Reader) -> Severity:
    """The alert's word, else its risk score by Elastic's bounds (21, 47, 73)."""
    word = reader.first("kibana.alert.severity").lower()
    if word in _WORDS:
        return Severity(word)
    if word:
        known = ", ".join(_WORDS)
        reader.problem("unknown_severity", f"{word!r} is no severity", "kibana.alert.severity", f"Send one of {known}.")
    score = reader.number("kibana.alert.risk_score", 0, 100)
    if score is None:
        return Severity.UNKNOWN
    return _WORDS[sum(score > bound for bound in (21, 47, 73))]
