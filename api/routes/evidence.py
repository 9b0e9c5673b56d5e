"""Evidence: items with their custody, their bytes, and packages for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

import sqlalchemy as sa
from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, StreamingResponse

from api.auth import TheHouse, needs
from api.routes import paging
from api.views.base import After, Ident, Limit, Page, mapping, pick
from api.views.evidence import ItemLine, ItemView, Order, PackageView
from evidence import export
from evidence.collection import custody_of, handle
from soar.errors import Conflict, NotFound
from soar.events import Kind
from soar.model import Actor
from soar.store import incidents
from soar.store.tables import evidence_items as table

router = APIRouter(tags=["evidence"])
CHUNK = 256 * 1024
Lister = Annotated[Actor, needs("evidence.list")]
Purpose = Annotated[
    str, Query(min_length=3, max_length=500, pattern=r"^[^\x00-\x1f]*$", description="goes into the chain of custody")
]
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/incidents/{incident}/evidence", summary="List the evidence of an incident")
def list_evidence(
    incident: Ident, house: TheHouse, _: Lister, after: After = None, limit: Limit = 100
) -> Page[ItemLine]:
    """Newest first."""
    with house.store.read() as conn:
        query = sa.select(table).where(table.c.incident_id == incidents.get(conn, incident).id)
        rows, following = paging.page(conn, query, table, after, limit)
    return Page(items=[ItemLine.model_validate(row) for row in rows], next=following)


@router.get("/evidence/{item}", summary="Read what an item of evidence is")
def read(item: Ident, house: TheHouse, _: Lister) -> ItemView:
    """With its chain of custody from the acquisition on."""
    with house.store.read() as conn:
        row = _item(conn, item)
        return pick(ItemView, mapping(row), custody=[entry.as_plain() for entry in custody_of(conn, item)])


@router.get(
    "/evidence/{item}/content", summary="Download an item of evidence", response_class=StreamingResponse,
    responses=_BYTES,
)  # fmt: skip
def content(
    item: Ident, purpose: Purpose, house: TheHouse, actor: Annotated[Actor, needs("evidence.read")]
) -> StreamingResponse:
    """It may be malware, so its name is neutral. The reading is in the custody before the first byte leaves."""
    with house.store.read() as conn:
        row = _item(conn, item)
    blob = house.vault.open(row.sha256)
    try:
        house.store.write(lambda tx: handle(tx, item, "read", actor, purpose))
    except BaseException:
        blob.close()
        raise
    headers = {"Content-Disposition": f'attachment; filename="{row.exhibit}.bin"', "Content-Length": str(row.size)}
    return StreamingResponse(_chunks(blob), media_type="application/octet-stream", headers=headers)


@router.post("/incidents/{incident}/packages", status_code=201, summary="Build an evidence package")
def build(
    incident: Ident, body: Order, house: TheHouse, actor: Annotated[Actor, needs("package.create")]
) -> PackageView:
    """A signed BagIt bag that foreign tools verify offline. Each item's custody names the recipient."""
    made = export.export(
        house.store, house.sealer, house.vault, house.settings.data / "packages", incident,
        recipient=body.recipient, purpose=body.purpose, actor=actor,
    )  # fmt: skip
    with house.store.read() as conn:
        row = export.find(conn, made)
    path = str((house.settings.data / row.path).resolve())
    return pick(PackageView, mapping(row), path=path, size=row.record["size"])


@router.get(
    "/packages/{package}/content", summary="Download an evidence package", response_class=FileResponse,
    responses=_BYTES,
)  # fmt: skip
def package_content(package: Ident, house: TheHouse, actor: Annotated[Actor, needs("package.read")]) -> FileResponse:
    """The zip as it was built. The download is an event of the incident before the first byte leaves."""
    with house.store.read() as conn:
        row = export.find(conn, package)
    if row.status != "ready":
        raise Conflict(f"this package is {row.status}")
    path = house.settings.data / row.path
    if not path.is_file():
        raise NotFound("the file of this package is gone")
    data = {"package": row.id, "act": "downloaded", "sha256": row.sha256}
    house.store.write(lambda tx: incidents.event(tx, row.incident_id, Kind.EVIDENCE_READ, actor=actor, data=data))
    return FileResponse(path, media_type="application/octet-stream", filename=f"evidence-{row.id}.zip")


def _item(conn: sa.Connection, item: str) -> Any:
    row = conn.execute(sa.select(table).where(table.c.id == item)).first()
    if row is None:
        raise NotFound(f"no evidence item {item!r}")
    return row


def _chunks(blob: BinaryIO) -> Iterator[bytes]:
    with blob:
        while chunk := blob.read(CHUNK):
            yield chunk
