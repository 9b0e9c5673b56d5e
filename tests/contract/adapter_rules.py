"""What every adapter must keep, whatever it is connected to. A test hands in an adapter and two calls."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import pytest

from soar.errors import NotFound
from soar.ports import Adapter, Applied, Call, Item, Rejected, StoredItem, Target
from soar.verbs import VERBS


@dataclass
class MemorySink:
    """A sink that keeps what comes in, in the order in which it came."""

    items: dict[str, tuple[StoredItem, bytes]] = field(default_factory=dict)

    def put(self, item: Item, content: BinaryIO) -> StoredItem:
        raw = content.read()
        ident = f"item-{len(self.items) + 1}"
        sha256, sha512 = hashlib.sha256(raw).hexdigest(), hashlib.sha512(raw).hexdigest()
        stored = StoredItem(id=ident, item=item, sha256=sha256, sha512=sha512, size=len(raw))
        self.items[ident] = (stored, raw)
        return stored

    def open(self, item_id: str) -> BinaryIO:
        return io.BytesIO(self._kept(item_id)[1])

    def describe(self, item_id: str) -> StoredItem:
        return self._kept(item_id)[0]

    def _kept(self, item_id: str) -> tuple[StoredItem, bytes]:
        if item_id not in self.items:
            raise NotFound(f"no item {item_id}")
        return self.items[item_id]


def call(verb: str, target: str, key: str, /, **params: object) -> Call:
    """A call with little writing; `target` is kind:id."""
    return Call(key=key, verb=verb, target=Target.parse(target), params=params, caller="person:Zoë", timeout=5.0)


def declares_only_known_verbs(adapter: Adapter) -> None:
    assert isinstance(adapter, Adapter)
    assert adapter.verbs
    assert set(adapter.verbs) <= set(VERBS)
    for name in adapter.verbs:
        inverse = VERBS[name].inverse
        assert not inverse or inverse in adapter.verbs, f"{name} can be done but not undone"


def refuses_what_it_does_not_declare(adapter: Adapter, do: Call) -> None:
    """`do` is a good call but for its verb."""
    foreign = replace(do, verb=next(name for name in VERBS if name not in adapter.verbs))
    with pytest.raises(Rejected):
        adapter.inspect(foreign)
    with pytest.raises(Rejected):
        adapter.apply(foreign, MemorySink())
    with pytest.raises(Rejected):
        adapter.revert(foreign, {"key": do.key}, {})


def is_done_seen_undone_and_never_takes_what_is_not_ours(adapter: Adapter, do: Call, undo: Call) -> None:
    """The whole life of one effect. Starts and ends with the effect absent."""
    before = adapter.inspect(do)
    assert before.present is False
    assert before.summary
    prior = {"present": before.present, "state": dict(before.state), "ours": before.ours}
    assert adapter.inspect(undo).present is True, "what is absent counts as released"

    applied = adapter.apply(do, MemorySink())
    seen = adapter.inspect(do)
    assert (seen.present, seen.ours) == (True, do.key)
    assert do.key in seen.summary
    assert adapter.inspect(undo).present is False

    adapter.apply(do, MemorySink())
    assert adapter.inspect(do) == seen, "the same call again changes nothing"
    adapter.apply(replace(do, key=do.key + "-other"), MemorySink())
    assert adapter.inspect(do).ours == do.key, "a later call does not take the effect over"

    with pytest.raises(Rejected):
        adapter.revert(undo, {"key": do.key + "-other"}, prior)
    with pytest.raises(Rejected):
        adapter.revert(undo, {}, prior)
    assert adapter.inspect(do) == seen, "a refused undo changes nothing"

    _reverts(adapter, undo, applied, prior)
    assert adapter.inspect(do).present is False
    assert adapter.inspect(undo).present is True
    assert "already gone" in _reverts(adapter, replace(undo, key=undo.key + "-again"), applied, prior).summary


def _reverts(adapter: Adapter, undo: Call, applied: Applied, prior: dict[str, object]) -> Applied:
    return adapter.revert(undo, applied.handle, prior)
