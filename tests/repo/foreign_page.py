"""Writes `docs/foreign-playbooks.md` from what becomes of the samples: `python -m tests.repo.foreign_page > PAGE`.

The samples stand in the folder that `SOAR_SAMPLES` names.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from soar.errors import Invalid, Problem
from soar.playbook.cacao import cacao_form, foreign
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form, yaml_written

SOURCES = {
    "playbooks-oasis/": ("oasis-tcs/cacao", "OASIS IPR policy, Non-Assertion mode"),
    "playbooks-soarca/": ("COSSAS/SOARCA", "Apache-2.0"),
    "playbooks-soarca-tests/": ("COSSAS/SOARCA, its tests", "Apache-2.0"),
    "playbooks-other/misp-": ("MISP/misp-playbooks", "BSD-2-Clause"),
    "playbooks-other/layout-": ("cyentific-rni/cacao-layout-extension", "MIT"),
    "playbooks-other/extension-": ("cyentific-rni/cacao-layout-extension", "MIT"),
    "playbooks-other/workflow-status": ("cyentific-rni/workflow-status", "MIT"),
}
"""Where each document comes from, and its licence, by the beginning of its name."""

HEAD = """\
# Playbooks of others

What becomes of the public CACAO 2.0 documents that we know, when `soar playbook import` reads them. This page is
made from them by a test; they themselves are not part of this repository.

- **imported**: it is checked and runs. What is *kept* does nothing here and comes back byte by byte on export.
- **refused**: nothing of it runs. The reasons are all told at once, with line and column.
- A step *runs*, *asks* a person, or is *refused*; none is passed over.

| document | source | licence | result | as |
|---|---|---|---|---|
"""


def page(folder: Path) -> str:
    """The whole page; `folder` holds the samples of CACAO."""
    files = sorted(folder.glob("playbooks-*/*.json"))
    lines, parts = [], []
    for file in files:
        name = f"{file.parent.name}/{file.name}"
        source, licence = next(said for begins, said in SOURCES.items() if name.startswith(begins))
        result, form, said = _outcome(file.read_bytes())
        lines.append(f"| {file.stem} | {source} | {licence} | {result} | {form} |")
        parts.append("\n".join([f"## {file.stem}", "", f"From {source}. {result.capitalize()}.", "", *said, ""]))
    return HEAD + "\n".join([*lines, "", *parts])


def _outcome(text: bytes) -> tuple[str, str, list[str]]:
    """Whether it is imported, in which notation it is kept, and what is said of it."""
    try:
        playbook, places = cacao_form.read(text)
    except Invalid as error:
        return "refused", "", list(map(_problem, error.problems))
    said = [
        *_steps(playbook),
        *(f"- remark {_place(each)}{each.message}" for each in foreign.remarks(playbook, places)),
    ]
    if problems := cacao_form.examined(playbook, places):
        return "refused", "", [*map(_problem, problems), *said]
    try:
        yaml_form.load(yaml_written.write(playbook))
    except Invalid as error:
        return "imported", "JSON", [*said, *(f"- no YAML: {each.message}" for each in error.problems)]
    return "imported", "YAML", [*said, *(f"- not in the YAML: {each}" for each in yaml_written.left_out(playbook))]


def _steps(playbook: Playbook) -> Iterator[str]:
    """What its steps do, those that do the same in one line."""
    counted = Counter((fate.outcome, fate.words) for fate in foreign.fates(playbook))
    for (outcome, words), count in counted.items():
        refused = "refused: " if outcome == "refused" else ""
        yield f"- {count} {'step' if count == 1 else 'steps'}: {refused}{_code(words)}"


def _problem(problem: Problem) -> str:
    return f"- {_place(problem)}`{problem.code}`: {_code(problem.message)}"


def _place(problem: Problem) -> str:
    return f"{problem.line}:{problem.column} " if problem.line else ""


def _code(text: str) -> str:
    """What stands in quotes, as code: Markdown would read underscores."""
    parts = text.split('"')
    return "".join(f"`{part}`" if index % 2 else part for index, part in enumerate(parts))


if __name__ == "__main__":
    print(page(Path(os.environ["SOAR_SAMPLES"]) / "cacao"), end="")
