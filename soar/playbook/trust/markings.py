"""Data markings of playbooks (CACAO 2.0 section 8): what may leave the house, by the Traffic Light Protocol 2.0.

A playbook's level is the strictest that it carries. A marking that cannot be understood counts as
TLP:RED. Statements and IEP policies are kept and shown; of IEP only its `tlp` is enforced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from soar.errors import Invalid, Problem
from soar.strict_text import escaped, shown


class Tlp(StrEnum):
    """A level of TLP 2.0 (FIRST), the mildest first."""

    CLEAR = "TLP:CLEAR"
    GREEN = "TLP:GREEN"
    AMBER = "TLP:AMBER"
    AMBER_STRICT = "TLP:AMBER+STRICT"
    RED = "TLP:RED"

    @property
    def strictness(self) -> int:
        """0 for CLEAR to 4 for RED."""
        return list(Tlp).index(self)


COMMON_OBJECTS: Mapping[str, Tlp] = {
    "marking-tlp--94868c89-83c2-464b-929b-a1a8aa3c8487": Tlp.CLEAR,
    "marking-tlp--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": Tlp.GREEN,
    "marking-tlp--55d920b0-5e8b-4f79-9ee9-91f868d9b421": Tlp.AMBER,
    "marking-tlp--939a9414-2ddd-4d32-a0cd-375ea402b003": Tlp.AMBER_STRICT,
    "marking-tlp--e828b379-4e03-4974-9ac4-e53a884c97c1": Tlp.RED,
}
"""The fixed ids of the five levels, as OASIS publishes them."""
_IEP = {"WHITE": Tlp.CLEAR, "CLEAR": Tlp.CLEAR, "GREEN": Tlp.GREEN, "AMBER": Tlp.AMBER, "RED": Tlp.RED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Markings:
    """What a playbook is marked with. `level` is None where nothing says one.

    `statements` are texts to be shown with it, `policies` IEP objects as they are, `problems` say which
    markings could not be understood.
    """

    level: Tlp | None = None
    statements: tuple[str, ...] = ()
    policies: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()


def parse_level(text: str) -> Tlp:
    """A level as people write it: TLP:AMBER+STRICT, amber, white. Raises Invalid."""
    word = text.strip().upper().removeprefix("TLP:").replace("WHITE", "CLEAR")
    try:
        return Tlp(f"TLP:{word}")
    except ValueError:
        message = f"{shown(text)} is no level of TLP"
        mend = f"Levels are {', '.join(Tlp)}."
        raise Invalid(problems=[Problem(code="unknown_tlp", message=message, mend=mend)]) from None


def read(document: Mapping[str, Any]) -> Markings:
    """The markings of a CACAO document (`markings`, `data_marking_definitions`). Raises nothing.

    A marking stays in force whatever its own dates say: what was shared under it is not free by time.
    """
    definitions, named = document.get("data_marking_definitions", {}), document.get("markings", [])
    problems: list[Problem] = []
    if not isinstance(named, list | tuple) or not isinstance(definitions, Mapping):
        message = "markings must be a list of ids, data_marking_definitions an object"
        problems.append(Problem(code="wrong_type", message=message, pointer="/markings"))
        return Markings(level=Tlp.RED, problems=tuple(problems))
    levels: list[Tlp] = []
    statements: list[str] = []
    policies: list[Mapping[str, Any]] = []
    for at, name in enumerate(named):
        own = definitions.get(name) if isinstance(name, str) else None
        given = own if isinstance(own, Mapping) else {}
        kind = str(name).partition("--")[0]
        if kind == "marking-statement" and isinstance(given.get("statement"), str):
            statements.append(given["statement"])
            continue
        if kind == "marking-iep" and given:
            policies.append(given)
        level, why = _level(str(name), kind, given)
        levels.append(level)
        if why:
            where = f"/data_marking_definitions/{escaped(str(name))}" if given else f"/markings/{at}"
            problems.append(Problem(code="marking_not_understood", message=why, pointer=where))
    return Markings(
        level=max(levels, key=lambda level: level.strictness, default=None), statements=tuple(statements),
        policies=tuple(policies), problems=tuple(problems),
    )  # fmt: skip


def _level(name: str, kind: str, given: Mapping[str, Any]) -> tuple[Tlp, str]:
    """The level that one marking asks for, and what cannot be understood of it."""
    common = COMMON_OBJECTS.get(name)
    if kind == "marking-tlp":
        said = given.get("tlpv2_level")
        own = Tlp(said) if isinstance(said, str) and said in set(Tlp) else None
        if common is not None:
            wrong = bool(given) and own is not common
            return common, f"this id stands for {common}, whatever its definition says" if wrong else ""
        if own is not None:
            return own, ""
        return Tlp.RED, f"{shown(name)} says no level of TLP 2.0; it counts as {Tlp.RED}"
    if kind == "marking-iep" and given:
        said = given.get("tlp")
        word = said.upper().removeprefix("TLP:") if isinstance(said, str) else ""
        if word in _IEP:
            return _IEP[word], ""
        return Tlp.RED, f"{shown(name)} says no level of TLP; it counts as {Tlp.RED}"
    return Tlp.RED, f"{shown(name)} is not defined in this playbook; it counts as {Tlp.RED}"


def may_leave(level: Tlp | None, ceiling: Tlp | None) -> str:
    """Why something of this level may not go where at most `ceiling` may go; empty when it may.

    None as a level is unmarked, None as a ceiling is a place without a bound of its own.
    """
    if level is None or ceiling is None or level.strictness <= ceiling.strictness:
        return ""
    return f"it is marked {level}; at most {ceiling} may go there"


def refusal(
    verb: str, params: Mapping[str, Any], level: Tlp | None, *, adapter_ceiling: Tlp | None = None,
    teams_ceiling: Tlp | None = None, outside_teams: Collection[str] = (),
) -> str:  # fmt: skip
    """Why an action of a playbook of this level may not be sent, by where it would go; empty when it may.

    Any call through a connected system that declares a highest level is bound by it. `share_intel` shares
    at the level that its `tlp` names: the playbook must not be stricter, nor that level for the system.
    `notify` and tickets to a team outside of the house are bound by `teams_ceiling`.
    """
    if why := may_leave(level, adapter_ceiling):
        return f"{verb} goes through a system with a bound: {why}"
    if verb == "share_intel":
        try:
            shared = parse_level(str(params.get("tlp", "")))
        except Invalid as error:
            return f"{verb}: {error.problems[0].message}"
        if why := may_leave(level, shared):
            return f"{verb} would share it as {shared}: {why}"
        if why := may_leave(shared, adapter_ceiling):
            return f"{verb} goes through a system with a bound: {why}"
    if params.get("team") in outside_teams and (why := may_leave(level, teams_ceiling)):
        return f"{verb} goes to {params['team']}, outside of the house: {why}"
    return ""
