"""The vault keeps what came, once, under its digest, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from evidence.vault import FolderVault
from soar.errors import NotFound, Unavailable
from soar.ports import Vault
from tests.conftest import missing_real_part

HOSTILE = [
    "", "..", "../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "g" * 64, "a" * 65, "../" + "a" * 61,
    "a" * 64 + "\n", "\0" * 64, "ab/" + "c" * 62, "٣" * 64, "C:\\x", "\\\\srv\\share", "file:stream", "con", "😀",
]  # fmt: skip


@pytest.fixture
def vault(tmp_path: Path) -> FolderVault:
    return FolderVault(tmp_path / "vault")


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_folder_vault_is_a_vault(vault: FolderVault) -> None:
    port: Vault = vault
    assert list(port.digests()) == []


def test_what_comes_out_is_what_went_in_with_both_digests(vault: FolderVault) -> None:
    sizes = [0, 1, 4095, 4096, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 5_000_000]
    for size in sizes:
        content = random.Random(size).randbytes(size)
        sha256, sha512, stored = vault.put(io.BytesIO(content))
        assert (sha256, sha512, stored) == (
            hashlib.sha256(content).hexdigest(), hashlib.sha512(content).hexdigest(), size,
        )  # fmt: skip
        with vault.open(sha256) as blob:
            assert blob.read() == content
        assert vault.verify(sha256)
    assert len(list(vault.digests())) == len(sizes)


def test_a_blob_is_read_only_and_the_folders_are_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        vault = FolderVault(tmp_path / "vault")
        vault.put(io.BytesIO(b"x"))
    finally:
        os.umask(before)
    for path in [tmp_path / "vault", *(tmp_path / "vault").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o400)


def test_the_same_bytes_twice_are_one_blob(vault: FolderVault, tmp_path: Path) -> None:
    assert vault.put(io.BytesIO(b"same")) == vault.put(io.BytesIO(b"same"))
    assert len(files_below(tmp_path)) == 1


def test_eight_writers_at_once_lose_nothing(vault: FolderVault, tmp_path: Path) -> None:
    contents = [random.Random(n % 20).randbytes(50_000) for n in range(80)]
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda content: vault.put(io.BytesIO(content))[0], contents))
    assert sorted(set(stored)) == list(vault.digests())
    assert len(files_below(tmp_path)) == 20
    assert all(map(vault.verify, vault.digests()))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_from_outside_never_becomes_a_path(vault: FolderVault, name: str) -> None:
    with pytest.raises(NotFound):
        vault.open(name)


def test_a_link_planted_in_the_vault_is_not_followed(vault: FolderVault, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    shard = tmp_path / "vault" / "sha256" / "ab"
    shard.mkdir()
    (shard / ("c" * 62)).symlink_to(secret)
    with pytest.raises(Unavailable):
        vault.open("ab" + "c" * 62)


def test_twenty_flipped_blobs_of_many_are_all_found(vault: FolderVault, tmp_path: Path) -> None:
    digests = [vault.put(io.BytesIO(b"%d" % n * 50))[0] for n in range(100)]
    flipped = set(random.Random(7).sample(digests, 20))
    for digest in flipped:
        blob = tmp_path / "vault" / "sha256" / digest[:2] / digest[2:]
        blob.chmod(0o600)
        content = bytearray(blob.read_bytes())
        content[3] ^= 1
        blob.write_bytes(content)
    assert {digest for digest in vault.digests() if not vault.verify(digest)} == flipped


def test_a_damaged_blob_is_not_taken_for_the_same_bytes_stored_again(vault: FolderVault, tmp_path: Path) -> None:
    digest, _, _ = vault.put(io.BytesIO(b"true"))
    blob = tmp_path / "vault" / "sha256" / digest[:2] / digest[2:]
    blob.chmod(0o600)
    blob.write_bytes(b"lies")
    with pytest.raises(Unavailable, match="damaged"):
        vault.put(io.BytesIO(b"true"))


class Failing(io.RawIOBase):
    """A source that breaks off after a while."""

    def __init__(self) -> None:
        self.left = 3

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if not self.left:
            raise OSError(errno.EIO, "the disk of the source is gone")
        return b"x" * 1000


def test_a_source_that_breaks_off_leaves_nothing(vault: FolderVault, tmp_path: Path) -> None:
    source: BinaryIO = Failing()  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        vault.put(source)
    assert files_below(tmp_path) == []


def test_a_file_over_the_system_s_limit_leaves_nothing(vault: FolderVault, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with pytest.raises(Unavailable):
            vault.put(io.BytesIO(b"x" * 5_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files_below(tmp_path) == []


FULL = """
import io, sys
from pathlib import Path
from evidence.vault import FolderVault
from soar.errors import Unavailable
vault = FolderVault(Path(sys.argv[1]) / "vault")
kept = vault.put(io.BytesIO(b"small"))[0]
try:
    vault.put(io.BytesIO(b"x" * 8_000_000))
except Unavailable as error:
    print(error.message)
assert list(vault.digests()) == [kept] and vault.verify(kept) and vault.sweep() == 0
vault.put(io.BytesIO(b"y" * 500_000))
"""


def test_a_full_disk_leaves_nothing_and_the_vault_goes_on(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=2m tmpfs "$1" || exit 77; exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, FULL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        missing_real_part("the command unshare")
        return
    if done.returncode in (1, 77) and "Traceback" not in done.stderr:
        missing_real_part("the right to mount a small disk")
    assert done.returncode == 0, done.stderr
    assert "No space left" in done.stdout


SLOW = """
import sys, time
from pathlib import Path
from evidence.vault import FolderVault
class Slow:
    def read(self, size):
        sys.stdout.write("."); sys.stdout.flush()
        time.sleep(0.05)
        return b"x" * 1000
FolderVault(Path(sys.argv[1])).put(Slow())
"""


def test_a_killed_writer_leaves_only_what_sweep_removes(vault: FolderVault, tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    with subprocess.Popen([sys.executable, "-c", SLOW, str(folder)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.read(3)
        assert len(files_below(folder)) == 1
        assert vault.sweep() == 0, "a writer at work is left alone"
        writer.send_signal(signal.SIGKILL)
        writer.wait(5)
    assert list(vault.digests()) == []
    deadline = time.monotonic() + 2
    while not (swept := vault.sweep()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert swept == 1
    assert files_below(folder) == []


BIG = """
import io, resource, sys
from pathlib import Path
from evidence.vault import FolderVault
class Zeros:
    left = 100
    def read(self, size):
        self.left -= 1
        return bytes(size) if self.left >= 0 else b""
vault = FolderVault(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
digest, _, size = vault.put(Zeros())
print(size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_stays_flat_while_a_large_stream_is_stored(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", BIG, str(tmp_path)], capture_output=True, text=True, check=True)
    size, grown = map(int, done.stdout.split())
    assert size == 100 * 1024 * 1024
    assert grown < 20
