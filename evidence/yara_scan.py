"""YARA as an adapter: scans evidence items for malware. Reads only; changes nothing anywhere.

Each item is scanned in a process of its own, from an unnamed copy, so that a hostile rule or a
hostile file cannot hold up, crash or fill this one. An item that was not scanned is never clean:
the whole call is then Rejected.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, Field

from evidence.yara_child import COMPILE_SECONDS
from soar.errors import NotFound, Problem, SoarError, Unavailable
from soar.model import Applied, Call, Inspection, JsonObject, Repeat, StoredItem
from soar.ports import Capability, NotSent, Rejected, Rights, Sink

KIND = "yara"
CHUNK = 1024 * 1024
MAX_ITEMS = 1000
AT_ONCE = max(2, min(4, os.cpu_count() or 2))
"""How many items are scanned at the same time, each in a child of its own."""
MEMORY = 1024 * 1024 * 1024
"""What compiling and scanning may take beside the item itself."""
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
    """Satisfies soar.ports.Adapter with the one verb `scan`."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.verbs: Mapping[str, Capability] = {
            "scan": Capability(repeat=Repeat.READ, inspects=False, timeout=config.timeout + COMPILE_SECONDS)
        }
        self._config = config

    def inspect(self, call: Call) -> Inspection:
        """There is nothing to inspect: a scan leaves no effect."""
        return Inspection(present=None, state={}, summary=f"{call.verb} leaves no effect")

    def apply(self, call: Call, sink: Sink) -> Applied:
        """Scan the items named by `evidence` with the set named by `rules` ("default" when absent)."""
        rules = self._rules(call.params.get("rules") or "default")
        ids = call.params.get("evidence")
        if not isinstance(ids, list | tuple) or not ids or not all(isinstance(each, str) for each in ids):
            raise Rejected("evidence must be a list of item ids with at least one in it")
        if len(ids) > MAX_ITEMS:
            raise Rejected(f"at most {MAX_ITEMS} items are scanned in one call")
        files: list[JsonObject] = []
        processes: list[JsonObject] = []
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="yara") as pool:
            for stored, hits in pool.map(lambda ident: self._scan(ident, rules, sink), ids):
                for rule in hits:
                    hit = _hit(stored, rule)
                    (processes if "pid" in hit else files).append(hit)
        found = len(files) + len(processes)
        return Applied(
            outputs={"malware_found": found > 0, "files": files, "processes": processes},
            summary=f"{len(ids)} items scanned, {found} hits",
        )

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
            self._ask(paths, None, 0)
        except _BadRules as error:
            return error.problems
        except (Rejected, NotSent) as error:
            return [Problem(code="yara_child", message=error.message)]
        return []

    def _rules(self, name: Any) -> Path:
        """The file of a rule set; a name from outside is never a path."""
        if not isinstance(name, str) or not _RULES.fullmatch(name):
            raise Rejected("rules names a rule set in small letters, digits, hyphens and underscores")
        folder = _SHIPPED if name == "default" else self._config.rules_folder
        path = folder / f"{name}.yar" if folder else None
        if path is None or not path.is_file():
            raise Rejected(f"there is no rule set {name!r}")
        return path

    def _scan(self, ident: str, rules: Path, sink: Sink) -> tuple[StoredItem, list[str]]:
        try:
            stored = sink.describe(ident)
            with tempfile.TemporaryFile() as copy, sink.open(ident) as content:
                size = 0
                while chunk := content.read(CHUNK):
                    size += len(chunk)
                    if size > self._config.max_bytes:
                        raise Rejected(
                            f"item {ident} is larger than {self._config.max_bytes} octets and was not scanned"
                        )
                    copy.write(chunk)
                copy.flush()
                return stored, self._ask([rules], copy, size) if size else []
        except NotFound as error:
            raise Rejected(f"item {ident} was not scanned: {error.message}") from error
        except _BadRules as error:
            raise Rejected(f"a rule does not compile: {error.problems[0]}", problems=error.problems) from error
        except Unavailable as error:
            raise NotSent(f"item {ident} was not scanned: {error.message}") from error
        except OSError as error:
            raise NotSent(f"item {ident} was not scanned: {error.strerror}") from error

    def _ask(self, rules: Sequence[Path], item: IO[bytes] | None, size: int) -> list[str]:
        """Hand one request to a child; returns the names of the rules that matched."""
        timeout = self._config.timeout
        fds = [] if item is None else [item.fileno()]
        request = {
            "rules": [str(each) for each in rules],
            "fd": fds[0] if fds else None,
            "timeout": timeout,
            "memory": MEMORY + 2 * size,
        }
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and our own file
                [sys.executable, "-I", str(_CHILD)],
                input=json.dumps(request).encode(),
                capture_output=True,
                pass_fds=fds,
                timeout=timeout + COMPILE_SECONDS + 1,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Rejected(f"the scan did not end within {timeout} s") from error
        except OSError as error:
            raise NotSent(f"the scanner cannot be started: {error.strerror}") from error
        if done.returncode != 0:
            raise Rejected(
                f"the scanner died (exit {done.returncode}): {done.stderr[-200:].decode('utf-8', 'replace')}"
            )
        return _read(json.loads(done.stdout), timeout)


class _BadRules(SoarError):
    """Rules do not compile."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__()
        self.problems = problems


def _read(answer: JsonObject, timeout: float) -> list[str]:
    error = answer.get("error")
    if error is None:
        return list(answer["rules"])
    if error["kind"] == "rules":
        raise _BadRules(
            [
                Problem(code="yara_rule", message=each["message"], pointer=Path(each["file"]).name, line=each["line"])
                for each in error["faults"]
            ]
        )
    if error["kind"] == "timeout":
        raise Rejected(f"the scan did not end within {timeout} s")
    raise Rejected(f"the scan failed: {error['message']}")


def _hit(stored: StoredItem, rule: str) -> JsonObject:
    """A hit in the memory of a process names the process, any other the file."""
    item = stored.item
    process = _PROCESS.fullmatch(item.path) if item.evidence_class == "memory" else None
    where: JsonObject = {"pid": int(process[1])} if process else {"path": item.path or item.name}
    return {"host": item.source, **where, "rule": rule, "item": stored.id}


def connect(name: str, config: Config) -> YaraAdapter:
    """The adapter under a name."""
    return YaraAdapter(name, config)
