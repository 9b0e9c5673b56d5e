"""The page about playbooks of others says what happens to them today."""

from __future__ import annotations

from pathlib import Path

from tests.repo import foreign_page
from tests.repo.pages import page, rows


def test_the_page_of_foreign_playbooks_is_made_from_them(samples: Path) -> None:
    made = foreign_page.page(samples / "cacao")
    assert page("docs/foreign-playbooks.md").text == made, (
        "run: SOAR_SAMPLES=... python -m tests.repo.foreign_page > docs/foreign-playbooks.md"
    )


def test_every_document_has_a_source_a_licence_and_a_result(samples: Path) -> None:
    found = {cells[0]: cells[1:] for cells in rows(page("docs/foreign-playbooks.md").text)}
    assert set(found) == {file.stem for file in (samples / "cacao").glob("playbooks-*/*.json")}
    for source, licence, result, form in found.values():
        assert source
        assert licence
        assert (result, bool(form)) in {("imported", True), ("refused", False)}


def test_a_document_that_is_refused_has_a_reason() -> None:
    text = page("docs/foreign-playbooks.md")
    for name, *_, result, _ in rows(text.text):
        reasons = [line for line in text.section(name).splitlines() if line.startswith("- ") and "`: " in line]
        assert bool(reasons) is (result == "refused"), name
