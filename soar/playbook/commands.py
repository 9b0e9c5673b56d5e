"""CACAO commands: which types there are, and the verb that each is in the action protocol (section 5).

A command travels like any other action: planned for one target, inspected, guarded, recorded. What it
does to the world is known only to whoever wrote it, so a command counts as risky unless its type can
only read. A `manual` command is a question to a person and no action.
"""

from __future__ import annotations

from collections.abc import Mapping

MANUAL = "manual"
COMMAND_VERBS: Mapping[str, str] = {
    kind: f"command_{kind.replace('-', '_')}"
    for kind in (
        "http-api", "openc2-http", "ssh", "bash", "powershell", "caldera-cmd", "elastic", "jupyter", "kestrel",
        "sigma", "yara",
    )
}  # fmt: skip
"""The verb of each type of command-type-ov (section 5.1) that an adapter may carry out."""
IN_ORDER = frozenset(COMMAND_VERBS.values())
"""Verbs whose actions of one step follow one another: each is sent once the one before it has succeeded."""
COMMAND_TYPES = frozenset({MANUAL, *COMMAND_VERBS})
"""All types of command-type-ov."""
BASE64_ONLY = frozenset({"elastic", "jupyter", "kestrel", "sigma", "yara"})
"""Types whose text stands in `command_b64` and nowhere else (sections 5.4 to 5.13)."""
LOOKS_AT: Mapping[str, frozenset[str]] = {"sigma": frozenset({"logs"}), "yara": frozenset()}
"""Types that search the evidence of the incident, and the classes of it that they can read: none named, all."""
