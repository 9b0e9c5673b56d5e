"""Writes `docs/verbs.md` from the vocabulary: `python -m tests.repo.verbs_page > docs/verbs.md`."""

from __future__ import annotations

from collections.abc import Mapping

from soar.phases import Phase
from soar.verbs import VERBS, Field, Risk, Verb

HEAD = """\
# Verbs

What a playbook may ask for. A verb never names a vendor: an [adapter](adapters.md) says which verbs its system can do.
This page is made from `soar/verbs.py`; a test compares the two.

- **Parameters**: a `?` marks one that may be left out. The first one is the target.
- **Destroys**: classes of evidence that are lost; the guards want them
  [collected first](safety.md#evidence-first).
- **At its end**: *lifts* - the effect ends by itself when its lease is over; *stays* - only a person
  or a playbook ends it.
- **Undo**: how the effect is taken back. Playbooks write `undo:`, never the inverse verb, so that the
  [release gate](safety.md#release) is asked.
"""
RISKS: Mapping[Risk, str] = {
    Risk.READ: "read only",
    Risk.LOW: "low",
    Risk.MEDIUM: "medium",
    Risk.HIGH: "high",
    Risk.DESTRUCTIVE: "destroys",
}
ENDS = {"lift": "lifts", "hold": "stays", "none": ""}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for phase in Phase:
        verbs = [verb for verb in VERBS.values() if verb.phase is phase]
        if verbs:
            parts.append(_table(phase, verbs))
    return "\n".join(parts)


def _table(phase: Phase, verbs: list[Verb]) -> str:
    lines = [
        f"## {phase.value.capitalize()}",
        "",
        "| verb | parameters | outputs | risk | destroys | at its end | undo | words of others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, verbs), ""])


def _row(verb: Verb) -> str:
    others = [
        *(["OpenC2 `" + verb.openc2 + "`"] if verb.openc2 else []),
        *(word for word in (verb.d3fend, verb.react) if word),
        f"OCSF {verb.ocsf}",
    ]
    cells = [
        f"`{verb.name}`",
        _fields(verb.params),
        _fields(verb.outputs),
        RISKS[verb.risk],
        ", ".join(sorted(verb.destroys)),
        ENDS[verb.on_expiry.value],
        f"undoes `{verb.undoes}`" if verb.undoes else f"`{verb.inverse}`" if verb.inverse else "",
        ", ".join(others),
    ]
    return "| " + " | ".join(cells) + " |"


def _fields(fields: Mapping[str, Field]) -> str:
    return ", ".join(f"`{name}`{'' if field.required else '?'} {field.type}" for name, field in fields.items())


if __name__ == "__main__":
    print(page(), end="")
