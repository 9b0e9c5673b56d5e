"""The folder of trusted keys, read into a ring. The only place that reads them."""

from __future__ import annotations

from pathlib import Path

from soar.errors import Invalid, Problem
from soar.playbook.trust.keys import LONGEST_KEY, Keyring, keyring

MOST_KEYS = 256


def read_keyring(folder: Path | None) -> Keyring:
    """All `*.pem` of a folder; without a folder nobody is trusted.

    Raises Invalid with every file that cannot be read or is no key with a name.
    """
    if folder is None:
        return Keyring()
    if not folder.is_dir():
        raise Invalid(problems=[Problem(code="not_found", message=f"there is no folder of trusted keys {folder}")])
    files = sorted(folder.glob("*.pem"))
    if len(files) > MOST_KEYS:
        raise Invalid(problems=[Problem(code="too_large", message=f"{folder} holds more than {MOST_KEYS} keys")])
    texts, problems = {}, []
    for file in files:
        try:
            with file.open("rb") as opened:
                texts[file.name] = opened.read(2 * LONGEST_KEY).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            problems.append(Problem(code="unreadable", message=f"{file.name} cannot be read: {why}"))
    if problems:
        raise Invalid(problems=problems)
    return keyring(texts)
