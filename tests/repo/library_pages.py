"""Writes a page for each playbook of the library: `python -m tests.repo.library_pages`."""

from __future__ import annotations

from collections.abc import Mapping

from playbooks import shipped
from soar.playbook.page import page, techniques
from soar.playbook.yaml import yaml_form
from tests.repo.checkout import ROOT

FOLDER = "docs/library"
HEAD = """\
# The library

Playbooks that ship with the product. Each is checked, rehearsed on every branch and run against the simulated estate.
The pages are made from the playbooks; a test compares them. See one as a picture with `soar playbook picture`.

| playbook | for | ATT&CK |
|---|---|---|
"""


def pages() -> Mapping[str, str]:
    """Every page by its path from the root."""
    found = {}
    index = HEAD
    for path in shipped():
        book = yaml_form.load(path.read_bytes())
        found[f"{FOLDER}/{book.slug}.md"] = page(book)
        index += f"| [{book.slug}]({book.slug}.md) | {book.name} | {', '.join(techniques(book))} |\n"
    return {f"{FOLDER}/README.md": index, **found}


if __name__ == "__main__":
    for name, text in pages().items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
