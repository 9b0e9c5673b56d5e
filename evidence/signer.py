"""The key that signs checkpoints and packages: Ed25519 in a PEM file that only its owner may read."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from evidence.note import verifier_key
from soar.errors import Conflict, Invalid, NotFound, Problem, Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_PEM = 16 * 1024


class Ed25519Signer:
    """Satisfies soar.ports.Signer. `public_key` is the raw key, 32 bytes."""

    def __init__(self, key_name: str, private: Ed25519PrivateKey) -> None:
        self.key_name = key_name
        self.public_key: bytes = private.public_key().public_bytes_raw()
        self._private = private

    @classmethod
    def generate(cls, path: Path, key_name: str) -> Ed25519Signer:
        """Make a key and its file (mode 0600), whole or not at all; raises Conflict where one stands."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        private = Ed25519PrivateKey.generate()
        _write_once(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return cls(key_name, private)

    @classmethod
    def load(cls, path: Path, key_name: str) -> Ed25519Signer:
        """Read a key file; raises NotFound, or Invalid where it is no key or others may read it."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                pem = file.read(MAX_PEM)
        except FileNotFoundError:
            raise NotFound(f"there is no signing key at {path}") from None
        if stat.S_IMODE(mode) & 0o077:
            raise _invalid(path, "key_exposed", "others may read the signing key", "Run chmod 600 on it.")
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _invalid(path, "key_unreadable", "is no unencrypted PEM private key") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise _invalid(path, "key_kind", "is not an Ed25519 key")
        return cls(key_name, private)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def verifier_key(self) -> str:
        """The public half as C2SP vkey text, to be handed to whoever verifies."""
        return verifier_key(self.key_name, self.public_key)


def _write_once(path: Path, content: bytes) -> None:
    """A hard link makes the name appear with the content complete, and fails where it exists."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".key-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
    except FileExistsError:
        raise Conflict(f"a signing key stands at {path} already") from None
    except OSError as error:
        raise Unavailable(f"the signing key cannot be written: {error.strerror}") from error


def _invalid(path: Path, code: str, message: str, mend: str = "") -> Invalid:
    return Invalid(problems=[Problem(code=code, message=message, pointer=str(path), mend=mend)])
