"""The pages of the library are what its playbooks say."""

from __future__ import annotations

from tests.repo import library_pages
from tests.repo.checkout import ROOT


def test_each_playbook_has_the_page_that_is_made_from_it() -> None:
    wanted = library_pages.pages()
    folder = library_pages.FOLDER
    stored = {f"{folder}/{path.name}": path.read_text(encoding="utf-8") for path in (ROOT / folder).iterdir()}
    assert sorted(stored) == sorted(wanted)
    for name, text in wanted.items():
        assert stored[name] == text, "run: python -m tests.repo.library_pages"
