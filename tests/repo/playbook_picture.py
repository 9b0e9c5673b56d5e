"""Draws the sample of its page: `python -m tests.repo.playbook_picture > docs/playbook-picture.svg`."""

from __future__ import annotations

from soar.playbook.pictures.picture import picture
from soar.playbook.yaml.yaml_form import load
from tests.repo.pages import page


def drawn() -> str:
    """The picture of the sample on the page."""
    (sample,) = page("docs/playbook-pictures.md").blocks("yaml")
    return picture(load(sample))


if __name__ == "__main__":
    print(drawn(), end="")
