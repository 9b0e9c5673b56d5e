"""Writes small files so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from evidence.vault import sync_folder
from soar.errors import Unavailable


def write_whole(path: Path, content: bytes) -> None:
    """Write, fsync, rename, fsync the folder. Raises Unavailable."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Unavailable(f"{path.name} cannot be written: {error.strerror}") from error
