"""The demo's eighth act: the evidence package, checked by our verifier and by one that we did not write."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from api.demo.stage import Person, Stage
from api.demo.voice import Voice


def package(stage: Stage, voice: Voice, carol: Person, incident: str) -> Path:
    """The last act: export, and let two verifiers that know nothing of one another look at it."""
    voice.act(8, "The evidence package, checked by strangers")
    wish = {"recipient": "State CERT", "purpose": "criminal complaint"}
    status, made = carol.post(f"/incidents/{incident}/packages", wish)
    path = Path(made.get("path", "missing"))
    voice.expect(f"carol exports the package: {path.name}", status == 201 and path.is_file(), made)
    whole = _verifier(path)
    folder = _unpacked(path, stage.folder / "opened")
    voice.expect("the foreign `bagit` library finds nothing wrong", not _bagit(folder), _bagit(folder))
    flipped = _flip(folder)
    broken = _verifier(folder)
    said = _bagit(folder)
    code, ours = _told(whole)
    voice.expect("`soar evidence verify` finds nothing wrong either", code == 0, ours)
    voice.expect(f"one byte flipped in a copy: bagit names {flipped}", flipped in said, said)
    code, ours = _told(broken)
    voice.expect(f"and so does `soar evidence verify`: {flipped}", code == 7 and flipped in ours, ours)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    voice.say(f"SHA-256 of the package: {digest}")
    return path


def _unpacked(path: Path, into: Path) -> Path:
    with zipfile.ZipFile(path) as packed:
        packed.extractall(into)
    return next(into.iterdir())


def _bagit(folder: Path) -> str:
    """What the `bagit` library says against a bag; empty when it is valid."""
    import logging

    import bagit

    logging.getLogger("bagit").setLevel(logging.CRITICAL)
    try:
        bagit.Bag(str(folder)).validate()
    except bagit.BagValidationError as error:
        return str(error)
    return ""


def _verifier(path: Path) -> subprocess.Popen[str]:
    """`soar evidence verify`, started in a process of its own."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
        [sys.executable, "-m", "api.cli", "evidence", "verify", str(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _told(verifier: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and everything that it said."""
    said, _ = verifier.communicate(timeout=60)
    return verifier.returncode, said


def _flip(folder: Path) -> str:
    """Change one bit of the largest piece of evidence; its name inside the package."""
    victim = max((folder / "data" / "evidence").glob("*.bin"), key=lambda path: path.stat().st_size)
    victim.chmod(0o600)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    return victim.relative_to(folder).as_posix()
