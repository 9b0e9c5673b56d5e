"""The model to YAML: the same playbook for our own, the same way to go for those of others, or the reason why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from soar import canonical, strict_json
from soar.errors import Invalid
from soar.playbook.cacao import cacao_form
from soar.playbook.model import ActionStep, EndStep, Playbook, Step
from soar.playbook.yaml import yaml_form, yaml_written
from tests.conftest import ROOT
from tests.unit.foreign_author import ForeignAuthor
from tests.unit.playbook_runs import Author, randoms
from tests.unit.test_yaml_commands import COMMANDS
from tests.unit.test_yaml_form import ALL_FORMS


def sorted_by_json(playbook: Playbook) -> Playbook:
    """The playbook after it was sent in canonical JSON, which sorts all names."""
    return cacao_form.from_document(strict_json.parse(canonical.dumps(cacao_form.to_document(playbook))))


def read(text: str) -> Playbook:
    """What the text says; the rules of good playbooks aside."""
    playbook, _, problems = yaml_form.read(text)
    assert problems == []
    return playbook


LIBRARY = sorted((ROOT / "playbooks" / "library").glob("*.yaml"))


@pytest.mark.parametrize("file", LIBRARY, ids=lambda file: file.stem)
def test_the_library_is_the_same_after_it_was_written(file: Path) -> None:
    playbook = yaml_form.load(file.read_bytes())
    written = yaml_written.write(sorted_by_json(playbook))
    assert yaml_form.load(written) == playbook
    assert yaml_written.write(yaml_form.load(written)) == written


@pytest.mark.parametrize("text", [ALL_FORMS, COMMANDS], ids=["all forms", "commands"])
def test_every_form_is_the_same_after_it_was_written(text: str) -> None:
    playbook = read(text)
    assert read(yaml_written.write(sorted_by_json(playbook))) == playbook


@settings(max_examples=40, deadline=None)
@given(randoms)
def test_a_random_playbook_is_the_same_after_it_was_written(random: Random) -> None:
    playbook = yaml_form.load(json.dumps(Author(random).playbook()))
    written = yaml_written.write(sorted_by_json(playbook))
    assert yaml_form.load(written).digest == playbook.digest
    assert yaml_form.load(written) == playbook


HARD_TEXTS = ["1e3", "0x10", "no", "null", "~", "2026-11-23", "a: b", "- x", "#x", "'", "'\"", "line\nline", "é",
              "1_0", ".5", "-", "=", "<<", "!x", "&x", "*x", "%x", "@x", " x ", "12:30:45", "0o7", ".inf", "x\ty",
              "y:", "{"]  # fmt: skip


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_a_text_stays_a_text(text: str) -> None:
    said = {"id": "a", "name": text, "steps": [{"do": "notify", "with": {"team": text, "text": text}}]}
    playbook = yaml_form.load(json.dumps(said))
    assert yaml_form.load(yaml_written.write(playbook)) == playbook


# --- those of others ---------------------------------------------------------------------------------


def ways(one: Playbook, other: Playbook) -> Iterator[tuple[Step, Step]]:
    """Pairs of steps that two playbooks come to on the same ways."""
    todo = [(one.workflow_start, other.workflow_start)]
    seen = set()
    while todo:
        pair = todo.pop()
        if pair in seen or "" in pair:
            assert pair in seen or pair == ("", ""), pair
            continue
        seen.add(pair)
        left, right = one.workflow[pair[0]], other.workflow[pair[1]]
        yield left, right
        if not isinstance(left, EndStep):
            todo += zip(_targets(left), _targets(right), strict=True)


def _targets(step: Step) -> list[str]:
    cases: Any = getattr(step, "cases", None)
    heads = [cases[name] for name in sorted(cases)] if cases else list(step.heads)
    return [step.on_completion, step.on_success, step.on_failure, *heads]


def said(step: Step) -> dict[str, Any]:
    """What a step does, but for ids and what is only for people or for others."""
    document = cacao_form.to_document(
        Playbook(
            id="", name="", created_by="", created="", modified="", workflow_start="", workflow={step.id: step},
            variables={},
        )
    )["workflow"][step.id]  # fmt: skip
    left_out = {"step_extensions", "on_completion", "on_success", "on_failure", "on_true", "on_false", "next_steps",
                "name", "agent", "targets", "x_colour", "step_variables"}  # fmt: skip
    return {
        name: sorted(value) if name == "cases" else value
        for name, value in document.items()
        if name not in left_out and value not in ("", 0, [], {}, ())
    }


@settings(max_examples=40, deadline=None)
@given(randoms)
def test_a_foreign_playbook_goes_the_same_ways_in_yaml(random: Random) -> None:
    foreign = cacao_form.from_document(ForeignAuthor(random, strange=False).document())
    back = read(yaml_written.write(foreign))
    assert back.derived_from[0] == foreign.id
    for left, right in ways(foreign, back):
        if not isinstance(left, EndStep):
            assert said(left) == said(right)
        else:
            assert isinstance(right, EndStep)
            assert not (right.soar and right.soar.ends)
        if isinstance(left, ActionStep) and isinstance(right, ActionStep):
            assert foreign.agent_definitions[left.agent] == back.agent_definitions[right.agent]
            assert left.targets == right.targets


@settings(max_examples=40, deadline=None)
@given(randoms)
def test_a_tangled_playbook_is_written_right_or_refused_with_its_steps(random: Random) -> None:
    foreign = cacao_form.from_document(ForeignAuthor(random, nested=False, strange=False).document())
    try:
        written = yaml_written.write(foreign)
    except Invalid as error:
        for problem in error.problems:
            assert problem.code in ("not_nested", "not_in_yaml")
            assert problem.mend
        return
    assert all(type(left) is type(right) for left, right in ways(foreign, read(written)))


def test_why_there_is_no_yaml_is_said_with_the_steps(samples: Path) -> None:
    text = (samples / "cacao" / "playbooks-soarca" / "caldera-flow-control.json").read_bytes()
    playbook, _ = cacao_form.read(text)
    with pytest.raises(Invalid) as caught:
        yaml_written.write(playbook)
    assert [(each.code, each.message) for each in caught.value.problems] == [
        ("not_nested", "Run another Caldera command is reached on several ways, so that it has no one place")
    ]


def test_ids_that_do_not_follow_from_names_are_no_yaml() -> None:
    document = cacao_form.to_document(yaml_form.load("{id: a, steps: [{id: ask, manual: Look}]}"))
    text = json.dumps(document).replace(document["workflow_start"], "start--07bea005-4a36-4a77-bd1f-79a6e4682a13")
    with pytest.raises(Invalid) as caught:
        yaml_written.write(cacao_form.load(text))
    assert [each.code for each in caught.value.problems] == ["not_in_yaml"]


def test_what_the_yaml_leaves_out_is_said(samples: Path) -> None:
    folder = samples / "cacao"
    playbook, _ = cacao_form.read((folder / "playbooks-oasis" / "spec-3.1-example.json").read_bytes())
    assert yaml_written.left_out(playbook) == ["what start and end are called"]
    back = read(yaml_written.write(playbook))
    for name in ("created", "modified", "created_by", "valid_until", "severity", "markings", "data_marking_definitions",
                 "industry_sectors", "external_references", "playbook_activities"):  # fmt: skip
        assert getattr(back, name) == getattr(playbook, name), name
    assert yaml_written.left_out(back) == []
