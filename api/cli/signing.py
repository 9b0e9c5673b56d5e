"""`soar playbook sign` and `soar playbook verify`: signatures of playbooks, without a server."""

from __future__ import annotations

import json
import stat
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import clean, output
from api.cli.exits import Unverified, say
from api.cli.output import Output
from soar.errors import Conflict, Invalid, NotFound, Problem, Unavailable

_LARGEST = 1024 * 1024
_COLUMNS = ("place", "id", "signee", "algorithm", "trusted", "finding")
Playbook = Annotated[Path, typer.Argument(metavar="FILE", help="CACAO 2.0 as .json; to sign, YAML too.")]


def sign(
    file: Playbook,
    key: Annotated[Path, typer.Option(help="Your private key: PEM without a password, readable by you alone.")],
    by: Annotated[str, typer.Option(help="The name that you sign as.")],
    out: Annotated[Path | None, typer.Option(help="Where to write. [default: FILE, as .json]")] = None,
    algorithm: Annotated[str, typer.Option(help="RS256 to PS512 for RSA. [default: by the key]")] = "",
    until: Annotated[str, typer.Option(help="Until when it is valid: 2027-01-01T00:00:00.000Z.")] = "",
    confirm: Annotated[str, typer.Option(help="The id (jss--...) of a signature to countersign.")] = "",
) -> None:
    """Sign a playbook.

    Adds a signature to a CACAO 2.0 document. A YAML playbook becomes one: FILE.json beside it, which is what runs.
    """
    from soar.playbook.trust import signing

    document = _document(file)
    signed = signing.sign(
        document, _private(key), signature_id=f"jss--{uuid.uuid4()}", signee=by, now=datetime.now(UTC),
        algorithm=algorithm, valid_until=until, confirms=confirm,
    )  # fmt: skip
    target = out or file.with_suffix(".json")
    if out is None and target != file and target.exists():
        raise Conflict(f"there is a file {target} already; name another one with --out")
    _replace(target, json.dumps(signed, indent=2, ensure_ascii=False) + "\n")
    say(f"{target}: signed by {clean.line(by)}")


def verify(
    file: Playbook,
    keys: Annotated[Path | None, typer.Option(help="Folder of trusted keys. [default: the setting trust.keys]")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file. [default: the variable SOAR_CONFIG]")] = None,
    form: Output = None,
) -> None:
    """Check the signatures of a playbook.

    Lists each with what was found; ends with 7 unless somebody whom you trust has signed.
    """
    from api.keyring import read_keyring
    from soar.config import load
    from soar.playbook.cacao import cacao_form
    from soar.playbook.trust import gate

    document = _document(file)
    ring = read_keyring(keys if keys is not None else load(config).trust.keys)
    judged = gate.judge_signatures(document, datetime.now(UTC), ring)
    rows = [
        {
            "place": each.place, "id": each.id, "signee": each.signee, "algorithm": each.algorithm,
            "key": each.key.fingerprint if each.key else "", "trusted": gate.trusted(each, ring),
            "finding": gate.finding(each, ring), "problems": [problem.as_dict() for problem in each.problems],
        }
        for each in judged.all_of
    ]  # fmt: skip
    names = [signer.name for signer in judged.signers]
    output.rows(rows, _COLUMNS, form, whole={"file": str(file), "signers": names, "signatures": rows})
    if not names:
        found = "it is not signed" if not rows else "no signature is by somebody whom you trust"
        raise Unverified(f"{file}: {found}")
    _note_what_would_run(file, document, cacao_form.from_document)
    say(f"{file}: signed by {', '.join(clean.line(name) for name in names)}")


def _note_what_would_run(file: Path, document: Any, read: Any) -> None:
    """A good signature says nothing of whether the playbook can be run here."""
    try:
        read(document)
    except Invalid as error:
        say(f"note: {file} could not be run here: {clean.line(error.message)}")


def _document(file: Path) -> Any:
    """The CACAO document of a file; a YAML playbook is read and checked. Raises NotFound, Invalid."""
    from soar import strict_json
    from soar.playbook.cacao import cacao_form
    from soar.playbook.yaml import yaml_form

    content = _read(file, _LARGEST)
    if file.suffix.lower() != ".json":
        return cacao_form.to_document(yaml_form.load(content))
    document = strict_json.parse(content)
    if not isinstance(document, dict):
        raise Invalid(problems=[Problem(code="wrong_type", message="a playbook is a JSON object")])
    return document


def _private(file: Path) -> Any:
    """A private key; raises NotFound, or Invalid where it is none or others may read it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(file, 64 * 1024)
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        problem = Problem(
            code="key_exposed", message="others may read this private key", pointer=str(file), mend="Run chmod 600."
        )
        raise Invalid(problems=[problem])
    try:
        return load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        problem = Problem(code="key_unreadable", message="is no unencrypted PEM private key", pointer=str(file))
        raise Invalid(problems=[problem]) from None


def _replace(target: Path, text: str) -> None:
    """Whole or not at all: a playbook that was there is never half overwritten."""
    half = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(target)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise Unavailable(f"{target} cannot be written: {error.strerror}") from error


def _read(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except OSError as error:
        raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
