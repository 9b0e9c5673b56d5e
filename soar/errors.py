"""Every error the framework raises, in one tree.

SoarError
├── Invalid            what came in breaks a rule; carries every problem with its place
│   └── TooLarge       over a stated size, depth or count
├── Unauthenticated    no valid credential
├── Forbidden          known caller, missing permission
├── NotFound           no such object
├── Conflict           the object is not in the state that the caller assumes
│   └── StaleFence     a worker writes after its claim was taken over
├── Refused            a guard said no; carries the findings
├── Unavailable        the store or a needed part cannot answer now
└── AdapterError       an integration failed
    ├── NotSent        nothing left this machine
    ├── Rejected       the target answered and did nothing
    └── OutcomeUnknown the target may or may not have acted

An error's docstring is its default message, `code` is the stable word that clients branch on,
`retryable` says whether the same call may succeed later. What HTTP makes of them is known to
`api/errors.py` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with one place of a document, and how to mend it."""

    code: str
    message: str
    pointer: str = ""
    line: int | None = None
    column: int | None = None
    mend: str = ""

    def __str__(self) -> str:
        at = ":".join(str(part) for part in (self.line, self.column) if part is not None)
        at = f"{at}: " if at else ""
        where = f" (at {self.pointer})" if self.pointer else ""
        mend = f" {self.mend}" if self.mend else ""
        return f"{at}{self.code}: {self.message}{where}{mend}"

    def as_dict(self) -> dict[str, Any]:
        """The problem as plain data; absent parts are left out."""
        parts = {
            "code": self.code,
            "message": self.message,
            "pointer": self.pointer,
            "line": self.line,
            "column": self.column,
            "mend": self.mend,
        }
        return {name: value for name, value in parts.items() if value not in ("", None)}


class SoarError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.details: Mapping[str, Any] = details
        super().__init__(self.message)


class Invalid(SoarError):
    """The input breaks a rule."""

    code = "invalid"

    def __init__(self, message: str = "", problems: Iterable[Problem] = (), **details: Any) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        if not message and self.problems:
            message = str(self.problems[0])
        super().__init__(message, **details)


class TooLarge(Invalid):
    """The input is larger or deeper than allowed."""

    code = "too_large"


class Unauthenticated(SoarError):
    """No valid credential was given."""

    code = "unauthenticated"


class Forbidden(SoarError):
    """The caller lacks the permission for this."""

    code = "forbidden"


class NotFound(SoarError):
    """There is no such object."""

    code = "not_found"


class Conflict(SoarError):
    """The object is not in the state that this call assumes."""

    code = "conflict"


class StaleFence(Conflict):
    """Another worker has taken this work over."""

    code = "stale_fence"


class Refused(SoarError):
    """A guard refused this."""

    code = "refused"


class Unavailable(SoarError):
    """A needed part cannot answer now."""

    code = "unavailable"
    retryable = True


class AdapterError(SoarError):
    """An integration failed."""

    code = "adapter_error"


class NotSent(AdapterError):
    """The call never left this machine."""

    code = "not_sent"
    retryable = True


class Rejected(AdapterError):
    """The target refused the call and did nothing."""

    code = "rejected"


class OutcomeUnknown(AdapterError):
    """The target may or may not have acted."""

    code = "outcome_unknown"
