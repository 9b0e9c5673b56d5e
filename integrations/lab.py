"""The lab: acts on the simulated estate of `integrations.estate`, for training, drills, demo and tests.

It behaves as a product with an EDR, a directory, a firewall and a message board behind one API.
What it cannot know it says: `client.py` maps every failure to NotSent, Rejected or OutcomeUnknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from integrations.estate.client import LabClient
from soar.ports import (
    AdapterError,
    Applied,
    AppliedStatus,
    Call,
    Capability,
    Entity,
    EntityKind,
    Inspection,
    Item,
    JsonObject,
    Mention,
    NotSent,
    OutcomeUnknown,
    Problem,
    Rejected,
    Repeat,
    Sink,
)
from soar.verbs import BLOCK_VERB, VERBS

KIND = "lab"
_COLLECTION_SECONDS = 120.0
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw]?)", re.ASCII)
_SUFFIX = {"memory": "dmp", "disk": "raw", "files": "bin"}
_BLOCKS = ("ip", "domain", "url", "hash", "sender")


class Config(BaseModel):
    """Where the lab answers, and how many seconds one answer may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    timeout: float = Field(default=5.0, gt=0, le=300, allow_inf_nan=False)

    @field_validator("url")
    @classmethod
    def _is_base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("must be a base URL such as http://127.0.0.1:8765")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment")
        return url.rstrip("/")


def connect(name: str, config: Config) -> LabAdapter:
    """The adapter of one lab. Nothing is sent before the first call."""
    return LabAdapter(name, config)


def _capabilities() -> Mapping[str, Capability]:
    state = ("isolate_host", "release_host", "disable_account", "enable_account", "quarantine_file", "restore_file",
             "stop_service", "start_service", "revoke_sessions", "reset_password", "kill_process",
             "quarantine_email", "release_email", "revoke_credential", "restore_credential", "fail_over", "fail_back",
             "segment_network", "join_network", "lock_device", "unlock_device", "delete_file", "remove_persistence",
             "remove_inbox_rule", "revoke_consent", "wipe_device", "rebuild_host", "patch", "apply_workaround",
             "restore_backup")  # fmt: skip
    keyed = (
        "open_ticket",
        "request_change",
        "share_intel",
        *(f"{word}_{kind}" for kind in _BLOCKS for word in ("block", "unblock")),
    )
    read = Capability(repeat=Repeat.READ, inspects=False)
    return {
        **dict.fromkeys(state, Capability(repeat=Repeat.STATE)),
        **dict.fromkeys(keyed, Capability(repeat=Repeat.KEYED)),
        **dict.fromkeys(("look_up", "verify_clean", "watch"), read),
        "collect_evidence": Capability(repeat=Repeat.READ, inspects=False, timeout=_COLLECTION_SECONDS),
        "snapshot_host": Capability(repeat=Repeat.READ, inspects=False, timeout=_COLLECTION_SECONDS),
        "notify": Capability(repeat=Repeat.UNSAFE),
        "update_ticket": Capability(repeat=Repeat.UNSAFE),
    }


