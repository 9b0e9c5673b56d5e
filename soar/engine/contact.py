"""Where the engine meets an adapter. Whatever an adapter raises leaves here as one of three errors.

NotSent, Rejected and OutcomeUnknown are what the protocol knows. An adapter that breaks in any other
way while it writes may have written: that is OutcomeUnknown. While it reads, nothing has happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from soar.engine.parts import Parts
from soar.errors import AdapterError, NotSent, OutcomeUnknown
from soar.model import Applied, Call, Entity, Inspection, JsonObject, Mention
from soar.ports import Adapter, Collection, Directory
from soar.store import actions
from soar.store.rows import ActionRow
from soar.store.tables import effects


def call_of(action: ActionRow, adapter: Adapter) -> Call:
    """The action as its adapter sees it."""
    return Call(
        key=action.id, verb=action.verb, target=action.target, params=action.params, incident=action.incident_id,
        caller=action.caller, timeout=adapter.verbs[action.verb].timeout,
    )  # fmt: skip


def inspect(parts: Parts, action: ActionRow) -> Inspection | None:
    """What is true at the target; None where the verb has nothing to inspect. Raises AdapterError."""
    adapter = parts.adapter(action.adapter)
    if not adapter.verbs[action.verb].inspects:
        return None
    try:
        seen = adapter.inspect(call_of(action, adapter))
        return replace(seen, state=clean(dict(seen.state)), summary=clean(seen.summary))
    except AdapterError:
        raise
    except Exception as error:
        raise NotSent(f"the adapter {adapter.name} broke: {type(error).__name__}") from error


def resolve(directory: Directory, mention: Mention, at: datetime) -> Sequence[Entity]:
    """What an inventory knows of a mention, as of a time. Raises AdapterError."""
    try:
        return directory.resolve(mention, at)
    except AdapterError:
        raise
    except Exception as error:
        raise NotSent(f"the inventory {directory.name} broke: {type(error).__name__}") from error


def send(parts: Parts, action: ActionRow, collection: Collection) -> Applied:
    """Do it, or take back what it undoes. Raises AdapterError."""
    adapter = parts.adapter(action.adapter)
    call = call_of(action, adapter)
    original = None
    if action.undo_of:
        with parts.store.read() as conn:
            original = actions.get(conn, action.undo_of)
    try:
        if original is None:
            return _plain(adapter.apply(call, collection))
        return _plain(adapter.revert(call, *_of_effect(parts, original)))
    except AdapterError:
        raise
    except Exception as error:
        raise OutcomeUnknown(f"the adapter {adapter.name} broke: {type(error).__name__}") from error


def _of_effect(parts: Parts, original: ActionRow) -> tuple[JsonObject, JsonObject]:
    """Handle and prior state of what stands: the effect's own, which a later call may have renewed."""
    with parts.store.read() as conn:
        effect = conn.execute(sa.select(effects).where(effects.c.id == original.effect_id)).first()
    return (effect.handle, effect.prior) if effect is not None else (original.handle, original.prior)


def _plain(applied: Applied) -> Applied:
    return replace(
        applied,
        handle=clean(dict(applied.handle)),
        outputs=clean(dict(applied.outputs)),
        summary=clean(applied.summary),
    )


def clean(value: Any) -> Any:
    """What a vendor said, as plain JSON that can be stored and hashed: other things become their text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\x00", "")
    if isinstance(value, Mapping):
        return {clean(str(name)): clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(each) for each in value]
    small = isinstance(value, int) and abs(value) < 2**53
    if value is None or isinstance(value, bool) or small or (isinstance(value, float) and math.isfinite(value)):
        return value
    return clean(str(value))
