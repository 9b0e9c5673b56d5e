"""`soar evidence`: items, their bytes, packages, and checking one without a server."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from api.cli import output
from api.cli.client import KeyFile, Server, path
from api.cli.exits import Unverified, say
from api.cli.output import Output
from api.cli.verifying import Key, check_package
from soar.errors import Conflict, Invalid

app = typer.Typer(help="Evidence: list, show, download, package, verify.", no_args_is_help=True)
Item = Annotated[str, typer.Argument(metavar="ITEM", help="The item's id.")]
Into = Annotated[Path, typer.Option("-f", "--file", help="A new file to write to, or - for standard output.")]
Purpose = Annotated[str, typer.Option(help="What for; it is written into the record.")]
_LINE = ("id", "exhibit", "name", "evidence_class", "source", "size", "sha256", "acquired_at")
_CUSTODY = {"custody": ("seq", "act", "actor", "at", "purpose", "to", "hash_after")}


@app.command("list")
def list_(
    incident: Annotated[str, typer.Argument(help="Its id, or its number as INC-7.")],
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """The items of an incident."""
    output.rows(Server(key_file).items(path("incidents", incident, "evidence")), _LINE, form)


@app.command()
def show(item: Item, form: Output = None, key_file: KeyFile = None) -> None:
    """One item with its chain of custody."""
    output.record(Server(key_file).get(path("evidence", item)), form, tables=_CUSTODY)


@app.command()
def download(item: Item, purpose: Purpose, into: Into, key_file: KeyFile = None) -> None:
    """Write an item's bytes to a new file and compare their digest. The reading is entered in its custody."""
    server = Server(key_file)
    expected = server.get(path("evidence", item))["sha256"]
    _fetch(server, path("evidence", item, "content"), into, expected, purpose=purpose)


@app.command()
def package(
    incident: Annotated[str, typer.Argument(help="Its id, or its number as INC-7.")],
    recipient: Annotated[str, typer.Option(help="For whom.")],
    purpose: Purpose,
    into: Into,
    form: Output = None,
    key_file: KeyFile = None,
) -> None:
    """Have a signed package built, and write it to a new file."""
    server = Server(key_file)
    with _new_file(into) as file:
        made = server.post(path("incidents", incident, "packages"), {"recipient": recipient, "purpose": purpose})
        _copy(server, path("packages", made["id"], "content"), file, into, made["sha256"])
    if str(into) != "-":
        output.record(made, form)


@app.command()
def verify(
    package_: Annotated[Path, typer.Argument(metavar="PATH", help="A package: a zip, or the folder in it.")],
    key: Key = None,
    form: Output = None,
) -> None:
    """Check a package without any server: bytes, custody, events, signatures. Lists every problem."""
    check_package(package_, key, form)


def _fetch(server: Server, where: str, into: Path, sha256: str, **query: str) -> None:
    with _new_file(into) as file:
        _copy(server, where, file, into, sha256, **query)


def _copy(server: Server, where: str, file: IO[bytes], into: Path, sha256: str, **query: str) -> None:
    """Bytes from the server to the file; raises Unverified when they are not those that the record names."""
    digest, size = hashlib.sha256(), 0
    with server.content(where, **query) as pieces:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    if digest.hexdigest() != sha256:
        raise Unverified(f"what came has SHA-256 {digest.hexdigest()}, the record says {sha256}")
    say(f"{into}: {size} bytes, SHA-256 {sha256}")


@contextmanager
def _new_file(into: Path) -> Iterator[IO[bytes]]:
    """A file that was not there and that only its owner may read; it goes away again when writing it fails."""
    if str(into) == "-":
        if sys.stdout.isatty():
            raise Invalid("bytes from a target are not written onto a terminal; name a file")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = os.fdopen(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError as error:
        raise Conflict(f"{into} is there already; it is not written over") from error
    done = False
    try:
        with file:
            yield file
        done = True
    finally:
        if not done:
            into.unlink(missing_ok=True)
