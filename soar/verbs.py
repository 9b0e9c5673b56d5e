"""The closed vocabulary of verbs: what a playbook may ask for, never by which vendor.

A verb says what it acts on, its typed parameters and outputs, the phase it belongs to, its risk,
what evidence it destroys, what happens when its time is over, and its inverse. Each maps to the
words of OpenC2 (Language Specification 1.0; `er:` is the unpublished endpoint response draft),
MITRE D3FEND, RE&CT and OCSF 7001-7004 where these have a word; an empty string says they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from soar.errors import Problem
from soar.model import EntityKind
from soar.phases import Phase


class Risk(StrEnum):
    """How much harm a verb can do when it is wrong."""

    READ = "read"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    DESTRUCTIVE = "destructive"


class OnExpiry(StrEnum):
    """What the end of a lease or review does: a block ends by itself, an isolation never does."""

    LIFT = "lift"
    HOLD = "hold"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or output: `type` is str, int, bool, duration, list, dict or any.

    `joined` says how the outputs of several targets become one, where it is not the type's own way (lists
    joined, numbers added, a bool true if true for all): the `most` of numbers, the `worst` of verdicts.
    """

    type: str
    required: bool = True
    doc: str = ""
    joined: Literal["", "most", "worst"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One word of the vocabulary. `target_param` names the parameter that holds the target.

    `expects` names a bool output without which a read counts as not effective (a host not clean).
    """

    name: str
    target_kind: EntityKind
    target_param: str
    phase: Phase
    risk: Risk
    params: Mapping[str, Field] = field(default_factory=dict)
    outputs: Mapping[str, Field] = field(default_factory=dict)
    destroys: frozenset[str] = frozenset()
    on_expiry: OnExpiry = OnExpiry.NONE
    inverse: str = ""
    undoes: str = ""
    on_doubt: str = "ask"
    expects: str = ""
    openc2: str = ""
    d3fend: str = ""
    react: str = ""
    ocsf: int = 7001

    @property
    def reads(self) -> bool:
        return self.risk is Risk.READ

    @property
    def contains(self) -> bool:
        """True for a verb whose effect stands at the target until somebody ends it."""
        return bool(self.inverse) and not self.undoes

    def problems(self, params: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with these parameters; pointers are the parameters' names."""
        found = []
        for name in params:
            if name not in self.params:
                known = ", ".join(self.params)
                found.append(
                    Problem(
                        code="unknown_parameter",
                        message=f"{self.name} has no parameter {name!r}",
                        pointer=name,
                        mend=f"It takes: {known}.",
                    )
                )
        for name, spec in self.params.items():
            if name not in params:
                if spec.required:
                    found.append(
                        Problem(
                            code="missing_parameter",
                            message=f"{self.name} needs {name!r}",
                            pointer=name,
                            mend=f"Add {name}: {spec.doc or spec.type}.",
                        )
                    )
            elif not _fits(spec.type, params[name]):
                found.append(
                    Problem(
                        code="wrong_type",
                        message=f"{self.name}: {name!r} must be {spec.type}, not {type(params[name]).__name__}",
                        pointer=name,
                    )
                )
        return found


_PYTHON: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "duration": (int, float, str),
    "list": (list, tuple),
    "dict": (dict,),
}


def _fits(kind: str, value: Any) -> bool:
    if kind == "any":
        return True
    if kind == "int" and isinstance(value, bool):
        return False
    return isinstance(value, _PYTHON[kind])


HOST, ACCOUNT, OBSERVABLE = EntityKind.HOST, EntityKind.ACCOUNT, EntityKind.OBSERVABLE
INCIDENT, TEAM, KEY, MAILBOX, SERVICE = (
    EntityKind.INCIDENT,
    EntityKind.TEAM,
    EntityKind.KEY,
    EntityKind.MAILBOX,
    EntityKind.SERVICE,
)
_host = Field("str", doc="host id")
_account = Field("str", doc="account id")
_path = Field("str", doc="absolute path on the host")
_MEMORY = frozenset({"memory", "processes", "connections"})


