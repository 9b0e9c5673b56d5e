"""The rehearsals of the library and of the documentation are right, pass, and walk all there is to walk."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbooks import LIBRARY, rehearsals, shipped
from soar.errors import NotFound
from soar.playbook.model import Playbook
from soar.playbook.yaml.yaml_form import load as load_playbook
from soar.rehearsal.model import DECISIONS, ENDS, RESULTS, STATUSES, STEP_STATUSES, TARGET_RESULTS
from soar.rehearsal.reading import load
from soar.rehearsal.rehearsing import covered, rehearse
from tests.repo.pages import page, plain, rows

PAGE = page("docs/rehearsals.md")


def of_library(name: str) -> Playbook:
    file = LIBRARY / f"{name}.yaml"
    if not file.exists():
        raise NotFound(f"no {name}")
    return load_playbook(file.read_bytes())


def test_every_playbook_of_the_library_has_a_rehearsal() -> None:
    assert {path.stem for path in rehearsals()} == {path.stem for path in shipped()}


@pytest.mark.parametrize("path", rehearsals(), ids=lambda path: path.stem)
def test_every_rehearsal_of_the_library_passes_and_walks_every_way(path: Path) -> None:
    rehearsal = load(path.read_bytes(), of_library)
    assert rehearsal.playbook.slug == path.stem
    shown = rehearse(rehearsal)
    assert {each.case.name: each.differences for each in shown if each.differences} == {}
    assert [str(edge) for edge in covered(rehearsal, shown).missed] == []


@pytest.mark.parametrize("block", PAGE.blocks("yaml"), ids=lambda block: block.splitlines()[0])
def test_the_samples_of_rehearsals_pass(block: str) -> None:
    shown = rehearse(load(block, of_library))
    assert {each.case.name: each.differences for each in shown if each.differences} == {}


def test_the_page_knows_every_word_that_a_rehearsal_may_use() -> None:
    words = {
        word for heading in ("Given", "How a step comes out", "Expect") for word in PAGE.section(heading).split("`")
    }
    release = {"recovered", "mistaken", "superseded", "rollback"}
    known = {*DECISIONS, *RESULTS, *TARGET_RESULTS, *STATUSES, *STEP_STATUSES, *ENDS} - release
    assert known - words == set()


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("Given", {"severity", "determination", "alert", "scope", "observables", "inputs", "steps"}),
        (
            "How a step comes out",
            {"result", "reason", "outputs", "takes", "targets", "approval", "evidence", "answer"},
        ),
        (
            "Expect",
            {"status", "reason", "steps", "before", "never", "results", "approvals", "waits", "values", "contained",
             "takes"},
        ),
    ],
)  # fmt: skip
def test_the_tables_tell_every_key(heading: str, keys: set[str]) -> None:
    assert {plain(cells[0]) for cells in rows(PAGE.section(heading))} == keys
