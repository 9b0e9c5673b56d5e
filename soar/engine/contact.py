"""Where the engine meets an adapter. Whatever an adapter raises leaves here as one of three errors.

NotSent, Rejected and OutcomeUnknown are what the protocol knows. An adapter that breaks in any other
way while it writes may have written: that is OutcomeUnknown. While it reads, nothing has happened.
"""

from __future__ import annotations

from soar.engine.parts import Parts
from soar.errors import AdapterError, NotSent, OutcomeUnknown
from soar.model import Applied, Call, Inspection
from soar.ports import Adapter, Collection
from soar.store import actions
from soar.store.rows import ActionRow


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
        return adapter.inspect(call_of(action, adapter))
    except AdapterError:
        raise
    except Exception as error:
        raise NotSent(f"the adapter {adapter.name} broke: {type(error).__name__}") from error


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
            return adapter.apply(call, collection)
        return adapter.revert(call, original.handle, original.prior)
    except AdapterError:
        raise
    except Exception as error:
        raise OutcomeUnknown(f"the adapter {adapter.name} broke: {type(error).__name__}") from error
