"""Checks an evidence package without any server; shared by `soar evidence verify` and `soar audit verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli import output
from api.cli.exits import Unverified, say
from api.cli.output import Format, Output
from soar.errors import Invalid

Key = Annotated[
    str | None, typer.Option(help="The sender's verifier key, or a file with it, that you had by another way.")
]
"""The option that names the key to trust."""
_COLUMNS = ("pointer", "code", "message", "line", "mend")


def check_package(package: Path, key: str | None, form: Output) -> None:
    """Write every problem with the file that it concerns; raises Unverified when there is one."""
    from evidence.verify import verify

    found = verify(package, trusted_key(key) if key else None)
    problems = [problem.as_dict() for problem in found.problems]
    for note in found.notes:
        say(f"note: {note}")
    whole = {
        "package": str(package), "ok": found.ok, "checked": dict(found.checked), "notes": list(found.notes),
        "problems": problems,
    }  # fmt: skip
    if output.chosen(form) is not Format.TABLE or problems:
        output.rows(problems, _COLUMNS, form, whole=whole)
    counted = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in found.checked.items())
    if not found.ok:
        raise Unverified(f"{package}: {len(problems)} problem(s); checked: {counted}")
    say(f"{package}: nothing is wrong; checked: {counted}")


def trusted_key(given: str) -> bytes:
    """The raw Ed25519 key of a C2SP verifier key, given as text or as a file that holds it; raises Invalid."""
    from evidence.note import read_verifier_key

    text = given
    if "+" not in given or Path(given).is_file():
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"--key {given!r} is neither a verifier key nor a file that can be read") from error
    return read_verifier_key(text)[1]
