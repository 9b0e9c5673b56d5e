"""The command line: what it prints where, what it ends with, and that nothing hostile reaches the terminal."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from api.cli import app
from api.cli.exits import MEANINGS, Exit
from tests.api.cli_desk import Desk, run_of, scripted, soar, step_of
from tests.conftest import ROOT

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x9b2J\u202egnp.exe\r\nnext[bold]"
"""Sets the title, colours, clears the screen, turns the reading direction, starts a line, and is rich markup."""
CLEAN = "redgnp.exe"
Captured = pytest.CaptureFixture[str]


def words_of(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command and group, as the words that lead to it."""
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from words_of(command, *before, name)


COMMANDS = list(words_of(typer.main.get_command(app)))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with scripted() as opened:
        monkeypatch.setenv("SOAR_URL", opened.url)
        monkeypatch.setenv("SOAR_KEY", "soar_secret")
        yield opened


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line sets the process's last words; a test run keeps its own. Nothing waits long."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("api.cli.run._POLL_SECONDS", 0.02)


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...], capsys: Captured) -> None:
    assert soar(*words, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: soar {' '.join(words)}".rstrip())
    assert "--help" in said


def test_the_help_lists_every_exit_code(capsys: Captured) -> None:
    soar("--help")
    said = capsys.readouterr().out
    assert all(f"  {int(code)}  {meaning}" in said for code, meaning in MEANINGS.items())
    assert [int(code) for code in Exit] == list(range(10))


@pytest.mark.alone
def test_the_help_comes_at_once_because_nothing_heavy_is_imported() -> None:
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "api.cli", "--help"], check=True, capture_output=True, cwd=ROOT)
        taken.append(time.perf_counter() - began)
    print(f"soar --help: median {statistics.median(taken) * 1000:.0f} ms (aim 300, limit 600)")
    assert statistics.median(taken) < 0.6
    heavy = "{'httpx2', 'sqlalchemy', 'fastapi', 'pydantic', 'rich', 'yaml', 'uvicorn', 'structlog'}"
    code = f"import sys, api.cli; print({heavy} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert said.stdout.strip() == "set()"


# --- exit codes, each for real ---------------------------------------------------------------------


def test_0_for_playbooks_that_are_right(capsys: Captured) -> None:
    files = sorted((ROOT / "playbooks" / "library").glob("*.yaml"))
    assert files
    assert soar("playbook", "check", *map(str, files)) == Exit.OK
    assert ": error: " not in capsys.readouterr().out


def test_1_when_nobody_answers_and_when_it_is_not_soar_that_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    desk.answer("GET", "/incidents", {"hello": "world"})
    assert soar("incident", "list") == Exit.FAILED
    desk.answer("GET", "/incidents", b"<html>")
    assert soar("incident", "list") == Exit.FAILED
    monkeypatch.setenv("SOAR_URL", "http://127.0.0.1:1")
    assert soar("incident", "list") == Exit.FAILED
    first, second, third = capsys.readouterr().err.splitlines()
    assert "is not soar" in first
    assert "is not soar" in second
    assert "cannot be reached" in third


def test_2_for_wrong_words(capsys: Captured) -> None:
    assert soar("incident", "list", "--nonsense") == Exit.USAGE
    assert soar("nonsense") == Exit.USAGE
    assert soar("incident", "determine", "INC-1", "maybe", "--reason", "x") == Exit.USAGE
    assert soar("run", "start", "INC-1", "p", "--reason", "x", "--input", "novalue") == Exit.USAGE
    assert capsys.readouterr().out == ""


def test_3_for_what_is_not_there(desk: Desk, tmp_path: Path, capsys: Captured) -> None:
    assert soar("incident", "show", "INC-9") == Exit.NOT_FOUND
    assert soar("evidence", "verify", str(tmp_path / "none.zip")) == Exit.NOT_FOUND
    assert soar("playbook", "check", str(tmp_path / "none.yaml")) == Exit.NOT_FOUND
    assert soar("incident", "list", "--key-file", str(tmp_path / "none")) == Exit.NOT_FOUND
    assert "nothing at /incidents/INC-9" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden")])
def test_4_for_a_wrong_key_or_a_missing_permission(desk: Desk, status: int, code: str) -> None:
    desk.refuse("GET", "/audit/checkpoint", status, code)
    assert soar("audit", "checkpoint") == Exit.AUTH


