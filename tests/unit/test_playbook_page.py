"""A playbook as a page: all that acts and all who decide stand on it, and no text gets out of its line."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from playbooks import shipped
from soar.playbook.model import Playbook
from soar.playbook.page import page
from soar.playbook.phrases import name_of
from soar.playbook.yaml import yaml_form


def library() -> list[Playbook]:
    return [yaml_form.load(path.read_bytes()) for path in shipped()]


def test_every_step_that_acts_or_asks_stands_on_the_page_with_its_decision() -> None:
    for book in library():
        said = page(book).replace("\\", "")
        for step in book.workflow.values():
            if step.soar and (step.soar.verb or step.soar.undo or step.soar.manual):
                assert f"**{name_of(step)}**" in said
            if step.soar and step.soar.approval:
                assert f"Before **{name_of(step)}**" in said


@given(st.text(max_size=80))
def test_no_text_of_a_playbook_makes_markup_or_a_line_of_its_own(text: str) -> None:
    plain, hostile = (page(replace(library()[0], name="x", description=each)) for each in ("y", f"y{text}"))
    assert len(plain.splitlines()) == len(hostile.splitlines())
    line = hostile.split("\n")[2]
    assert "<" not in line.replace("\\<", "")
    assert "[" not in line.replace("\\[", "")
