"""`soar playbook rehearse` and `soar run record`: what they print, what they end with, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from api.cli.exits import Exit
from playbooks import rehearsals
from tests.api.cli_desk import run_of, scripted, soar

Captured = pytest.CaptureFixture[str]
BOOK = """\
id: small
name: Small
steps:
  - id: a
    do: notify
    with: {team: on-call, text: Hello}
    on_failure: call
handlers:
  call:
    - {do: notify, with: {team: desk, text: It failed}}
"""
CASES = """\
playbook: small.yaml
cases:
  - case: all is well
    expect: {status: succeeded}
"""
WRONG = """\
  - case: "it <goes> wrong \\e[31m"
    expect: {status: failed, steps: [a, handlers/call/1-notify]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(BOOK, encoding="utf-8")
    rehearsal = tmp_path / "case.yaml"
    rehearsal.write_text(CASES, encoding="utf-8")
    return rehearsal


def more(file: Path, text: str) -> str:
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
    return str(file)


def test_a_rehearsal_that_passes_says_so(file: Path, capsys: Captured) -> None:
    assert soar("playbook", "rehearse", str(file)) == Exit.OK
    said = capsys.readouterr()
    assert said.out == f"ok     {file}:3: all is well\n"
    assert "1 case(s) rehearsed, 0 came out otherwise; small 33.3 %" in said.err


def test_the_library_passes_whole(capsys: Captured) -> None:
    files = [str(path) for path in rehearsals()]
    assert soar("playbook", "rehearse", "--min-coverage", "100", *files) == Exit.OK
    assert "never:" not in capsys.readouterr().out


def test_what_is_not_as_expected_is_told_step_by_step(file: Path, capsys: Captured) -> None:
    text = WRONG.replace(" \\e[31m", "")
    assert soar("playbook", "rehearse", more(file, text)) == Exit.FAILED
    said = capsys.readouterr().out
    assert f"FAILED {file}:5: it <goes> wrong\n" in said
    assert "         status: expected failed; got succeeded\n" in said
    assert "           a\n         - handlers/call/1-notify\n" in said


def test_what_was_never_walked_is_named_and_may_fail(file: Path, capsys: Captured) -> None:
    assert soar("playbook", "rehearse", "--coverage", str(file)) == Exit.OK
    assert "small: 33.3 % walked (1 of 3 ways)\n         never: a: fails\n" in capsys.readouterr().out
    assert soar("playbook", "rehearse", "--min-coverage", "50", str(file)) == Exit.FAILED
    assert soar("playbook", "rehearse", "--min-coverage", "33", str(file)) == Exit.OK
    text = "  - case: it fails\n    given: {steps: {a: failed}}\n    expect: {status: failed}\n"
    assert soar("playbook", "rehearse", "--min-coverage", "100", more(file, text)) == Exit.OK
    assert capsys.readouterr().out.count("ok     ") == 4


def test_junit_holds_every_case_every_difference_and_what_is_lacking(file: Path, capsys: Captured) -> None:
    text = WRONG.replace(" \\e[31m", "")
    assert soar("playbook", "rehearse", "-o", "junit", "--min-coverage", "100", more(file, text)) == Exit.FAILED
    root = ET.fromstring(capsys.readouterr().out)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "2", "0")
    cases = {each.get("name"): each for each in root.iter("testcase")}
    assert set(cases) == {"all is well", "it <goes> wrong", "coverage"}
    assert cases["all is well"].find("failure") is None
    failure = cases["it <goes> wrong"].find("failure")
    assert failure is not None
    assert "status: expected failed; got succeeded" in (failure.text or "")
    assert "- handlers/call/1-notify" in (failure.text or "")


def test_data_for_programs_holds_cases_and_coverage(file: Path, capsys: Captured) -> None:
    assert soar("playbook", "rehearse", "-o", "json", str(file)) == Exit.OK
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [(each["case"], each["as_expected"], each["line"]) for each in said["cases"]] == [("all is well", True, 3)]
    assert said["coverage"] == [
        {"playbook": "small", "per_cent": 33.3, "ways": 3, "never": ["a: fails", "handlers/call/1-notify: succeeds"]}
    ]


def test_a_file_that_is_not_right_is_told_as_compilers_do(file: Path, capsys: Captured) -> None:
    assert soar("playbook", "rehearse", more(file, WRONG)) == Exit.INVALID
    assert capsys.readouterr().out.startswith(f"{file}:5:11: control_character: ")
    file.write_text(CASES.replace("small.yaml", "smal.yaml"), encoding="utf-8")
    assert soar("playbook", "rehearse", str(file)) == Exit.INVALID
    assert f"{file}:1:11: unknown_playbook: there is no file smal.yaml" in capsys.readouterr().out
    file.write_text(CASES.replace("small.yaml", "compromised"), encoding="utf-8")
    assert soar("playbook", "rehearse", "-o", "junit", str(file)) == Exit.INVALID
    (error,) = ET.fromstring(capsys.readouterr().out).iter("error")
    assert "compromised-host" in (error.text or "")


def test_a_file_that_is_not_there_and_a_path_that_leads_anywhere(file: Path, capsys: Captured) -> None:
    assert soar("playbook", "rehearse", "nowhere.yaml") == Exit.NOT_FOUND
    file.write_text(CASES.replace("small.yaml", "/etc/hostname.yaml"), encoding="utf-8")
    assert soar("playbook", "rehearse", str(file)) == Exit.INVALID
    assert "by a path from where it lies itself" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "code"), [("running", Exit.CONFLICT), ("cancelled", Exit.INVALID)])
def test_a_run_that_goes_on_or_was_cancelled_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, status: str, code: Exit
) -> None:
    from soar.playbook.document import to_document
    from soar.playbook.yaml.yaml_form import load

    run = {**run_of(status), "incident_id": "i1", "digest": "d1", "inputs": {}}
    with scripted() as desk:
        monkeypatch.setenv("SOAR_URL", desk.url)
        desk.answer("GET", "/runs/r1", run)
        desk.answer("GET", "/incidents/i1", {})
        for path in ("/actions", "/approvals", "/tasks", "/incidents/i1/events"):
            desk.answer("GET", path, {"items": [], "next": None})
        desk.answer("GET", "/playbooks/d1", {"document": to_document(load(BOOK))})
        assert soar("run", "record", "r1", "-o", str(tmp_path / "case.yaml")) == code
    assert not (tmp_path / "case.yaml").exists()
    assert capsys.readouterr().err