def _block(what: str, openc2: str, d3fend: str, react: tuple[str, str]) -> list[Verb]:
    """A block of one kind of observable and its unblock."""
    params = {what: Field("str", doc=f"the {what} to block")}
    return [
        Verb(
            name=f"block_{what}", target_kind=OBSERVABLE, target_param=what, phase=Phase.CONTAINMENT,
            risk=Risk.MEDIUM, params=params | {"duration": Field("duration", required=False)},
            outputs={"flows_ended": Field("int", required=False, doc="live flows that were cut")},
            on_expiry=OnExpiry.LIFT, inverse=f"unblock_{what}",
            openc2=openc2, d3fend=d3fend, react=react[0], ocsf=7004,
        ),
        Verb(
            name=f"unblock_{what}", target_kind=OBSERVABLE, target_param=what, phase=Phase.RECOVERY,
            risk=Risk.MEDIUM, params=params, inverse=f"block_{what}", undoes=f"block_{what}",
            openc2="allow " + openc2.partition(" ")[2], react=react[1], ocsf=7004,
        ),
    ]  # fmt: skip


def _pair(
    do: str, undo: str, *, kind: EntityKind, param: str, phase: Phase = Phase.CONTAINMENT,
    risk: Risk = Risk.HIGH, extra: Mapping[str, Field] | None = None, destroys: frozenset[str] = frozenset(),
    on_expiry: OnExpiry = OnExpiry.HOLD, openc2: tuple[str, str] = ("", ""),
    d3fend: tuple[str, str] = ("", ""), react: tuple[str, str] = ("", ""), ocsf: int = 7001,
) -> list[Verb]:  # fmt: skip
    """A containment and the act that ends it. What is undone is recovery."""
    params = {param: Field("str", doc=f"{kind.value} id"), **(extra or {})}
    return [
        Verb(
            name=do, target_kind=kind, target_param=param, phase=phase, risk=risk, params=params,
            destroys=destroys, on_expiry=on_expiry, inverse=undo,
            openc2=openc2[0], d3fend=d3fend[0], react=react[0], ocsf=ocsf,
        ),
        Verb(
            name=undo, target_kind=kind, target_param=param, phase=Phase.RECOVERY, risk=risk, params=params,
            inverse=do, undoes=do, openc2=openc2[1], d3fend=d3fend[1], react=react[1], ocsf=ocsf,
        ),
    ]  # fmt: skip


def _one(name: str, kind: EntityKind, param: str, phase: Phase, risk: Risk, **more: Any) -> list[Verb]:
    params = {param: Field("str", doc=f"{kind.value} id"), **more.pop("params", {})}
    return [Verb(name=name, target_kind=kind, target_param=param, phase=phase, risk=risk, params=params, **more)]


def _command(kind: str, risk: Risk, phase: Phase, *, searches: str = "") -> list[Verb]:
    """A CACAO command at one target: `command`, `agent` and `endpoint` are the playbook's own objects, filled in.

    `searches` says what it looks through, where that is evidence; `status` is then the number of hits.
    """
    params = {
        "command": Field("dict", doc="the CACAO command with its variables filled in"),
        "agent": Field("dict", required=False, doc="who carries it out, as the playbook defines it"),
        "endpoint": Field("dict", required=False, doc="the target, as the playbook defines it"),
    }
    if searches:
        params["evidence"] = Field("list", required=False, doc=searches)
    outputs = {
        "result": Field("any", required=False, doc="what came back: text, or what its JSON says"),
        "status": Field("int", required=False, doc="number of hits" if searches else "status or exit code"),
    }
    return _one(f"command_{kind}", SERVICE, "target", phase, risk, params=params, outputs=outputs)


