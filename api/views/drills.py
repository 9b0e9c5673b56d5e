"""Drills on the wire."""

from __future__ import annotations

from typing import Any, Literal

from api.views.base import In, Out, Time


class NewDrill(In):
    """What to try: the configured estate, by reading only, or every playbook in a lab."""

    kind: Literal["estate", "lab"] = "estate"


class DrillLine(Out):
    """A drill in a list. `ready`: nothing red was found."""

    id: str
    kind: str
    at: Time
    by: str
    score: int
    ready: bool


class Area(Out):
    """What one area has left of 100 points, and how much it counts."""

    area: str
    weight: int
    points: int
    red: int
    amber: int


class FindingView(Out):
    """One thing that is not as it should be. By `key` it is known again in the next drill."""

    area: str
    severity: str
    code: str
    subject: str
    what: str
    why: str
    mend: str
    key: str


class Compared(Out):
    """What has changed since an earlier drill of the same kind: keys of findings that are new, gone, still there."""

    drill: str
    at: str
    score: int
    new: list[str]
    gone: list[str]
    still: list[str]


class Drill(DrillLine):
    """A drill with its report.

    `rows`: of the estate each technique and the playbooks for it, of the lab each playbook and how it
    did. `compared` is null for the first drill of its kind.
    """

    areas: list[Area]
    findings: list[FindingView]
    rows: list[dict[str, Any]]
    compared: Compared | None
