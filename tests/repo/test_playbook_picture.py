"""The picture on its page is that of the playbook beside it."""

from __future__ import annotations

from tests.repo.checkout import ROOT
from tests.repo.playbook_picture import drawn


def test_the_picture_on_the_page_is_current() -> None:
    file = ROOT / "docs" / "playbook-picture.svg"
    mend = "run: python -m tests.repo.playbook_picture > docs/playbook-picture.svg"
    assert file.read_text(encoding="utf-8") == drawn(), mend
