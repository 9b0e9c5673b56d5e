"""The six phases, and the words that two editions of the same guide use for them.

The product speaks six phases. NIST SP 800-61 revision 2 (2012, section 3) knows four, with
containment, eradication and recovery as one; revision 3 (2025) is a CSF 2.0 community profile and
has no cycle at all, so a phase maps to CSF functions, and single acts carry the finer
subcategory ids.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Phase(StrEnum):
    """A phase of incident response, in the order in which an incident usually meets them."""

    PREPARATION = "preparation"
    DETECTION = "detection"
    CONTAINMENT = "containment"
    ERADICATION = "eradication"
    RECOVERY = "recovery"
    POST_INCIDENT = "post-incident"


class Words(NamedTuple):
    """How other documents name a phase: SP 800-61r2 section title, CSF 2.0 functions."""

    r2: str
    csf: tuple[str, ...]


WORDS: dict[Phase, Words] = {
    Phase.PREPARATION: Words("Preparation", ("GV", "ID", "PR")),
    Phase.DETECTION: Words("Detection and Analysis", ("DE",)),
    Phase.CONTAINMENT: Words("Containment, Eradication, and Recovery", ("RS",)),
    Phase.ERADICATION: Words("Containment, Eradication, and Recovery", ("RS",)),
    Phase.RECOVERY: Words("Containment, Eradication, and Recovery", ("RC",)),
    Phase.POST_INCIDENT: Words("Post-Incident Activity", ("ID.IM",)),
}