class LabAdapter:
    """One simulated estate as an adapter and as a directory."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.verbs = _capabilities()
        self._client = LabClient(config.url, config.timeout)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def inspect(self, call: Call) -> Inspection:
        """What is true at the estate now; a read leaves nothing to inspect."""
        if not self._capability(call).inspects:
            return Inspection(present=None, state={}, summary=f"{call.verb} leaves nothing to inspect")
        _, answer = self._post("inspect", call, reads=True)
        present, state, ours = answer.get("present"), answer.get("state"), answer.get("ours")
        if not isinstance(present, bool) or not isinstance(state, dict) or not isinstance(ours, str | None):
            raise NotSent("the lab's answer to an inspection cannot be understood")
        return Inspection(present=present, state=state, ours=ours, summary=str(answer.get("summary", "")))

    def apply(self, call: Call, sink: Sink) -> Applied:
        """Bring the effect about; for a block of an address, end the flows that run to it too."""
        reads = self._capability(call).repeat is Repeat.READ
        if call.verb in ("collect_evidence", "snapshot_host"):
            return self._collect(call, sink)
        status, answer = self._post("apply", call, reads=reads)
        summary = str(answer.get("summary", ""))
        if status == 202:
            return Applied(status=AppliedStatus.ACCEPTED, handle={"key": call.key}, summary=summary)
        outputs = _outputs(call.verb, answer)
        if call.verb == "block_ip":
            outputs["flows_ended"] = self._end_flows(call, summary)
            summary = f"{summary}; {outputs['flows_ended']} live flows ended"
        return Applied(handle={} if reads else {"key": call.key}, outputs=outputs, summary=summary)

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:
        """Take away what carries the handle's key. `prior` is the inspection before the call that is undone."""
        self._capability(call)
        if not VERBS[call.verb].undoes:
            raise Rejected(f"{call.verb} takes nothing back")
        if prior.get("present") is True and prior.get("ours") != handle.get("key"):
            raise Rejected("it was so before the call that is undone, so it is not ours to take away")
        status, answer = self._post("revert", call, handle=handle)
        accepted = status == 202
        return Applied(
            status=AppliedStatus.ACCEPTED if accepted else AppliedStatus.CONFIRMED,
            summary=str(answer.get("summary", "")),
        )

    def check(self) -> Sequence[Problem]:
        """Whether a lab answers at the address."""
        try:
            _, answer = self._client.ask("GET", "/health", reads=True)
        except AdapterError as error:
            mend = "Start it with `python -m integrations.estate --state lab.json` and set url to what it prints."
            return [Problem(code="unreachable", message=error.message, pointer="url", mend=mend)]
        if answer.get("service") != "soar-lab":
            return [Problem(code="not_a_lab", message="something else answers there", pointer="url")]
        return []

    def resolve(self, mention: Mention, at: datetime) -> Sequence[Entity]:
        """The hosts or accounts that a mention meant at that time; several when it is ambiguous."""
        if mention.kind not in ("host", "account", "address", "mailbox", "key", "service") or not mention.value.strip():
            return []
        params = {"kind": mention.kind, "value": mention.value, "at": at.isoformat()}
        body = {"target": f"{mention.kind}:{mention.value}", "params": params}
        _, answer = self._client.ask("POST", "/v1/other/resolve", body, reads=True)
        try:
            return [_entity(each) for each in answer["entities"]]
        except (KeyError, TypeError, ValueError) as error:
            raise NotSent("the lab's answer about an entity cannot be understood") from error

    def _capability(self, call: Call) -> Capability:
        try:
            return self.verbs[call.verb]
        except KeyError:
            raise Rejected(f"the lab cannot do {call.verb}") from None

    def _post(
        self, method: str, call: Call, *, reads: bool = False, handle: JsonObject | None = None
    ) -> tuple[int, dict[str, Any]]:
        body = {"target": _target(call), "params": _params(call), "handle": dict(handle or {})}
        path = f"/v1/{method}/{call.verb}"
        return self._client.ask(
            "POST", path, body, key=call.key, caller=call.caller, timeout=call.timeout, reads=reads
        )  # fmt: skip

    def _end_flows(self, call: Call, done: str) -> int:
        """The second half of a block: its failure cannot claim that nothing happened."""
        body = {"target": _target(call)}
        try:
            _, answer = self._client.ask(
                "POST", "/v1/apply/end_flows", body, key=call.key, caller=call.caller, timeout=call.timeout
            )
            return int(answer["flows_ended"])
        except (AdapterError, KeyError, TypeError, ValueError) as error:
            raise OutcomeUnknown(f"{done}; whether the live flows ended is not known: {error}") from error

    def _collect(self, call: Call, sink: Sink) -> Applied:
        """Stream each thing into the sink, most volatile first; what came damaged is an error."""
        _, listed = self._post("apply", call, reads=True)
        try:
            things = [(str(each["class"]), str(each["path"])) for each in listed["items"]]
        except (KeyError, TypeError) as error:
            raise NotSent("the lab's list of evidence cannot be understood") from error
        ids = [self._fetch(call, evidence_class, path, sink) for evidence_class, path in things]
        return Applied(outputs={"items": ids}, summary=f"{len(ids)} items collected")

    def _fetch(self, call: Call, evidence_class: str, path: str, sink: Sink) -> str:
        body = {"target": _target(call), "params": {"class": evidence_class, "path": path}}
        with self._client.stream(
            "/v1/apply/fetch_evidence", body, key=call.key, caller=call.caller, timeout=call.timeout
        ) as (content, stated):
            item = Item(
                name=_name(call.target.id, evidence_class, path),
                evidence_class=evidence_class,
                source=call.target.id,
                path=path,
                method="live",
                tool="soar lab",
                acquired_at=datetime.now(UTC),
                source_sha256=stated,
            )
            stored = sink.put(item, content)
        if stated and stored.sha256 != stated:
            raise NotSent(f"{item.name} arrived damaged: {stored.sha256} instead of {stated}")
        return stored.id


def _target(call: Call) -> str:
    """The target in the lab's words: an observable is named by its value alone."""
    kind, _, value = call.target.id.partition(":")
    known = call.target.kind is EntityKind.OBSERVABLE and kind in BLOCK_VERB
    return f"{call.target.kind.value}:{value if known else call.target.id}"


def _params(call: Call) -> dict[str, Any]:
    """The verb's parameters as the lab takes them: a duration in seconds."""
    params = {**call.params}
    duration = params.get("duration")
    if isinstance(duration, str):
        match = _DURATION.fullmatch(duration.strip())
        if match is None:
            raise Rejected(f"{duration!r} is no duration; write seconds, or a number with s, m, h, d or w")
        params["duration"] = float(match[1]) * _UNITS[match[2]]
    return params


def _outputs(verb: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The verb's own outputs from an answer."""
    if verb not in ("verify_clean", "watch"):
        return {name: answer[name] for name in VERBS[verb].outputs if name in answer}
    found = answer.get("found")
    if not isinstance(found, list):
        raise NotSent("the lab's answer to a search cannot be understood")
    return {"hits": found} if verb == "watch" else {"clean": not found, "found": found}


def _name(host: str, evidence_class: str, path: str) -> str:
    """A file name for an item: host, class, and the last part of where it came from."""
    last = re.split(r"[\\/]", path.removeprefix("pid:"))[-1]
    middle = f".{last}" if last else ""
    return f"{host}.{evidence_class}{middle}.{_SUFFIX.get(evidence_class, 'jsonl')}"


def _entity(said: Mapping[str, Any]) -> Entity:
    return Entity(
        kind=EntityKind(said["kind"]),
        id=str(said["id"]),
        name=str(said["name"]),
        source=str(said["source"]),
        known_since=datetime.fromisoformat(said["known_since"]),
        addresses=tuple(_texts(said["addresses"])),
        tags=tuple(_texts(said["tags"])),
        groups=tuple(_texts(said["groups"])),
    )


def _texts(values: Sequence[Any]) -> Iterator[str]:
    return (str(value) for value in values)
