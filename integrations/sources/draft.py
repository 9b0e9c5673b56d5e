"""An alert while a source builds it: what it names and what can be looked up, each once.

Here the facts get the shape that triggers read under `alert:`, the same for each source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from integrations.sources.fields import Found, Reader
from soar.model import Alert, Mention, Observable, Severity
from soar.observables import Network, address, blockable, is_internal, observable

# Names that mean another account on each machine: to resolve or to correlate by them would be wrong.
_BUILT_IN = frozenset({"system", "local service", "network service", "root"})
_DIGESTS = ("sha256", "sha512", "sha1", "md5")


class Draft:
    """Collects mentions and observables of one alert. `home` are the networks that are ours.

    Roles: affected (the alert is about it), related, src and dest (of a connection), id (the
    source's own id of a host that is mentioned by name as well).
    """

    def __init__(self, source: str, reader: Reader, home: Iterable[Network]) -> None:
        self._source = source
        self._reader = reader
        self._home = tuple(home)
        self._mentions: dict[tuple[str, str], Mention] = {}
        self._observables: dict[str, Observable] = {}

    def mention(self, kind: str, found: Iterable[Found], role: str) -> None:
        """Name hosts or accounts as the source wrote them; the first role of a value stays."""
        for each in found:
            if kind == "account" and each.value.rpartition("\\")[2].lower() in _BUILT_IN:
                self._reader.leave_out(each, "a built-in account, another one on each machine")
                continue
            self._mentions.setdefault((kind, each.value.lower()), Mention(kind=kind, value=each.value, role=role))

    def own_addresses(self, found: Iterable[Found], role: str) -> None:
        """Addresses of a named host: mentions, whether private or public. Loopback and the like name no host."""
        for each in found:
            ip = address(each.value)
            if ip is None:
                self._reader.leave_out(each, "no address")
            elif not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified):
                self._add_address(str(ip), role)

    def addresses(self, found: Iterable[Found], role: str) -> None:
        """Ends of a connection: ours are mentions, outside ones are observables, others are left out."""
        for each in found:
            item = observable("ipv4-addr", each.value)
            if item is None:
                self._reader.leave_out(each, "no address")
            elif is_internal(item.value, self._home) or ("address", item.value) in self._mentions:
                self._add_address(item.value, role)
            elif blockable(item):
                self._observables[item.id] = item
            else:
                self._reader.leave_out(each, "an address that names no host of ours and none outside")

    def home_addresses(self, found: Iterable[Found], role: str) -> None:
        """Of a mixed list of addresses, those that are ours."""
        for each in found:
            ip = address(each.value)
            if ip is not None and is_internal(str(ip), self._home):
                self._add_address(str(ip), role)

    def observe(self, kind: str, found: Iterable[Found]) -> None:
        """Take values as observables of a STIX type."""
        for each in found:
            item = observable(kind, each.value)
            if item is None:
                self._reader.leave_out(each, f"no {kind}")
            else:
                self._observables[item.id] = item

    def names(self, found: Iterable[Found]) -> None:
        """Server names of a connection, which may be addresses too."""
        for each in found:
            if address(each.value) is not None:
                self.addresses([each], "dest")
            else:
                self.observe("domain-name", [each])

    def digests(self, *paths: str) -> None:
        """The strongest digest that each of these hash objects gives."""
        for path in paths:
            for name in _DIGESTS:
                if found := self._reader.texts(f"{path}.{name}"):
                    self.observe("file", found)
                    break

    def alert(
        self, *, source_alert_id: str, rule_id: str, rule_name: str, severity: Severity, occurred_at: datetime,
        raised_at: datetime, techniques: Sequence[str], **more: Any,
    ) -> Alert:  # fmt: skip
        """The finished alert. `more` are further facts; those that are None or empty are left out."""
        mentions = tuple(self._mentions.values())
        observables = tuple(self._observables.values())
        subjects = [each.value for each in mentions if each.role in ("affected", "src") and each.kind != "account"]
        title = f"{rule_name} on {subjects[0]}" if subjects else rule_name
        facts = {
            "source": self._source,
            "rule_id": rule_id,
            "rule_name": rule_name,
            "title": title,
            "severity": severity.value,
            "severity_id": severity.id,
            "techniques": list(techniques),
            "hosts": [each.value for each in mentions if each.kind == "host" and each.role != "id"],
            "accounts": [each.value for each in mentions if each.kind == "account"],
            "addresses": [each.value for each in mentions if each.kind == "address"],
            "observables": [each.id for each in observables],
        }
        extra = more | {"left_out": list(self._reader.left_out)}
        return Alert(
            source=self._source,
            source_alert_id=source_alert_id,
            rule_id=rule_id,
            rule_name=rule_name,
            title=title,
            severity=severity,
            occurred_at=occurred_at,
            raised_at=raised_at,
            techniques=tuple(techniques),
            mentions=mentions,
            observables=observables,
            dedupe_key=dedupe_key(self._source, rule_id, mentions, observables),
            facts=facts | {name: value for name, value in extra.items() if value not in (None, "", [])},
        )

    def _add_address(self, value: str, role: str) -> None:
        self._mentions.setdefault(("address", value), Mention(kind="address", value=value, role=role))


def dedupe_key(source: str, rule_id: str, mentions: Iterable[Mention], observables: Iterable[Observable]) -> str:
    """SHA-256 (hex) of rule and entities; the order and the case in which a source names them do not count."""
    named = sorted({(each.kind, each.value.lower()) for each in mentions})
    seen = sorted({each.id for each in observables})
    return hashlib.sha256(json.dumps([source, rule_id, named, seen]).encode("ascii")).hexdigest()