def test_a_guard_that_refuses_is_a_failure_and_not_a_question_of_keys(desk: Desk, capsys: Captured) -> None:
    members = {"detail": "the release gate is closed", "missing": ["a clean check", "a new password"]}
    desk.refuse("POST", "/actions/a1/release", 403, "refused", **members)
    assert soar("action", "release", "a1", "--reason", "recovered", "--why", "fine") == Exit.FAILED
    said = capsys.readouterr().err
    assert "the release gate is closed" in said
    assert "missing: a clean check; a new password" in said


def test_5_for_a_conflict_with_everything_that_is_undecided(desk: Desk, capsys: Captured) -> None:
    desk.refuse("POST", "/incidents/INC-1/close", 409, "conflict", undecided=["block_ip 203.0.113.66"])
    assert soar("incident", "close", "INC-1", "--resolution", "done") == Exit.CONFLICT
    assert "undecided: block_ip 203.0.113.66" in capsys.readouterr().err


def test_6_for_a_wrong_playbook_with_every_place(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("id: Bad Name\nsteps:\n  - {do: burn_down}\nnonsense: 1\n", encoding="utf-8")
    assert soar("playbook", "check", str(file)) == Exit.INVALID
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"{file}:") for line in lines)
    assert any(line.startswith(f"{file}:4:1: ") and "nonsense" in line for line in lines)
    assert soar("playbook", "check", str(file), "-o", "json") == Exit.INVALID
    found = json.loads(capsys.readouterr().out)
    assert {each["line"] for each in found} >= {1, 3, 4}


def test_6_for_a_refused_body_with_all_problems_and_places(desk: Desk, capsys: Captured) -> None:
    problems = [
        {"code": "missing", "message": "Field required", "pointer": "/reason"},
        {"code": "malformed", "message": "the name stands twice", "line": 2, "column": 9, "mend": "Drop one."},
    ]
    desk.refuse("POST", "/people", 422, "invalid", problems=problems)
    assert soar("person", "add", "bob") == Exit.INVALID
    said = capsys.readouterr().err
    assert "missing: Field required (at /reason)" in said
    assert "2:9: malformed: the name stands twice Drop one." in said


def test_7_for_a_package_that_is_not_what_it_was_with_each_file_named(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("x")
    assert soar("evidence", "verify", str(tmp_path)) == Exit.UNVERIFIED
    whole = json.loads(capsys.readouterr().out)
    assert whole["ok"] is False
    assert {each["pointer"] for each in whole["problems"]} >= {"bagit.txt", "data/incident.json"}
    assert soar("audit", "verify", str(tmp_path), "-o", "table") == Exit.UNVERIFIED
    assert "data/incident.json" in capsys.readouterr().out


def test_7_for_a_log_that_was_changed(desk: Desk, capsys: Captured) -> None:
    found = {"streams": 1, "events": 2, "size": 2, "problems": []}
    desk.answer("GET", "/audit/verify", found, {**found, "problems": [{"code": "root_differs", "message": "no"}]})
    assert soar("audit", "verify") == Exit.OK
    assert soar("audit", "verify") == Exit.UNVERIFIED
    assert "root_differs" in capsys.readouterr().out


def test_8_when_a_run_does_not_end_in_time(desk: Desk, capsys: Captured) -> None:
    desk.answer("GET", "/runs/r1", run_of("running", step_of("isolate", "running")))
    assert soar("run", "watch", "r1", "--timeout", "0.1") == Exit.TIMED_OUT
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("status", "step", "code"),
    [("succeeded", "succeeded", 0), ("succeeded", "partial", 9), ("failed", "failed", 1), ("cancelled", "skipped", 1)],
)
def test_9_for_a_run_that_was_done_in_part(desk: Desk, capsys: Captured, status: str, step: str, code: int) -> None:
    begun, ended = run_of("running", step_of("isolate", "running")), run_of(status, step_of("isolate", step))
    desk.answer("GET", "/runs/r1", begun, ended)
    assert soar("run", "watch", "r1", "--exit-status") == code
    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == status
    assert "step isolate isolate: running" in said.err
    assert f"run r1: {status}" in said.err


def test_what_nobody_foresaw_is_one_line_and_no_traceback(desk: Desk) -> None:
    desk.answer("GET", "/runs/r1", {"unlike": "a run"})
    words = [sys.executable, "-m", "api.cli", "run", "watch", "r1"]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == Exit.FAILED
    assert ended.stderr.startswith("soar: an error in soar itself")
    assert len(ended.stderr.splitlines()) == 1


