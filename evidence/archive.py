"""A folder as a zip whose bytes depend on nothing but the files and one moment."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

CHUNK = 1024 * 1024


def write_zip(folder: Path, base: str, at: datetime, target: Path, progress: Callable[[int, int], None]) -> None:
    """Pack the files of `folder` below the name `base`, sorted, stored, all dated `at`; fsynced, mode 0400.

    Nothing is compressed: the bytes are then the same with every zlib, an unpacker never meets a
    bomb, and a disk image is read at the speed of the disk. Entries over 4 GiB use ZIP64.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    total, done = sum((folder / name).stat().st_size for name in names), 0
    handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(handle, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in names:
                with (folder / name).open("rb") as source, archive.open(_entry(folder, base, name, at), "w") as entry:
                    while chunk := source.read(CHUNK):
                        entry.write(chunk)
                        done += len(chunk)
                        progress(done, total)
        file.flush()
        os.fsync(handle)


def _entry(folder: Path, base: str, name: str, at: datetime) -> zipfile.ZipInfo:
    utc = at.astimezone(UTC)
    entry = zipfile.ZipInfo(f"{base}/{name}", (utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second))
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o444) << 16
    entry.file_size = (folder / name).stat().st_size
    return entry
