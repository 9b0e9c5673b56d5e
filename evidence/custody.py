"""The chain of custody of one evidence item, with the fields of ISO/IEC 27037. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from soar.errors import Invalid, Problem
from soar.events import moment, stamp
from soar.model import JsonObject

ACTS = ("acquired", "transferred", "read", "exported", "verified", "sealed")
_PLAIN = ("item_id", "act", "actor", "purpose", "method", "tool", "place", "hash_before", "hash_after", "detail")
_KEYS = {*_PLAIN, "seq", "at", "from", "to"}
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyEntry:
    """One act upon one item. `seq` counts from 0; hashes are hex SHA-256 of the item's bytes.

    `act` is one of ACTS. An acquisition names its first holder in `to`; a transfer names both
    sides; an export names in `to` who gets a copy, and the holder stays.
    """

    item_id: str
    seq: int
    act: str
    actor: str
    at: datetime
    purpose: str = ""
    method: str = ""
    tool: str = ""
    place: str = ""
    from_: str = ""
    to: str = ""
    hash_before: str = ""
    hash_after: str = ""
    detail: str = ""

    def as_plain(self) -> dict[str, Any]:
        """The entry as plain JSON data."""
        words = {name: getattr(self, name) for name in _PLAIN}
        return {**words, "seq": self.seq, "at": stamp(self.at), "from": self.from_, "to": self.to}

    @classmethod
    def from_plain(cls, plain: Any) -> CustodyEntry:
        """The reverse; raises Invalid with every field that is missing, foreign or of a wrong type."""
        if not isinstance(plain, dict):
            raise Invalid(problems=[Problem(code="custody_malformed", message="an entry is an object")])
        problems = [_malformed(name, "is missing") for name in sorted(_KEYS - plain.keys())]
        problems += [_malformed(str(name), "is not a field of an entry") for name in sorted(plain.keys() - _KEYS)]
        words = {name: plain.get(name) for name in (*_PLAIN, "at", "from", "to")}
        problems += [_malformed(n, "is not text") for n, v in words.items() if n in plain and not isinstance(v, str)]
        if "seq" in plain and type(plain["seq"]) is not int:
            problems.append(_malformed("seq", "is not a whole number"))
        if problems:
            raise Invalid(problems=problems)
        return cls._read(plain)

    @classmethod
    def _read(cls, plain: JsonObject) -> CustodyEntry:
        try:
            at = moment(plain["at"])
        except (ValueError, OverflowError) as error:
            raise Invalid(problems=[_malformed("at", "is no RFC 3339 time with a zone")]) from error
        words = {name: plain[name] for name in _PLAIN}
        return cls(**words, seq=plain["seq"], at=at, from_=plain["from"], to=plain["to"])


def problems(entries: Sequence[CustodyEntry]) -> list[Problem]:
    """Everything that breaks the chain, each with `item#position` (counted from 0) as its pointer."""
    if not entries:
        return [Problem(code="custody_empty", message="the item has no custody record")]
    found: list[Problem] = []
    holder = known = ""
    for position, entry in enumerate(entries):
        before = entries[position - 1] if position else None
        for code, message in (
            *_order(entry, before, position, entries[0].item_id),
            *_holding(entry, holder),
            *_hashes(entry, known),
        ):
            found.append(Problem(code=code, message=message, pointer=f"{entry.item_id}#{position}"))
        if entry.act in ("acquired", "transferred"):
            holder = entry.to
        known = entry.hash_after or known
    return found


Findings = Iterator[tuple[str, str]]


def _order(entry: CustodyEntry, before: CustodyEntry | None, position: int, item_id: str) -> Findings:
    if entry.item_id != item_id:
        yield "custody_foreign", f"belongs to item {entry.item_id}"
    if entry.act not in ACTS:
        yield "custody_act", f"{entry.act!r} is not an act of custody"
    if entry.seq != position:
        yield "custody_gap", f"is number {entry.seq} where number {position} must stand"
    if before is None and entry.act != "acquired":
        yield "custody_no_acquisition", "the chain does not begin with the acquisition"
    if before is not None and entry.act == "acquired":
        yield "custody_acquired_twice", "an item is acquired once"
    if before is not None and entry.at < before.at:
        yield "custody_time_backwards", "is earlier than the entry before it"
    if not entry.actor:
        yield "custody_nobody", "names nobody who did it"


def _holding(entry: CustodyEntry, holder: str) -> Findings:
    if entry.act in ("acquired", "transferred") and not entry.to:
        yield "custody_no_holder", "names nobody who holds the item afterwards"
    claims = entry.act == "transferred" or (entry.act != "acquired" and entry.from_)
    if claims and entry.from_ != holder:
        yield "custody_holder", f"is from {entry.from_ or 'nobody'} while {holder or 'nobody'} held the item"


def _hashes(entry: CustodyEntry, known: str) -> Findings:
    for name, value in (("hash_before", entry.hash_before), ("hash_after", entry.hash_after)):
        if value and not _HASH.fullmatch(value):
            yield "custody_hash", f"{name} is no SHA-256"
    if entry.act in ("acquired", "verified") and not entry.hash_after:
        yield "custody_unhashed", f"an item that was {entry.act} has a hash_after"
    if entry.hash_before and known and entry.hash_before != known:
        yield "custody_hash_broken", "hash_before is not the hash that stood after the entry before it"
    if entry.hash_after and entry.hash_before and entry.hash_after != entry.hash_before:
        yield "custody_hash_changed", "the item's bytes were changed"
    if entry.hash_after and not entry.hash_before and known and entry.hash_after != known:
        yield "custody_hash_broken", "hash_after is not the hash that stood before"


def _malformed(name: str, message: str) -> Problem:
    return Problem(code="custody_malformed", message=f"{name} {message}", pointer=name)
