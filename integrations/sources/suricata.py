"""Suricata EVE records of type alert to alerts.

Takes one record, a list of records, or `{"events": [...]}`. Field meanings: Suricata 7 user guide,
"EVE JSON Format".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from integrations.sources.draft import Draft
from integrations.sources.fields import Reader, refuse, unpack
from soar.model import Alert, JsonObject, Severity
from soar.observables import HOME_NETWORKS, Network
from soar.ports import Source

KIND = "suricata"

_SEVERITY = {1: Severity.HIGH, 2: Severity.MEDIUM, 3: Severity.LOW}
_NAMES = ("http.hostname", "tls.sni", "dns.rrname", "dns.query.rrname", "dns.queries.rrname")


class SuricataSource:
    """Parses EVE alerts. `home_networks` tells an address of ours from one outside."""

    kind = KIND

    def __init__(self, home_networks: Iterable[Network] = HOME_NETWORKS) -> None:
        self._home = tuple(home_networks)

    def parse(self, document: JsonObject) -> Sequence[Alert]:
        """The alerts of a delivery: all of them, or Invalid with every problem. Raises TooLarge over 500."""
        alerts, problems = [], []
        for pointer, entry in unpack(document, "events"):
            reader = Reader(entry, pointer)
            if _is_alert(reader):
                alerts.append(_alert(reader, Draft(KIND, reader, self._home)))
            problems += reader.problems
        refuse(problems)
        return alerts


def source() -> Source:
    """The parser with its defaults."""
    return SuricataSource()


def _is_alert(reader: Reader) -> bool:
    event_type = reader.needed("event_type")
    if event_type not in ("", "alert"):
        mend = "Forward alerts alone: keep only `alert` under eve-log types, or filter on event_type in the forwarder."
        reader.problem("not_an_alert", f"a record of type {event_type!r} is no alert", "event_type", mend)
    return not reader.problems


def _alert(reader: Reader, draft: Draft) -> Alert:
    at = reader.needed_time("timestamp")
    rule_id = f"{reader.first('alert.gid') or '1'}:{reader.needed('alert.signature_id')}"
    draft.addresses(reader.texts("src_ip"), "src")
    draft.addresses(reader.texts("dest_ip"), "dest")
    draft.names(reader.texts(*_NAMES))
    draft.digests("fileinfo", "files")
    return draft.alert(
        source_alert_id=f"{_flow(reader)}:{rule_id}:{reader.first('tx_id') or '-'}",
        rule_id=rule_id,
        rule_name=reader.prose("alert.signature") or f"Suricata rule {rule_id}",
        severity=_severity(reader),
        occurred_at=at,
        raised_at=at,
        techniques=reader.techniques("alert.metadata.mitre_technique_id"),
        category=[each.value for each in reader.texts("alert.category")],
        action=reader.first("alert.action"),
    )


def _flow(reader: Reader) -> str:
    """The flow's id; a packet outside any flow (a decoder event) is told by its time and ends."""
    flow = reader.first("flow_id")
    ends = [reader.first(path) for path in ("timestamp", "src_ip", "src_port", "dest_ip", "dest_port", "pcap_cnt")]
    return flow or "packet-" + hashlib.sha256("|".join(ends).encode()).hexdigest()[:16]


def _severity(reader: Reader) -> Severity:
    """A rule's priority, 1 (highest) to 255. Above 3 it informs."""
    priority = reader.integer("alert.severity")
    if priority is None:
        return Severity.UNKNOWN
    if not 1 <= priority <= 255:
        mend = "Send the rule's priority as Suricata writes it, 1 to 255."
        reader.problem("unknown_severity", f"{priority} is no priority of a rule", "alert.severity", mend)
    return _SEVERITY.get(priority, Severity.INFORMATIONAL)
