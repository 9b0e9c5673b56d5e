"""The adapter to copy: a block list in a JSON file, as a small proxy or mail gateway might read it.

An adapter is one module with three names: `KIND`, `Config` and `connect`. It is found because it
lies in this folder. Its methods raise NotSent, Rejected or OutcomeUnknown and nothing else; which
of them is the most important thing an adapter says (see `apply`).
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from soar.ports import (
    Applied,
    Call,
    Capability,
    Inspection,
    JsonObject,
    NotSent,
    OutcomeUnknown,
    Problem,
    Rejected,
    Repeat,
    Sink,
)

# The word by which the configuration names this kind of adapter.
KIND = "example"


# What an administrator sets. Unknown settings are an error; a secret would be a pydantic SecretStr.
class Config(BaseModel):
    """Where the block list lies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path


# Called once for each configured instance. It opens nothing: an adapter connects at its first call.
def connect(name: str, config: Config) -> ExampleAdapter:
    """The adapter of one block list."""
    return ExampleAdapter(name, config.path)


class ExampleAdapter:
    """Blocks addresses by writing them into a file: {address: key of the call that wrote it}."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        # The closed list of what this system can do. STATE: applying twice is the same as once,
        # because a set of addresses is written. A system that only appends would be UNSAFE, one
        # that drops a key it has seen would be KEYED, and a look-up is READ.
        self.verbs: Mapping[str, Capability] = {
            "block_ip": Capability(repeat=Repeat.STATE, timeout=5.0),
            "unblock_ip": Capability(repeat=Repeat.STATE, timeout=5.0),
        }
        self._path = path

    # Reads only, and answers for the verb of the call: for a release, "present" means released.
    # `ours` is the key that the target shows, so that a crash or an undo can tell whose it is.
    def inspect(self, call: Call) -> Inspection:
        """Whether the address is blocked, and by which call."""
        address = _address(call)
        key = self._read().get(address)
        wants_block = call.verb == "block_ip"
        words = f"{address} is not blocked" if key is None else f"{address} is blocked by {key}"
        return Inspection(present=(key is not None) is wants_block, ours=key, state={"key": key}, summary=words)

    # Says what became of the call: return = it is so; Rejected = the target refused and did
    # nothing; NotSent = nothing left this machine; OutcomeUnknown = it may have happened.
    # What exists already is left as it is: only what carries our key is ours to undo.
    def apply(self, call: Call, sink: Sink) -> Applied:  # noqa: ARG002 - only evidence needs the sink
        """Block or release the address."""
        blocked, address = self._read(), _address(call)
        if call.verb == "block_ip" and address not in blocked:
            self._write({**blocked, address: call.key})
        if call.verb == "unblock_ip" and address in blocked:
            self._write({each: key for each, key in blocked.items() if each != address})
        return Applied(handle={"key": call.key}, summary=f"{call.verb} {address}")

    # Undo, as compare and set: `call.verb` is the inverse, `handle` is what apply returned, `prior`
    # what inspect saw before. Nothing there is no error; somebody else's effect is Rejected.
    def revert(self, call: Call, handle: JsonObject, prior: JsonObject) -> Applied:  # noqa: ARG002 - the key says it all
        """Take our own entry away."""
        if call.verb != "unblock_ip":
            raise Rejected(f"{call.verb} takes nothing back")
        blocked, address = self._read(), _address(call)
        if address not in blocked:
            return Applied(summary="already gone")
        if blocked[address] != handle.get("key"):
            raise Rejected(f"{address} is blocked by {blocked[address]}, which is not ours to take away")
        self._write({each: key for each, key in blocked.items() if each != address})
        return Applied(summary=f"{address} is free again")

    # What `soar adapter check` shows: credentials, reachability, rights. [] when all is well.
    def check(self) -> Sequence[Problem]:
        """Whether the list can be read and its folder be written."""
        if not os.access(self._path.parent, os.W_OK):
            mend = "Create the folder and let this process write there."
            return [Problem(code="not_writable", message=f"{self._path.parent}", pointer="path", mend=mend)]
        try:
            self._read()
        except NotSent as error:
            return [Problem(code="unreadable", message=error.message, pointer="path", mend="Mend or remove it.")]
        return []

    def _read(self) -> dict[str, str]:
        try:
            blocked = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise NotSent(f"the block list cannot be read: {error}") from error
        if not isinstance(blocked, dict):
            raise NotSent("the block list is no JSON object")
        return {str(address): str(key) for address, key in blocked.items()}

    def _write(self, blocked: dict[str, str]) -> None:
        draft = self._path.with_name(self._path.name + ".new")
        try:
            draft.write_text(json.dumps(blocked))
        except OSError as error:
            raise NotSent(f"the block list cannot be written: {error}") from error
        try:
            draft.replace(self._path)
        except OSError as error:
            raise OutcomeUnknown(f"the block list may not have been replaced: {error}") from error


# Whatever comes in a call is checked here, before anything is touched.
def _address(call: Call) -> str:
    if call.verb not in ("block_ip", "unblock_ip"):
        raise Rejected(f"the block list cannot do {call.verb}")
    try:
        return str(ipaddress.ip_address(str(call.params.get("ip"))))
    except ValueError as error:
        raise Rejected(f"the block list takes single addresses: {error}") from error
