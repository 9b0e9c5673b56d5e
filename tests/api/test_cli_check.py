"""`soar playbook check` at the command line: what it prints, what it ends with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from api.cli.exits import Exit
from tests.api.cli_desk import soar

Captured = pytest.CaptureFixture[str]
WARNS = "id: story\nsteps:\n  - {manual: Look, within: 1h}\n"
NOTES = "id: story\nsteps:\n  - {id: ask, manual: More?, outputs: {yes: bool}}\n"
WRONG = "id: story\nsteps:\n  - {id: wipe, do: wipe_device, with: {host: a}}\n"


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str, name: str = "story.yaml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def test_a_warning_is_printed_and_is_no_failure_unless_that_was_asked_for(file: Any, capsys: Captured) -> None:
    story = file(WARNS)
    assert soar("playbook", "check", story) == Exit.OK
    said = capsys.readouterr()
    assert said.out.startswith(f"{story}:3:")
    assert ": warning: within_without_on_timeout: " in said.out
    assert "0 error(s), 1 warning(s), 0 note(s)" in said.err
    assert soar("playbook", "check", "--fail-on", "warning", story) == Exit.INVALID
    assert soar("playbook", "check", "--fail-on", "note", file(NOTES)) == Exit.INVALID
    assert soar("playbook", "check", "--fail-on", "warning", file(NOTES)) == Exit.OK
    assert soar("playbook", "check", "--fail-on", "never", story) == Exit.USAGE


def test_data_says_severity_step_and_place(file: Any, capsys: Captured) -> None:
    story = file(WRONG)
    assert soar("playbook", "check", "-o", "json", story) == Exit.INVALID
    found = {each["code"]: each for each in json.loads(capsys.readouterr().out)}
    wanted = {"file": story, "severity": "error", "step": "wipe", "line": 3, "column": 20, "pointer": "/steps/0/do"}
    assert found["destructive_without_approval"].items() >= wanted.items()
    assert found["evidence_after_loss"]["severity"] == "warning"


def test_sarif_goes_to_standard_output_with_all_files_in_one_run(file: Any, capsys: Captured) -> None:
    files = [file(WRONG, "one.yaml"), file(WARNS, "two.yaml"), file("{}", "three.json")]
    assert soar("playbook", "check", "-o", "sarif", *files) == Exit.INVALID
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    places = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in run["results"]]
    assert {Path(each).name for each in places} == {"one.yaml", "two.yaml", "three.json"}
    assert {each["level"] for each in run["results"]} == {"error", "warning"}


def test_what_the_adapters_of_the_settings_cannot_do_is_an_error_when_asked(
    file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for name in ("SOAR_CONFIG", "SOAR_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    story = file("id: story\nsteps:\n  - {do: notify, with: {team: on-call, text: Help}}\n")
    assert soar("playbook", "check", story) == Exit.OK
    assert capsys.readouterr().out == ""
    assert soar("playbook", "check", "--adapters", story) == Exit.INVALID
    assert ": error: no_adapter: no configured adapter can do notify" in capsys.readouterr().out
    config = tmp_path / "soar.toml"
    config.write_text('[adapters.lab]\nkind = "lab"\nurl = "http://127.0.0.1:9"\n', encoding="utf-8")
    monkeypatch.setenv("SOAR_CONFIG", str(config))
    assert soar("playbook", "check", "--adapters", story) == Exit.OK


def test_a_folder_is_no_playbook_and_a_missing_file_is_told_apart(tmp_path: Path, capsys: Captured) -> None:
    assert soar("playbook", "check", str(tmp_path)) == Exit.INVALID
    assert ": error: unreadable: " in capsys.readouterr().out
    assert soar("playbook", "check", str(tmp_path / "none.yaml")) == Exit.NOT_FOUND
    assert soar("playbook", "check", str(tmp_path), str(tmp_path / "none.yaml")) == Exit.INVALID
