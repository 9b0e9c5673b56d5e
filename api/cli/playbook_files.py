"""A playbook that a command names: a file in either notation, or one that the server has."""

from __future__ import annotations

from pathlib import Path

from api.cli.client import Server, path
from soar import strict_json
from soar.errors import Invalid, NotFound, Problem, SoarError
from soar.playbook.cacao import cacao_form
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form

LARGEST = 8 * 1024 * 1024
"""In bytes. What is larger is not read, and no reader would take it."""


def read(named: str, key_file: Path | None) -> Playbook:
    """The playbook in a file; where there is no such file, that of the server: `slug`, `digest` or `slug@digest`.

    YAML is checked; CACAO 2.0 JSON only as far as its pointers lead somewhere, so that a faulty playbook of
    somebody else can be looked at. Raises Invalid with every problem, NotFound, or what the server says.
    """
    file = Path(named)
    if file.exists() or file.suffix.lower() in (".json", ".yaml", ".yml"):
        return _of_file(file)
    slug, _, digest = named.partition("@")
    found = Server(key_file).get(path("playbooks", digest or slug))
    if digest and found.get("slug") != slug:
        raise NotFound(f"{digest} is no version of {slug}")
    return cacao_form.from_document(found.get("document"))


def _of_file(file: Path) -> Playbook:
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except OSError as error:
        raise SoarError(f"{file}: {error.strerror or error}") from error
    try:
        if file.suffix.lower() == ".json":
            return cacao_form.from_document(strict_json.parse(text))
        return yaml_form.load(text)
    except Invalid as error:
        problems = error.problems or (Problem(code=error.code, message=error.message),)
        raise type(error)(f"{file} is no playbook that can be used", problems) from error
