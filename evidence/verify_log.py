"""The part of a verification that concerns events: their streams, and their place in the signed log."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import rfc8785

from evidence import layout
from evidence.findings import Findings, pointing
from evidence.merkle import leaf_hash, verify_inclusion
from evidence.note import Checkpoint, verify_note
from evidence.reading import Package, parse
from soar.events import verify_stream

_SALT = re.compile(r"([0-9a-f]{2})+")
_HASH = re.compile(r"[0-9a-f]{64}")
Row = tuple[bytes, Mapping[str, tuple[str, Any]]]


def check_log(package: Package, key_name: str, key: bytes, found: Findings) -> None:
    """Check the checkpoint, every event stream, and every event's proof of inclusion."""
    checkpoint = None
    with found.gather(), pointing(layout.CHECKPOINT):
        note = package.document(layout.CHECKPOINT, 64 * 1024).decode("utf-8", "replace")
        checkpoint = verify_note(note, key_name, key)
    proofs: dict[str, Any] = {}
    with found.gather():
        proofs = _proofs(package, found)
    log = _Log(package, checkpoint, proofs, found)
    for name in sorted(package.sizes):
        stream = layout.stream_of(name)
        if stream is not None:
            with found.gather():
                for each in verify_stream(stream, log.rows(name)):
                    _, _, position = each.pointer.rpartition("#")
                    found.problems.append(replace(each, pointer=f"{name}#{position}"))
    for ident in proofs.keys() - log.seen:
        found.add("proof_foreign", f"proves event {ident}, which is not here", layout.PROOFS)


def _proofs(package: Package, found: Findings) -> dict[str, Any]:
    proofs = package.json(layout.PROOFS)
    if not isinstance(proofs, dict):
        found.add("package_json", "is not a JSON object", layout.PROOFS)
        return {}
    return proofs


class _Log:
    """Reads event files line by line, checking on the way what stands beside each event."""

    def __init__(
        self, package: Package, checkpoint: Checkpoint | None, proofs: Mapping[str, Any], found: Findings
    ) -> None:
        self._package, self._checkpoint, self._proofs, self._found = package, checkpoint, proofs, found
        self.seen: set[str] = set()

    def rows(self, name: str) -> Iterator[Row]:
        """The rows of a stream; one that cannot be read is empty, so that positions stay true."""
        for position, line in enumerate(self._package.lines(name)):
            where = f"{name}#{position}"
            self._found.count("events")
            body, values = _row(line)
            ident = _event_id(body)
            if ident is None:
                yield b"", {}
                continue
            self._prove(ident, body, where)
            kept = {key: value for key, salted in values.items() if (value := _salted(salted)) is not None}
            if len(kept) != len(values):
                self._found.add("event_value_malformed", "shows a value without salt or meaning", where)
            yield body, kept

    def _prove(self, ident: str, body: bytes, where: str) -> None:
        self.seen.add(ident)
        if self._checkpoint is None:
            return
        proof = _proof(self._proofs.get(ident))
        if proof is None:
            self._found.add("event_unproven", "has no proof of inclusion that can be read", where)
            return
        index, path = proof
        at = self._checkpoint
        if verify_inclusion(leaf=leaf_hash(body), index=index, size=at.size, proof=path, root=at.root):
            self._found.count("proofs")
        else:
            self._found.add("event_not_included", "is not in the log that the checkpoint signs", where)


def _row(line: bytes) -> tuple[bytes, Mapping[str, Any]]:
    """Body and values of a line; nothing where it is none."""
    try:
        row = parse(line)
        body, values = base64.b64decode(row["body"], validate=True), row["values"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        return b"", {}
    return (body, values) if isinstance(values, dict) else (b"", {})


def _event_id(body: bytes) -> str | None:
    try:
        said = parse(body)
    except ValueError:
        return None
    ident = said.get("id") if isinstance(said, dict) else None
    return ident if isinstance(ident, str) else None


def _salted(value: Any) -> tuple[str, Any] | None:
    """(salt, value), where it can be committed to at all."""
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str) or not _SALT.fullmatch(value[0]):
        return None
    try:
        rfc8785.dumps(value[1])
    except (ValueError, RecursionError):
        return None
    return value[0], value[1]


def _proof(plain: Any) -> tuple[int, list[bytes]] | None:
    """(leaf index, audit path) of a stored proof."""
    if not isinstance(plain, dict) or type(plain.get("leaf_index")) is not int:
        return None
    path = plain.get("path")
    if not isinstance(path, list) or len(path) > 64:
        return None
    if not all(isinstance(each, str) and _HASH.fullmatch(each) for each in path):
        return None
    return plain["leaf_index"], [bytes.fromhex(each) for each in path]