# --- what is printed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "yaml", "csv"])
def test_hostile_values_are_printed_clean(desk: Desk, capsys: Captured, form: str) -> None:
    desk.answer("GET", "/incidents", {"items": [{"name": "INC-1", "title": HOSTILE, HOSTILE: 1}], "next": None})
    assert soar("incident", "list", "-o", form) == 0
    said = capsys.readouterr().out
    assert CLEAN in said
    assert "owned" not in said
    assert all(each.isprintable() or each == "\n" for each in said)
    assert "\u202e" not in said
    assert "[bold]" in said


def test_a_hostile_server_cannot_paint_through_its_errors(desk: Desk, capsys: Captured) -> None:
    desk.refuse("GET", "/incidents", 409, "conflict", detail=HOSTILE, undecided=[HOSTILE], problems=[{"code": HOSTILE}])
    assert soar("incident", "list") == Exit.CONFLICT
    said = capsys.readouterr().err
    assert all(each.isprintable() or each == "\n" for each in said)
    assert len(said.splitlines()) == 2


def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(desk: Desk, capsys: Captured) -> None:
    given = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\x1b[0m=1", "plain", "a=b"]
    desk.answer("GET", "/tasks", {"items": [{"id": "t", "text": each, "n": -1} for each in given], "next": None})
    assert soar("task", "list", "-o", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    cells = [row["text"] for row in rows]
    assert cells == ["'=cmd|' /C calc'!A0", "'+1", "'-1", "'@SUM(1)", "'\t=1", "'=1", "'=1", "plain", "a=b"]
    assert rows[0]["n"] == "-1"


def test_each_form_holds_the_same_data(desk: Desk, capsys: Captured) -> None:
    rows = [{"slug": "a", "name": "Ä", "digest": "1", "more": {"x": [1, None]}}, {"slug": "b", "name": "B"}]
    desk.answer("GET", "/playbooks", {"items": rows, "next": None})
    said = {}
    for form in ("json", "jsonl", "yaml", "csv", "table"):
        soar("playbook", "list", "-o", form)
        said[form] = capsys.readouterr().out
    assert json.loads(said["json"]) == rows
    assert [json.loads(line) for line in said["jsonl"].splitlines()] == rows
    assert yaml.safe_load(said["yaml"]) == rows
    table = csv.DictReader(io.StringIO(said["csv"]))
    assert json.loads(next(table)["more"]) == {"x": [1, None]}
    assert [line.split() for line in said["table"].splitlines()][1:] == [["a", "Ä", "1"], ["b", "B"]]


def test_a_program_gets_json_a_person_a_table_and_no_colour_where_none_is_wanted(
    desk: Desk, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.answer("GET", "/switches", {"items": [{"name": "*", "reason": "stop"}], "next": None})
    soar("switch", "list")
    assert json.loads(capsys.readouterr().out)[0]["name"] == "*"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    soar("switch", "list")
    assert "\x1b[1mname" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    soar("switch", "list")
    assert "\x1b[3" not in capsys.readouterr().out


# --- what is sent -----------------------------------------------------------------------------------


def test_an_id_is_one_segment_whatever_stands_in_it(desk: Desk) -> None:
    assert soar("incident", "show", "../people?x=1#y") == Exit.NOT_FOUND
    assert soar("switch", "clear", "*") == Exit.NOT_FOUND
    assert [each.path for each in desk.asked] == ["/incidents/..%2Fpeople%3Fx%3D1%23y", "/switches/%2A"]


def test_the_key_comes_from_the_environment_or_a_file(desk: Desk, tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "key"
    file.write_text("soar_of_file\n", encoding="ascii")
    soar("person", "list")
    soar("person", "list", "--key-file", str(file))
    monkeypatch.delenv("SOAR_KEY")
    soar("person", "list")
    assert [each.key for each in desk.asked] == ["Bearer soar_secret", "Bearer soar_of_file", ""]
    file.write_text("soar_of_file\r\nX-Evil: 1", encoding="ascii")
    assert soar("person", "list", "--key-file", str(file)) == Exit.INVALID


def test_a_list_is_read_to_its_last_page(desk: Desk, capsys: Captured) -> None:
    desk.answer("GET", "/actions", {"items": [{"id": "2"}], "next": "2"}, {"items": [{"id": "1"}], "next": None})
    assert soar("action", "list", "--standing", "--incident", "INC-1") == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)] == ["2", "1"]
    assert desk.asked[1].path == "/actions?incident=INC-1&standing=true&after=2"


APPROVAL = {
    "id": "p1", "subject": "isolate", "digest": "ab" * 32, "votes": [],
    "actions": [{"verb": "isolate_host", "target": "host:ws-1", "target_name": "ws-1", "adapter": "lab", "params": {}}],
}  # fmt: skip


def test_a_vote_is_for_exactly_what_was_shown(desk: Desk, capsys: Captured) -> None:
    desk.answer("GET", "/approvals/p1", APPROVAL)
    desk.answer("POST", "/approvals/p1/votes", APPROVAL)
    assert soar("approval", "approve", "p1", "--reason", "seen") == 0
    said = capsys.readouterr().err
    assert "isolate_host on ws-1 (host:ws-1) through lab" in said
    assert "ab" * 32 in said
    assert desk.asked[-1].body == {"decision": "approve", "reason": "seen", "digest": "ab" * 32}
    assert soar("approval", "deny", "p1", "--reason", "no", "--digest", "cd" * 32) == Exit.CONFLICT
    assert [each.method for each in desk.asked] == ["GET", "POST", "GET"]


def test_answers_have_the_types_that_the_task_asks_for(desk: Desk) -> None:
    desk.answer("GET", "/tasks/t1", {"asks": {"restored": "bool", "ticket": "str", "hosts": "list", "n": "int"}})
    desk.answer("POST", "/tasks/t1/answer", {})
    assert soar("task", "answer", "t1", "restored=yes", "ticket=42", "hosts=a,b", "n=3") == 0
    assert desk.asked[-1].body == {"answer": {"restored": True, "ticket": "42", "hosts": ["a", "b"], "n": 3}}


def test_inputs_of_a_run_are_json_where_they_read_so(desk: Desk) -> None:
    desk.answer("POST", "/incidents/INC-1/runs", run_of("running"), status=201)
    words = ["--input", 'hosts=["a"]', "--input", "watch_for=2s", "--reason", "now"]
    assert soar("run", "start", "INC-1", "contain", *words) == 0
    inputs = {"hosts": ["a"], "watch_for": "2s"}
    assert desk.asked[-1].body == {"playbook": "contain", "inputs": inputs, "reason": "now"}


# --- bytes -----------------------------------------------------------------------------------------------


def test_downloaded_bytes_are_compared_and_never_written_over_anything(desk: Desk, tmp_path: Path) -> None:
    into = tmp_path / "item.bin"
    words = ["evidence", "download", "e1", "--purpose", "triage", "-f", str(into)]
    desk.answer("GET", "/evidence/e1/content", b"malware")
    desk.answer("GET", "/evidence/e1", {"sha256": hashlib.sha256(b"other").hexdigest()})
    assert soar(*words) == Exit.UNVERIFIED
    assert not into.exists()
    desk.answer("GET", "/evidence/e1", {"sha256": hashlib.sha256(b"malware").hexdigest()})
    assert soar(*words) == Exit.OK
    assert into.read_bytes() == b"malware"
    assert into.stat().st_mode & 0o777 == 0o600
    assert desk.asked[-1].path == "/evidence/e1/content?purpose=triage"
    into.write_bytes(b"mine")
    before = len(desk.asked)
    assert soar(*words) == Exit.CONFLICT
    assert into.read_bytes() == b"mine"
    assert not any("content" in each.path for each in desk.asked[before:])


def test_a_package_that_cannot_be_had_leaves_no_file(desk: Desk, tmp_path: Path) -> None:
    into = tmp_path / "p.zip"
    desk.answer("POST", "/incidents/INC-1/packages", {"id": "k1", "sha256": hashlib.sha256(b"zip").hexdigest()})
    words = ["evidence", "package", "INC-1", "--recipient", "CERT", "--purpose", "complaint", "-f", str(into)]
    assert soar(*words) == Exit.NOT_FOUND
    assert not any(tmp_path.iterdir())
    desk.answer("GET", "/packages/k1/content", b"zip")
    assert soar(*words) == Exit.OK
    assert into.read_bytes() == b"zip"