_DISK = {"path": _path}
_ALL: list[Verb] = [
    # containment that stands until somebody releases it
    *_pair(
        "isolate_host", "release_host", kind=HOST, param="host",
        extra={"allow": Field("list", required=False, doc="networks that stay reachable, by name")},
        destroys=frozenset({"connections"}), openc2=("contain device", "allow device"),
        d3fend=("D3-NI", "D3-RNA"), ocsf=7004,
    ),
    *_pair(
        "disable_account", "enable_account", kind=ACCOUNT, param="account",
        openc2=("set er:account", "set er:account"), d3fend=("D3-AL", "D3-ULA"), react=("RA3601", "RA5601"),
    ),
    *_pair(
        "segment_network", "join_network", kind=HOST, param="network",
        destroys=frozenset({"connections"}), d3fend=("D3-NI", "D3-RNA"), ocsf=7004,
    ),
    *_pair("fail_over", "fail_back", kind=SERVICE, param="service"),
    *_pair(
        "quarantine_file", "restore_file", kind=HOST, param="host", extra=_DISK, phase=Phase.ERADICATION,
        risk=Risk.MEDIUM, openc2=("contain file", "allow file"), d3fend=("D3-FR", "D3-RF"),
        react=("RA3303", "RA5301"), ocsf=7002,
    ),
    *_pair(
        "quarantine_email", "release_email", kind=MAILBOX, param="message_id", risk=Risk.MEDIUM,
        d3fend=("D3-ER", "D3-RE"), react=("RA3203", "RA5203"),
    ),
    *_pair("stop_service", "start_service", kind=HOST, param="host", extra={"name": Field("str")},
           openc2=("stop er:service", "start er:service"), react=("RA3501", "RA5501")),
    *_pair("lock_device", "unlock_device", kind=HOST, param="host"),
    *_pair("revoke_credential", "restore_credential", kind=KEY, param="key", react=("RA4601", "")),
    *_block("ip", "deny ipv4_net", "D3-NTF", ("RA3101", "RA5101")),
    *_block("domain", "deny domain_name", "D3-DNSDL", ("RA3103", "RA5102")),
    *_block("url", "deny uri", "D3-NTF", ("RA3105", "RA5103")),
    *_block("hash", "deny file", "D3-EDL", ("RA3403", "RA5401")),
    *_block("sender", "deny email_addr", "D3-SRA", ("RA3202", "RA5202")),
    # composed by the engine: one action for each blockable observable
    *_one("block_indicators", INCIDENT, "from", Phase.CONTAINMENT, Risk.MEDIUM, on_expiry=OnExpiry.LIFT,
          outputs={"blocked": Field("list"), "left_out": Field("list")}, ocsf=7004),
    # acts without an inverse
    *_one("revoke_sessions", ACCOUNT, "account", Phase.CONTAINMENT, Risk.MEDIUM, destroys=frozenset({"sessions"}),
          outputs={"revoked": Field("int")}, d3fend="D3-ANCI"),
    *_one("reset_password", ACCOUNT, "account", Phase.ERADICATION, Risk.MEDIUM, d3fend="D3-CRO", react="RA4601"),
    *_one("kill_process", HOST, "host", Phase.ERADICATION, Risk.DESTRUCTIVE, params={"pid": Field("int")},
          destroys=_MEMORY, openc2="stop process", d3fend="D3-PT", ocsf=7003),
    *_one("delete_file", HOST, "host", Phase.ERADICATION, Risk.DESTRUCTIVE, params=_DISK,
          destroys=frozenset({"disk"}), openc2="delete file", d3fend="D3-FR", react="RA4301", ocsf=7002),
    *_one("remove_persistence", HOST, "host", Phase.ERADICATION, Risk.HIGH, params={"entry": Field("str")},
          destroys=frozenset({"disk"})),
    *_one("remove_inbox_rule", MAILBOX, "mailbox", Phase.ERADICATION, Risk.MEDIUM, params={"rule": Field("str")}),
    *_one("revoke_consent", ACCOUNT, "account", Phase.ERADICATION, Risk.MEDIUM, params={"app": Field("str")}),
    *_one("wipe_device", HOST, "host", Phase.ERADICATION, Risk.DESTRUCTIVE, destroys=_MEMORY | {"disk", "logs"}),
    *_one("rebuild_host", HOST, "host", Phase.ERADICATION, Risk.DESTRUCTIVE, destroys=_MEMORY | {"disk", "logs"},
          react="RA5001"),
    *_one("patch", HOST, "host", Phase.ERADICATION, Risk.HIGH, params={"update": Field("str")}, react="RA3001"),
    *_one("apply_workaround", HOST, "host", Phase.CONTAINMENT, Risk.HIGH, params={"change": Field("str")}),
    *_one("restore_backup", HOST, "host", Phase.RECOVERY, Risk.HIGH, params={"backup": Field("str")},
          react="RA5002"),
    *_one("request_change", INCIDENT, "incident", Phase.RECOVERY, Risk.LOW, params={"text": Field("str")}),
    # reads
    *_one("collect_evidence", HOST, "host", Phase.DETECTION, Risk.READ, params={"items": Field("list")},
          outputs={"items": Field("list", doc="ids of evidence items")}, react="RA2311", ocsf=7001),
    *_one("snapshot_host", HOST, "host", Phase.DETECTION, Risk.READ, outputs={"items": Field("list")}),
    *_one("scan", INCIDENT, "incident", Phase.DETECTION, Risk.READ,
          params={"evidence": Field("list"), "rules": Field("str", required=False)},
          outputs={"malware_found": Field("bool"), "files": Field("list", doc="{host, path, rule, item}"),
                   "processes": Field("list", doc="{host, pid, rule, item}")},
          d3fend="D3-FCR"),
    *_one("look_up", OBSERVABLE, "observable", Phase.DETECTION, Risk.READ,
          outputs={"verdict": Field("str", joined="worst"), "confidence": Field("int", joined="most")}),
    *_one("verify_clean", HOST, "host", Phase.ERADICATION, Risk.READ, expects="clean",
          outputs={"clean": Field("bool"), "found": Field("list")}),
    *_one("watch", HOST, "host", Phase.RECOVERY, Risk.READ,
          outputs={"hits": Field("list"), "again": Field("list", required=False, doc="hosts that were hit")}),
    # words
    *_one("notify", TEAM, "team", Phase.DETECTION, Risk.LOW, params={"text": Field("str")}, on_doubt="repeat",
          openc2=""),
    *_one("open_ticket", TEAM, "team", Phase.DETECTION, Risk.LOW, params={"text": Field("str")},
          outputs={"ticket": Field("str")}),
    *_one("update_ticket", TEAM, "team", Phase.DETECTION, Risk.LOW,
          params={"ticket": Field("str"), "text": Field("str")}),
    *_one("share_intel", INCIDENT, "incident", Phase.DETECTION, Risk.MEDIUM,
          params={"to": Field("str"), "tlp": Field("str")}),
    # CACAO commands as they are: what they do, only their author knows
    *_command("http_api", Risk.HIGH, Phase.CONTAINMENT),
    *_command("openc2_http", Risk.HIGH, Phase.CONTAINMENT),
    *_command("ssh", Risk.DESTRUCTIVE, Phase.CONTAINMENT),
    *_command("bash", Risk.DESTRUCTIVE, Phase.CONTAINMENT),
    *_command("powershell", Risk.DESTRUCTIVE, Phase.CONTAINMENT),
    *_command("caldera_cmd", Risk.DESTRUCTIVE, Phase.DETECTION),
    *_command("elastic", Risk.READ, Phase.DETECTION),
    *_command("jupyter", Risk.DESTRUCTIVE, Phase.DETECTION),
    *_command("kestrel", Risk.READ, Phase.DETECTION),
    *_command("sigma", Risk.READ, Phase.DETECTION, searches="ids of the logs to search"),
    *_command("yara", Risk.READ, Phase.DETECTION, searches="ids of the items to scan"),
]  # fmt: skip

VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _ALL}

BLOCK_VERB: Mapping[str, str] = {
    "ipv4-addr": "block_ip",
    "ipv6-addr": "block_ip",
    "domain-name": "block_domain",
    "url": "block_url",
    "file": "block_hash",
    "email-addr": "block_sender",
}
"""Which verb blocks an observable of a STIX type."""
