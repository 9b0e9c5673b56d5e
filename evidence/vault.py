"""The vault: a local folder that keeps bytes by their SHA-256.

`sha256/ab/cdef...` holds each blob once, mode 0400; `incoming/` holds what is being written, locked
by its writer. A blob's name appears only after its bytes are on disk, so a crash leaves at most a
temporary file, which `sweep` removes. No name from outside is ever part of a path.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from soar.errors import NotFound, Unavailable

CHUNK = 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FolderVault:
    """Satisfies soar.ports.Vault. Safe for many threads and processes on one file system."""

    def __init__(self, folder: Path) -> None:
        self._incoming = folder / "incoming"
        self._blobs = folder / "sha256"
        try:
            for each in (folder, self._incoming, self._blobs):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"the vault folder cannot be made: {error.strerror}") from error

    def put(self, content: BinaryIO) -> tuple[str, str, int]:
        """Store a stream; returns (sha256, sha512, size). Raises Unavailable when it cannot be kept.

        When the same bytes are here already they are read again, so that success always means that
        what is stored is what came.
        """
        temporary = self._incoming / secrets.token_hex(16)
        try:
            try:
                digests = _write(temporary, content)
                self._publish(temporary, digests[0])
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()
        except OSError as error:
            raise Unavailable(f"the vault cannot store this: {error.strerror}") from error
        return digests

    def open(self, sha256: str) -> BinaryIO:
        """The bytes, for reading; raises NotFound."""
        if not _DIGEST.fullmatch(sha256):
            raise NotFound("a blob is named by its SHA-256 in small hex letters")
        try:
            return os.fdopen(os.open(self._path(sha256), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except FileNotFoundError:
            raise NotFound(f"the vault has no blob {sha256}") from None
        except OSError as error:
            raise Unavailable(f"the blob {sha256} cannot be read: {error.strerror}") from error

    def verify(self, sha256: str) -> bool:
        """Hash the stored bytes again; False when they changed. Raises NotFound."""
        found = hashlib.sha256()
        with self.open(sha256) as blob:
            try:
                while chunk := blob.read(CHUNK):
                    found.update(chunk)
            except OSError as error:
                raise Unavailable(f"the blob {sha256} cannot be read: {error.strerror}") from error
        return found.hexdigest() == sha256

    def digests(self) -> Iterator[str]:
        """Every digest that is stored, in order; anything else in the folder is passed over."""
        for shard in sorted(self._blobs.iterdir()):
            if shard.is_dir() and not shard.is_symlink():
                yield from sorted(d for blob in shard.iterdir() if _DIGEST.fullmatch(d := shard.name + blob.name))

    def sweep(self) -> int:
        """Remove temporary files whose writer is gone; returns how many."""
        swept = 0
        for each in self._incoming.iterdir():
            try:
                handle = os.open(each, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                each.unlink(missing_ok=True)
                swept += 1
            except BlockingIOError:
                continue
            finally:
                os.close(handle)
        return swept

    def _path(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / sha256[2:]

    def _publish(self, temporary: Path, sha256: str) -> None:
        blob = self._path(sha256)
        if blob.exists():
            if not self.verify(sha256):
                raise Unavailable(f"the vault holds blob {sha256} already, and it is damaged")
            return
        if not blob.parent.exists():
            blob.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._blobs)
        temporary.rename(blob)
        sync_folder(blob.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(temporary: Path, content: BinaryIO) -> tuple[str, str, int]:
    """Copy a stream to a new file in chunks, hashing on the way; the file is locked meanwhile."""
    short, long, size = hashlib.sha256(), hashlib.sha512(), 0
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        fcntl.flock(handle, fcntl.LOCK_EX)
        while chunk := content.read(CHUNK):
            short.update(chunk)
            long.update(chunk)
            size += len(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) :]
        os.fchmod(handle, 0o400)
        os.fsync(handle)
    return short.hexdigest(), long.hexdigest(), size
