"""`soar playbook picture`, `diff` and `plan`: what a reviewer asks before a playbook runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from playbooks import shipped
from soar.playbook.document import to_document
from soar.playbook.yaml.yaml_form import load
from tests.api.cli_desk import Desk, run_of, scripted, soar
from tests.api.door import Door
from tests.api.test_errors import problem

Captured = pytest.CaptureFixture[str]
OLD = """\
id: story
name: Story
steps:
  - {id: block, do: block_indicators, with: {from: incident}, lease: 7d}
  - {id: tell, do: notify, with: {team: desk, text: Done}}
"""
NEW = OLD.replace("7d", "30d").replace("Story", "Tale")


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with scripted() as opened:
        monkeypatch.setenv("SOAR_URL", opened.url)
        monkeypatch.setenv("SOAR_KEY", "soar_secret")
        yield opened


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    (tmp_path / "old.yaml").write_text(OLD, encoding="utf-8")
    (tmp_path / "new.yaml").write_text(NEW, encoding="utf-8")
    (tmp_path / "old.json").write_text(json.dumps(to_document(load(OLD))), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_picture_goes_to_a_file_or_to_standard_output(files: Path, capsys: Captured) -> None:
    assert soar("playbook", "picture", "old.yaml", "-o", "out.svg") == 0
    told = capsys.readouterr()
    assert (told.out, "out.svg written" in told.err) == ("", True)
    assert soar("playbook", "picture", "old.json") == 0
    assert capsys.readouterr().out == (files / "out.svg").read_text(encoding="utf-8")
    assert ET.parse(files / "out.svg").getroot().tag.endswith("svg")


def test_a_picture_of_a_run_shows_how_far_it_is(files: Path, desk: Desk, capsys: Captured) -> None:
    desk.answer("GET", "/runs/r1", run_of("running", {"step": "block", "occurrence": "block", "status": "succeeded"}))
    assert soar("playbook", "picture", "old.yaml", "--run", "r1") == 0
    assert "Status: succeeded" in capsys.readouterr().out


def test_a_comparison_says_what_acts_first_and_ends_with_1(files: Path, capsys: Captured) -> None:
    assert soar("playbook", "diff", "old.yaml", "new.yaml") == 1
    told = capsys.readouterr()
    assert told.out == "What it does\n! block: lease 7d -> 30d\n\nNames and descriptions\n  name Story -> Tale\n"
    assert told.err == "2 change(s), 1 loosen a guard, 0 tighten one\n"


def test_the_same_playbook_in_both_notations_is_the_same_and_ends_with_0(files: Path, capsys: Captured) -> None:
    assert soar("playbook", "diff", "old.yaml", "old.json") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "no change\n")


def test_a_comparison_as_data_has_values_and_marks(files: Path, capsys: Captured) -> None:
    assert soar("playbook", "diff", "old.yaml", "new.yaml", "-o", "json") == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first == {"group": "acts", "code": "lease", "step": "block", "guard": "loosened",
                     "message": "block: lease 7d -> 30d", "before": 604_800, "after": 2_592_000}  # fmt: skip
    assert second["group"] == "words"


def test_a_version_that_the_server_keeps_is_compared_by_its_digest(files: Path, desk: Desk, capsys: Captured) -> None:
    kept = {"slug": "story", "document": to_document(load(OLD))}
    desk.answer("GET", "/playbooks/story", kept)
    desk.answer("GET", "/playbooks/abc", kept)
    assert soar("playbook", "diff", "story", "new.yaml") == 1
    assert soar("playbook", "diff", "story@abc", "old.yaml") == 0
    assert soar("playbook", "diff", "other@abc", "old.yaml") == 3
    assert "abc is no version of other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [("missing.yaml", None, 3), ("bad.yaml", "id: Bad!", 6), ("bad.json", "{", 6), ("list.json", "[]", 6),
     ("large.json", " " * 9_000_000, 6)],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_is_no_difference(
    files: Path, name: str, text: str | None, code: int, capsys: Captured
) -> None:
    if text is not None:
        (files / name).write_text(text, encoding="utf-8")
    for words in (("diff", "old.yaml", name), ("picture", name)):
        assert soar("playbook", *words) == code
        told = capsys.readouterr()
        assert (told.out, name in told.err) == ("", True)


def test_a_file_that_the_server_does_not_have_is_planned(files: Path, desk: Desk, capsys: Captured) -> None:
    plan = {"playbook": "story", "digest": "d", "urgency": "", "steps": [], "on_exception": []}
    desk.answer("POST", "/incidents/INC-7/plan", plan)
    assert soar("playbook", "plan", "old.yaml", "--incident", "INC-7", "--input", "n=2", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out) == plan
    assert desk.asked[-1].body == {"document": to_document(load(OLD)), "inputs": {"n": 2}}


# --- the door --------------------------------------------------------------------------------------------


def test_the_plan_of_a_document_is_that_of_the_playbook_and_nothing_is_kept(own_door: Door) -> None:
    incident = own_door.incident()
    book = load(next(path for path in shipped() if path.stem == "triage-alert").read_bytes())
    before = own_door.counts()
    sent = own_door.post(f"/incidents/{incident}/plan", {"document": to_document(book)})
    assert sent == own_door.post(f"/incidents/{incident}/plan", {"playbook": "triage-alert"})
    strange = own_door.post(f"/incidents/{incident}/plan", {"document": to_document(load(OLD))})
    assert [step["step"] for step in strange["steps"]] == ["block", "tell"]
    assert own_door.counts() == before


@pytest.mark.parametrize("body", [{}, {"playbook": "triage-alert", "document": {}}, {"document": {"type": "playbook"}}])
def test_a_plan_wants_one_playbook_and_a_right_one(door: Door, body: dict[str, Any]) -> None:
    answer = door.call("POST", f"/incidents/{door.incident()}/plan", "ana", body=body)
    assert problem(answer, 422, "invalid")["problems"]
