"""Turns a run that has ended into a rehearsal that passes: what was given, what each step came to, what followed.

It sees what the API tells and nothing else, and of the alert only the members that the playbook reads. Times
become those of the rehearsal; who voted and who answered does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from soar.errors import Conflict, Invalid
from soar.events import Kind, moment
from soar.playbook.durations import written
from soar.playbook.model import IfStep, ParallelStep, Playbook, WhileStep
from soar.protocol import State
from soar.rehearsal.names import step_names
from soar.rehearsal.told import Performed, Row, Told, performances, steps_of, target_of
from soar.rehearsal.told_outcomes import groups, outcomes
from soar.rehearsal.way import plain, way
from soar.verbs import VERBS

_UNDER_WAY = ("running", "paused")
_BY_HAND = {Kind.RUN_CANCELLED.value, Kind.STEP_RETRIED.value, Kind.STEP_SKIPPED.value}
"""What persons did to a run; a rehearsal has no word for it."""
_READ = re.compile(r"\balert[:.]([A-Za-z][\w-]*)", re.ASCII)


def record(playbook: Playbook, told: Told) -> dict[str, Any]:
    """The rehearsal as plain data, to be written as YAML.

    Raises Conflict for a run that goes on, Invalid for one that a person cancelled, retried or passed a step of.
    """
    run = told.run
    if run["status"] in _UNDER_WAY:
        raise Conflict(f"this run is still {run['status']}; record it when it has ended")
    own = [each for each in told.events if each["data"].get("run") == run["id"]]
    meddled = sorted({each["kind"] for each in own} & _BY_HAND) or ([] if run["status"] != "cancelled" else ["cancel"])
    if meddled:
        raise Invalid(f"a person changed the way of this run ({', '.join(meddled)}); a rehearsal cannot tell that")
    performed = performances(playbook, told, own)
    grouped = groups(playbook)
    given = {
        "severity": told.incident["severity"],
        **_alert(playbook, told.incident),
        "scope": _scope(told),
        "observables": _observables(told),
        "inputs": {name: value for name, value in run["inputs"].items() if name in playbook.variables},
        "steps": outcomes(playbook, told, performed, grouped),
    }
    return {
        "playbook": playbook.slug or f"{playbook.id}.json",  # a foreign one is known by its file
        "description": f"Recorded from a run of {run['started_at'][:10]}, playbook {playbook.digest[:12]}.",
        "cases": [
            {
                "case": f"the run of {run['started_at']}",
                "given": {name: value for name, value in given.items() if value},
                "expect": _expected(playbook, told, performed, grouped),
            }
        ],
    }


# --- what was given --------------------------------------------------------------------------------


def _alert(playbook: Playbook, incident: Row) -> dict[str, Any]:
    """Of the newest alert what the playbook's conditions and variables read."""
    texts = [variable.from_ for variable in playbook.variables.values()]
    texts += [step.condition for step in playbook.workflow.values() if isinstance(step, IfStep | WhileStep)]
    names = {name for text in texts for name in _READ.findall(text)}
    facts = incident["alerts"][-1]["facts"] if incident["alerts"] else {}
    found = {name: facts[name] for name in sorted(names) if name in facts}
    return {"alert": found} if found else {}


def _scope(told: Told) -> dict[str, dict[str, str]]:
    """What was in scope when the run began; how far each came since is what the run did."""
    found: dict[str, dict[str, str]] = {}
    for each in told.incident["scope"]:
        if each["added_at"] <= told.run["started_at"]:
            status = each["status"] if each["status"] in ("suspected", "cleared") else "affected"
            found.setdefault(f"{each['kind']}s", {})[each["entity_id"]] = status
    return found


def _observables(told: Told) -> dict[str, Any]:
    return {
        f"{each['type']}:{each['value']}": {"verdict": each["verdict"], "confidence": each["confidence"]}
        for each in told.incident["observables"]
    }


# --- what is expected ------------------------------------------------------------------------------------


def _expected(
    playbook: Playbook, told: Told, performed: Sequence[Performed], grouped: Mapping[str, str]
) -> dict[str, Any]:
    parallels = _parallels(playbook, told)
    around = {each.occurrence: _around(parallels, each.occurrence) for each in performed}
    length = moment(told.run["ended_at"]) - moment(told.run["started_at"])
    asked = _asked(told, performed, grouped)
    side_by_side = {each.name for each in performed if around[each.occurrence]}
    return {
        "status": told.run["status"],
        "steps": plain(way((each.entry, around[each.occurrence]) for each in performed)),
        "results": {each["step"]: each["status"] for each in told.run["steps"]},
        **({} if side_by_side & set(asked) else {"approvals": asked}),
        "contained": dict(_contained(told)),
        "takes": {"at_most": written(max(1, ceil(length.total_seconds())))},
    }


def _parallels(playbook: Playbook, told: Told) -> list[str]:
    names = step_names(playbook)
    kinds = {names[step.id] for step in playbook.workflow.values() if isinstance(step, ParallelStep)}
    return [each["occurrence"] for each in told.run["steps"] if each["step"] in kinds]


def _around(parallels: Sequence[str], occurrence: str) -> list[tuple[str, int]]:
    """The parallels around an occurrence, from the outside inwards, and in which of their branches it stands."""
    mine = sorted((each for each in parallels if occurrence.startswith(f"{each}/")), key=len)
    return [(each, int(occurrence[len(each) + 1 :].partition("/")[0])) for each in mine]


def _asked(told: Told, performed: Sequence[Performed], grouped: Mapping[str, str]) -> list[str]:
    """The steps that asked for an approval, in order."""
    steps = steps_of(told, performed)
    of_action = {each["approval_id"]: grouped.get(steps[each["id"]], steps[each["id"]]) for each in told.actions}
    return [of_action[each["id"]] for each in told.approvals if each["id"] in of_action]


def _contained(told: Told) -> Iterator[tuple[str, str]]:
    """What had become of each containment when the run ended; what was decided later is not its doing."""
    over = told.run["ended_at"]
    reasons = {each["undo_of"]: each["undo_reason"] for each in told.actions if each["undo_of"]}
    for each in told.actions:
        if not VERBS[each["verb"]].contains or not each["verified_at"] or not each["called_at"]:
            continue
        ended = each["ended_at"] is not None and each["ended_at"] <= over
        otherwise = "lifted" if ended and each["state"] == State.LIFTED.value else "stands"
        taken_back = ended and each["state"] == State.REVERTED.value
        yield f"{each['verb']} {target_of(each)}", reasons.get(each["id"], otherwise) if taken_back else otherwise
