"""YARA as an adapter: scans evidence items for malware. Reads only; changes nothing anywhere.

It scans with the rule sets that are kept here (`scan`), or with the rules of a CACAO command of type `yara`
(CACAO 2.0, section 5; `command_yara`). Each item is scanned in a process of its own, from an unnamed copy, so that a
hostile rule or a hostile file cannot hold up, crash or fill this one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from evidence import scanning
from evidence.yara_child import COMPILE_SECONDS
from soar.errors import Invalid, Problem
from soar.model import Applied, Call, Inspection, JsonObject, Repeat, StoredItem
from soar.ports import Capability, NotSent, Rejected, Rights, Sink

KIND = "yara"
MEMORY = 1024 * 1024 * 1024
"""What compiling and scanning may take beside the item itself, in octets."""
MAX_HITS = 1000
"""How many hits of a command are listed; all are counted."""
_SHIPPED = Path(__file__).with_name("rules")
_CHILD = Path(__file__).with_name("yara_child.py")
_RULES = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PROCESS = re.compile(r"pid:([0-9]{1,10})")


class Config(BaseModel, extra="forbid", frozen=True):
    """`rules_folder` holds more rule sets, `<name>.yar` each; `timeout` is seconds for one item."""

    rules_folder: Path | None = None
    timeout: float = Field(default=20.0, gt=0, le=3600)
    max_bytes: int = Field(default=1024 * 1024 * 1024, gt=0)


class YaraAdapter:
    """Satisfies soar.ports.Adapter with the verbs `scan` and `command_yara`."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        once = Capability(repeat=Repeat.READ, inspects=False, timeout=config.timeout + COMPILE_SECONDS)
        self.verbs: Mapping[str, Capability] = {"scan": once, "command_yara": once}
        self._config = config

    def inspect(self, call: Call) -> Inspection:
        """There is nothing to inspect: a scan leaves no effect."""
        self._known(call)
        return Inspection(present=None, state={}, summary=f"{call.verb} leaves no effect")

    def apply(self, call: Call, sink: Sink) -> Applied:
        """Scan the items named by `evidence`, with the set named by `rules` or with the rules of a command."""
        self._known(call)
        by_command = call.verb == "command_yara"
        rules: JsonObject = (
            {"text": scanning.rule_of(call)}
            if by_command
            else {"rules": [str(self._rules(call.params.get("rules") or "default"))]}
        )
        ids = scanning.items_of(call)
        found = scanning.scan_all(ids, lambda ident: self._scan(ident, rules, sink), len)
        hits = [hit for each in found for hit in each]
        summary = f"{len(ids)} items scanned, {len(hits)} hits"
        if by_command:
            return Applied(outputs={"result": hits[:MAX_HITS], "status": len(hits)}, summary=summary)
        outputs = {
            "malware_found": bool(hits),
            "files": [hit for hit in hits if "pid" not in hit],
            "processes": [hit for hit in hits if "pid" in hit],
        }
        return Applied(outputs=outputs, summary=summary)

    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:
        """A scan changes nothing, so nothing can be taken back."""
        raise Rejected(f"{call.verb} has nothing to undo (handle {dict(handle)}, prior {dict(prior)})")

    def rights(self) -> Rights:
        """It reads what the vault hands it and has no credential."""
        return Rights()

    def check(self) -> Sequence[Problem]:
        """Compile every rule file; each that fails is a problem with its line."""
        paths = sorted(_SHIPPED.glob("*.yar"))
        folder = self._config.rules_folder
        if folder is not None and not folder.is_dir():
            return [Problem(code="yara_rules_folder", message="the rules folder is not there", pointer=str(folder))]
        paths += sorted(folder.glob("*.yar")) if folder else []
        try:
            scanning.ask(_CHILD, self._request({"rules": [str(path) for path in paths]}, 0), None)
        except Invalid as error:
            return error.problems
        except (Rejected, NotSent) as error:
            return [Problem(code="yara_child", message=error.message)]
        return []

    def _known(self, call: Call) -> None:
        if call.verb not in self.verbs:
            raise Rejected(f"{self.name} cannot do {call.verb}")

    def _rules(self, name: Any) -> Path:
        """The file of a rule set; a name from outside is never a path."""
        if not isinstance(name, str) or not _RULES.fullmatch(name):
            raise Rejected("rules names a rule set in small letters, digits, hyphens and underscores")
        folder = _SHIPPED if name == "default" else self._config.rules_folder
        path = folder / f"{name}.yar" if folder else None
        if path is None or not path.is_file():
            raise Rejected(f"there is no rule set {name!r}")
        return path

    def _request(self, rules: JsonObject, size: int) -> JsonObject:
        return {**rules, "timeout": self._config.timeout, "memory": MEMORY + 2 * size}

    def _scan(self, ident: str, rules: JsonObject, sink: Sink) -> list[JsonObject]:
        """The hits in one item. An empty one holds nothing, but a rule that does not compile is none."""
        with scanning.copy_of(sink, ident, self._config.max_bytes) as (stored, copy, size):
            answer = scanning.ask(_CHILD, self._request(rules, size), copy if size else None)
        return [_hit(stored, rule) for rule in answer["rules"]]


def _hit(stored: StoredItem, rule: str) -> JsonObject:
    """A hit in the memory of a process names the process, any other the file."""
    item = stored.item
    process = _PROCESS.fullmatch(item.path) if item.evidence_class == "memory" else None
    where: JsonObject = {"pid": int(process[1])} if process else {"path": item.path or item.name}
    return {"host": item.source, **where, "rule": rule, "item": stored.id}


def connect(name: str, config: Config) -> YaraAdapter:
    """The adapter under a name."""
    return YaraAdapter(name, config)
