"""What all wire models share. Input refuses unknown members and never converts types silently."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, PlainSerializer, StringConstraints

from soar.events import stamp

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
MOST = 500
"""The most items of one page."""
_IDENT = r"^[0-9A-Za-z][0-9A-Za-z._:-]{0,63}$"

Time = Annotated[datetime, PlainSerializer(stamp, return_type=str)]
"""RFC 3339, UTC, microseconds."""
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")
]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8_000)]
Ident = Annotated[str, Path(pattern=_IDENT)]
"""An id in a path."""
OfIncident = Annotated[str | None, Query(pattern=_IDENT, description="only of this incident (id or INC-7)")]
After = Annotated[str | None, Query(pattern=_IDENT, description="the id of the last item of the page before")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="how many items at most")]


class In(BaseModel):
    """Something sent to us."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Out(BaseModel):
    """Something that we answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class Page(Out, Generic[T]):
    """A page of a list, newest first. `next` is the `after` of the following page, null at the end."""

    items: list[T]
    next: str | None


class ProblemItem(Out):
    """One mistake and its place: a JSON Pointer into the body, or `query.NAME`, `path.NAME`."""

    code: str
    message: str = ""
    pointer: str | None = None
    line: int | None = None
    column: int | None = None
    mend: str | None = None


class ProblemDocument(BaseModel):
    """An error (RFC 9457). `code` is the stable word to branch on; further members may follow."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str
    problems: list[ProblemItem]


def mapping(row: Any) -> dict[str, Any]:
    """A database row as a dictionary."""
    return dict(row._asdict())


def pick(model: type[M], source: Mapping[str, Any], **more: Any) -> M:
    """A model from the members of `source` that it has; `more` adds to them or replaces them."""
    own = {name: source[name] for name in model.model_fields if name in source and name not in more}
    return model(**own, **more)
