"""Verifies an evidence package offline: no server, no network, no database, flat memory.

Everything is checked from the entries themselves, never from stored nodes or stored verdicts, and
every problem is listed with the file it concerns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evidence import bag, custody, layout
from evidence.custody import CustodyEntry
from evidence.findings import Findings, pointing
from evidence.note import open_note, read_verifier_key
from evidence.reading import Package, reading
from evidence.verify_log import check_log
from soar.errors import Invalid, Problem
from soar.events import moment

MAX_PROBLEMS = 10_000
_SHAPES: Mapping[str, type] = {"incident": dict, "timeline": dict, "actions": list, "runs": list, "approvals": list}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found. `checked` counts what was looked at; `notes` says what no check could show."""

    problems: tuple[Problem, ...] = ()
    checked: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(path: Path, trusted_key: bytes | None = None) -> Verification:
    """Check a zip or a folder. `trusted_key` is the sender's raw Ed25519 key, had by another way.

    Raises NotFound where there is nothing, Invalid where `trusted_key` is no key. A hostile or
    broken package raises nothing: its problems are listed, `pointer` being the file in the package.
    """
    if trusted_key is not None and len(trusted_key) != 32:
        raise Invalid("an Ed25519 public key has 32 bytes")
    found = Findings()
    notes = ["unwitnessed: no second party vouches for the checkpoint"]
    if trusted_key is None:
        notes.insert(0, "key not confirmed from outside")
    with found.gather(), reading(path) as package:
        _inspect(package, trusted_key, found)
    problems = found.ordered()
    if len(problems) > MAX_PROBLEMS:
        notes.append(f"only the first {MAX_PROBLEMS} of {len(problems)} problems are listed")
    return Verification(problems=problems[:MAX_PROBLEMS], checked=found.checked, notes=tuple(notes))


def _inspect(package: Package, trusted_key: bytes | None, found: Findings) -> None:
    fixities, problems = bag.check(package)
    found.problems += problems
    found.checked |= {"files": len(fixities), "octets": sum(each.size for each in fixities.values())}
    _layout(package, found)
    key_name, key = _key(package, found)
    if trusted_key is not None and trusted_key != key:
        found.add("key_foreign", "is not the key that you trust", layout.PUBLIC_KEY)
        key = trusted_key
    with found.gather():
        export_id = _export(package, found)
        _signature(package, fixities, (key_name, key, export_id), found)
    for name, shape in _SHAPES.items():
        with found.gather():
            _shaped(package, layout.RECORDS[name], shape)
    _playbooks(fixities, found)
    with found.gather():
        _items(package, fixities, found)
    check_log(package, key_name, key, found)


def _layout(package: Package, found: Findings) -> None:
    """Files that a package must have, and payload that has no place in one."""
    for name in layout.REQUIRED:
        if name not in package.sizes:
            found.add("package_missing", "is missing", name)
    folders = ("data/evidence/", "data/custody/", "data/playbooks/")
    for name in package.sizes:
        known = name in layout.REQUIRED or layout.stream_of(name) or name.startswith(folders)
        if name.startswith("data/") and not known:
            found.add("package_unexpected", "has no place in a package", name)


def _key(package: Package, found: Findings) -> tuple[str, bytes]:
    """The name and the key that the package says are its sender's."""
    with found.gather(), pointing(layout.PUBLIC_KEY):
        return read_verifier_key(package.document(layout.PUBLIC_KEY, 4096).decode("utf-8", "replace"))
    return "", b""


def _export(package: Package, found: Findings) -> str:
    """Check the export record; returns the export's id."""
    record = _shaped(package, layout.EXPORT, dict)
    for name in layout.EXPORT_FIELDS:
        if not isinstance(record.get(name), str) or not record[name]:
            found.add("export_record", f"{name} is missing", layout.EXPORT)
    try:
        moment(str(record.get("at")))
    except (ValueError, OverflowError):
        found.add("export_record", "at is no time with a zone", layout.EXPORT)
    with found.gather():
        if bag.info(package).get("External-Identifier") != record.get("id"):
            found.add("export_record", "External-Identifier is not the id of the export record", bag.INFO)
    return str(record.get("id"))


def _signature(
    package: Package, fixities: Mapping[str, bag.Fixity], who: tuple[str, bytes, str], found: Findings
) -> None:
    """The note over the tag manifest, and through it over every file."""
    key_name, key, export_id = who
    note = package.document(bag.SIGNATURE, 64 * 1024).decode("utf-8", "replace")
    with pointing(bag.SIGNATURE):
        text = open_note(note, key_name, key)
    sealed = fixities.get(bag.SEALED)
    if sealed is None or text != layout.seal_text(export_id, sealed.sha256):
        found.add("package_signature", "was made for other contents or another export", bag.SIGNATURE)
    found.count("signatures")


def _playbooks(fixities: Mapping[str, bag.Fixity], found: Findings) -> None:
    for name, each in fixities.items():
        if name.startswith("data/playbooks/"):
            found.count("playbooks")
            if name != layout.playbook_file(each.sha256):
                found.add("playbook_digest", "is not the playbook that its name says", name)


def _items(package: Package, fixities: Mapping[str, bag.Fixity], found: Findings) -> None:
    """Every item of the index against its bytes and its chain; every file against the index."""
    indexed = {layout.INDEX}
    for position, entry in enumerate(_shaped(package, layout.INDEX, list)):
        ident = entry.get("id") if isinstance(entry, dict) else None
        name = layout.item_file(str(ident))
        if not isinstance(ident, str) or not layout.IDENT.fullmatch(ident) or name in indexed:
            found.add("index_entry", "has no id of its own", f"{layout.INDEX}#{position}")
            continue
        indexed |= {name, layout.custody_file(ident)}
        found.count("items")
        here = fixities.get(name)
        if here is None:
            found.add("evidence_missing", "stands in the index and cannot be read", name)
        elif (entry.get("sha256"), entry.get("sha512"), entry.get("size")) != (here.sha256, here.sha512, here.size):
            found.add("evidence_altered", "is not what the index says", name)
        with found.gather():
            _custody(package, ident, entry.get("sha256"), found)
    for name in package.sizes:
        if name.startswith(("data/evidence/", "data/custody/")) and name not in indexed:
            found.add("index_missing", "belongs to no item of the index", name)


def _custody(package: Package, ident: str, sha256: Any, found: Findings) -> None:
    name = layout.custody_file(ident)
    entries = []
    for position, plain in enumerate(_shaped(package, name, list)):
        with found.gather(), pointing(f"{name}#{position}"):
            entries.append(CustodyEntry.from_plain(plain))
    for each in custody.problems(entries):
        _, _, position_text = each.pointer.rpartition("#")
        found.problems.append(replace(each, pointer=f"{name}#{position_text}"))
    if entries and entries[0].item_id != ident:
        found.add("custody_foreign", f"is the record of item {entries[0].item_id}", name)
    if entries and entries[0].hash_after != sha256:
        found.add("custody_hash_broken", "what was acquired is not what the index says", name)
    found.count("custody_entries", len(entries))


def _shaped(package: Package, name: str, shape: type) -> Any:
    """A JSON file whose outermost value is an object (dict) or an array (list); raises Invalid."""
    value = package.json(name)
    if not isinstance(value, shape):
        kind = "object" if shape is dict else "array"
        raise Invalid(problems=[Problem(code="package_json", message=f"is not a JSON {kind}", pointer=name)])
    return value
