"""What a drill reads of this machine: the vault's folder, the signing key, the clock. Nothing is written."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from api.wiring import House
from evidence.signer import Ed25519Signer
from soar.engine.drill import newest_event
from soar.errors import Invalid, NotFound
from soar.readiness.facts import Clocks, SigningKey, Vault

Backup = Literal["same", "other", "missing", "not named"]


def vault(house: House) -> Vault:
    """Whether the vault's folders can be written to, and how much room is on their disk."""
    folder = house.settings.data / "vault"
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return Vault(writable=False, why=f"its folder cannot be read ({error.strerror})")
    free = disk.f_bavail * disk.f_frsize
    if disk.f_flag & os.ST_RDONLY:
        return Vault(writable=False, why="its disk may only be read", free_bytes=free)
    for each in (folder / "incoming", folder / "sha256"):
        if not each.is_dir() or not os.access(each, os.W_OK | os.X_OK):
            return Vault(writable=False, why=f"{each.name}/ cannot be written to", free_bytes=free)
    return Vault(free_bytes=free)


def key(house: House) -> SigningKey:
    """The key's file, and the copy that the settings name."""
    file = house.settings.data / "signing-key.pem"
    try:
        mode = file.stat().st_mode
    except OSError:
        return SigningKey(there=False, backup=_backup(house, house.settings.drills.key_backup))
    private = not stat.S_IMODE(mode) & 0o077
    return SigningKey(private=private, backup=_backup(house, house.settings.drills.key_backup))


def _backup(house: House, file: Path | None) -> Backup:
    try:
        if file is None or file.samefile(house.settings.data / "signing-key.pem"):
            return "not named"
        copy = Ed25519Signer.load(file, house.signer.key_name)
    except (NotFound, Invalid, OSError):
        return "missing"
    return "same" if copy.public_key == house.signer.public_key else "other"


def clocks(house: House) -> Clocks:
    """How far the machine's clock is from the house's, and when the newest event was written."""
    with house.store.read() as conn:
        newest = newest_event(conn)
    return Clocks(ahead=(datetime.now(UTC) - house.store.clock.now()).total_seconds(), newest=newest)
