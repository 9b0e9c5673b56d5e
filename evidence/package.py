"""Builds an evidence package: a signed BagIt bag that foreign tools can check without us.

The same record gives the same bytes. What is not finished is never visible under its final name.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from evidence import layout
from evidence.archive import write_zip
from evidence.bag import SIGNATURE, BagWriter, Fixity
from evidence.custody import CustodyEntry
from evidence.note import sign_note, verifier_key, verify_note
from evidence.reading import CHUNK, MAX_DOCUMENT, MAX_LINE
from evidence.vault import sync_folder
from soar.errors import Conflict, Invalid, NotFound, Problem, TooLarge, Unavailable
from soar.events import moment, stamp
from soar.model import JsonObject, StoredItem
from soar.ports import Signer, Vault

Body = tuple[bytes, Mapping[str, tuple[str, Any]]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedItem:
    """One item of evidence and its whole chain of custody."""

    stored: StoredItem
    custody: Sequence[CustodyEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageContents:
    """Everything a package tells, as plain data.

    `export`: id, recipient, purpose, requested_by, at (RFC 3339). `playbooks`: SHA-256 (hex) to
    the canonical CACAO JSON. `streams`: each from its first event, as stored bodies with the salted
    values that may be shown. `proofs`: event id to (leaf index, audit path in hex). `checkpoint` is
    the signed note, `key_name` and `public_key` (raw) are its signer's. `late`: entries were
    written down after the fact; `notes` says what a reader must know.
    """

    export: JsonObject
    incident: JsonObject
    timeline: JsonObject
    actions: Sequence[JsonObject]
    runs: Sequence[JsonObject]
    approvals: Sequence[JsonObject]
    playbooks: Mapping[str, bytes]
    items: Sequence[PackedItem]
    streams: Mapping[str, Sequence[Body]]
    proofs: Mapping[str, tuple[int, Sequence[str]]]
    checkpoint: str
    key_name: str
    public_key: bytes
    late: bool = False
    notes: tuple[str, ...] = field(default=())


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def build(
    contents: PackageContents, vault: Vault, destination: Path, signer: Signer, progress: Progress = _silent
) -> Path:
    """Write the package to `destination`: a zip where its name ends in .zip, else a folder.

    An older zip there is replaced as a whole; a folder there raises Conflict. `progress` hears
    ("copy" | "pack", octets done, octets in all). Raises Invalid with every problem of the
    contents and every blob that is missing or damaged, Unavailable where the disk fails.
    """
    at = _check(contents, signer)
    packed = destination.suffix == ".zip"
    if destination.is_dir() or (destination.exists() and not packed):
        raise Conflict(f"something else stands at {destination}")
    try:
        work = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.", suffix=".part"))
        try:
            folder = work / "bag"
            folder.mkdir(mode=0o700)
            _fill(contents, vault, folder, signer, progress)
            ready = folder
            if packed:
                ready = work / "bag.zip"
                base = f"evidence-{contents.export['id']}"
                write_zip(folder, base, at, ready, lambda done, total: progress("pack", done, total))
            else:
                _sync_tree(folder)
            ready.replace(destination)
            sync_folder(destination.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise Unavailable(f"the package cannot be written: {error.strerror}") from error
    return destination


def _check(contents: PackageContents, signer: Signer) -> datetime:
    """The moment of the export; raises Invalid with every problem."""
    at, faults = _check_export(contents.export)
    faults += _check_names(contents)
    if (signer.key_name, signer.public_key) != (contents.key_name, contents.public_key):
        faults.append(("public_key", "the package is signed by another key than its checkpoint"))
    if faults or at is None:
        found = [Problem(code="package_contents", message=why, pointer=where) for where, why in faults]
        raise Invalid("the package cannot be built from this", found)
    verify_note(contents.checkpoint, contents.key_name, contents.public_key)
    return at


def _check_export(export: JsonObject) -> tuple[datetime | None, list[tuple[str, str]]]:
    """The moment of the export, and the faults of its record as (place, message)."""
    faults = [
        (f"export.{name}", "is missing")
        for name in layout.EXPORT_FIELDS
        if not isinstance(export.get(name), str) or not export[name]
    ]
    try:
        at = moment(str(export.get("at")))
    except (ValueError, OverflowError):
        return None, [*faults, ("export.at", "is no RFC 3339 time with a zone")]
    if not 1980 <= at.year <= 2107:
        faults.append(("export.at", "is outside 1980-2107, what a zip can say"))
    return at, faults


def _check_names(contents: PackageContents) -> list[tuple[str, str]]:
    """Names that become file names, and are ours: anything unusual in them is a mistake."""
    ids = [str(contents.export.get("id")), *(each.stored.id for each in contents.items)]
    faults = [
        (repr(each), "an id has small letters, digits, hyphens") for each in ids if not layout.IDENT.fullmatch(each)
    ]
    if len(set(ids)) != len(ids):
        faults.append(("items", "two items have one id"))
    streams = (each for each in contents.streams if not layout.STREAM.fullmatch(each))
    faults += [(f"streams.{each!r}", "is no name of a stream") for each in streams]
    digests = (each for each in contents.playbooks if not layout.DIGEST.fullmatch(each))
    return faults + [(f"playbooks.{each!r}", "is no SHA-256 in hex") for each in digests]


def _fill(contents: PackageContents, vault: Vault, folder: Path, signer: Signer, progress: Progress) -> None:
    """Write a whole bag into an empty folder."""
    bag = BagWriter(folder)
    bag.add(layout.README, [layout.README_TEXT.encode()])
    for name, path in layout.RECORDS.items():
        _document(bag, path, getattr(contents, name))
    about = {"late": contents.late, "notes": list(contents.notes)}
    _document(bag, layout.EXPORT, {**contents.export, **about})
    for stream in sorted(contents.streams):
        bag.add(layout.events_file(stream), _event_lines(stream, contents.streams[stream]))
    proofs = {ident: {"leaf_index": i, "path": list(path)} for ident, (i, path) in contents.proofs.items()}
    _document(bag, layout.PROOFS, proofs)
    bag.add(layout.CHECKPOINT, [contents.checkpoint.encode()])
    bag.add(layout.PUBLIC_KEY, [f"{verifier_key(contents.key_name, contents.public_key)}\n".encode()])
    for digest, text in sorted(contents.playbooks.items()):
        if bag.add(layout.playbook_file(digest), [text]).sha256 != digest:
            raise _invalid("package_contents", "is not the playbook of this digest", f"playbooks.{digest}")
    _add_items(bag, contents.items, vault, progress)
    export_id = str(contents.export["id"])
    whole = bag.finish(
        {
            "Bagging-Date": str(contents.export["at"])[:10],
            "External-Identifier": export_id,
            "External-Description": "Evidence package of one security incident",
        }
    )
    bag.add(SIGNATURE, [sign_note(layout.seal_text(export_id, whole), signer).encode()])


def _add_items(bag: BagWriter, items: Sequence[PackedItem], vault: Vault, progress: Progress) -> None:
    """Copy every blob, hashing on the way; raises Invalid with all that are missing or damaged."""
    total, done = sum(each.stored.size for each in items), 0
    problems: list[Problem] = []
    index = []
    for each in sorted(items, key=lambda packed: packed.stored.id):
        stored = each.stored
        where = layout.item_file(stored.id)
        try:
            found = bag.add(where, _blob(vault, stored.sha256))
            if found != Fixity(stored.sha256, stored.sha512, stored.size):
                problems.append(Problem(code="evidence_damaged", message="is not what was stored", pointer=where))
        except NotFound as error:
            problems.append(Problem(code="evidence_missing", message=error.message, pointer=where))
        _document(bag, layout.custody_file(stored.id), [entry.as_plain() for entry in each.custody])
        index.append(_index_entry(stored))
        done += stored.size
        progress("copy", done, total)
    if problems:
        raise Invalid("the vault does not hold what was stored", problems)
    _document(bag, layout.INDEX, index)


def _index_entry(stored: StoredItem) -> dict[str, Any]:
    """What an item is. Its name and path came from outside and stand here as data alone."""
    item = stored.item
    return {
        "id": stored.id,
        "file": f"{stored.id}.bin",
        "sha256": stored.sha256,
        "sha512": stored.sha512,
        "size": stored.size,
        "name": item.name,
        "evidence_class": item.evidence_class,
        "source": item.source,
        "path": item.path,
        "method": item.method,
        "tool": item.tool,
        "acquired_at": stamp(item.acquired_at) if item.acquired_at else None,
        "source_sha256": item.source_sha256,
    }


def _blob(vault: Vault, sha256: str) -> Iterator[bytes]:
    with vault.open(sha256) as blob:
        while chunk := blob.read(CHUNK):
            yield chunk


def _event_lines(stream: str, rows: Iterable[Body]) -> Iterator[bytes]:
    for position, (body, values) in enumerate(rows):
        shown = {name: list(salted) for name, salted in values.items()}
        line = _json({"body": base64.b64encode(body).decode(), "values": shown}, f"streams.{stream}#{position}", None)
        if len(line) > MAX_LINE:
            raise TooLarge(f"event {position} of {stream} is too large for a package")
        yield line


def _document(bag: BagWriter, name: str, value: Any) -> None:
    text = _json(value, name, 1)
    if len(text) > MAX_DOCUMENT:
        raise TooLarge(problems=[Problem(code="package_too_large", message="is too large", pointer=name)])
    bag.add(name, [text])


def _json(value: Any, pointer: str, indent: int | None) -> bytes:
    """JSON in one form; everything but ASCII is escaped, so no reader's terminal obeys it."""
    try:
        return json.dumps(value, sort_keys=True, indent=indent, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise _invalid("package_contents", f"is not plain data: {error}", pointer) from error


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _invalid(code: str, message: str, pointer: str) -> Invalid:
    return Invalid(problems=[Problem(code=code, message=message, pointer=pointer)])
