"""`soar openc2`, as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.cli_desk import soar


def written(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_what_is_said_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert soar("openc2", "say", "block_ip", "ip=198.51.100.7", "--for", "1h", "--id", "a", "-o", "json") == 0
    command = written(capsys)
    assert command == {
        "action": "deny", "target": {"ipv4_net": "198.51.100.7"}, "args": {"duration": 3_600_000}, "command_id": "a",
    }  # fmt: skip
    for data in (command, {"body": {"openc2": {"request": command}}}):
        (tmp_path / "c.json").write_text(json.dumps(data), encoding="utf-8")
        assert soar("openc2", "check", str(tmp_path / "c.json"), "-o", "json") == 0
        assert written(capsys) == {"verb": "block_ip", "params": {"ip": "198.51.100.7"}, "by_name": False}


def test_numbers_and_lists_are_read_by_their_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert soar("openc2", "say", "kill_process", "host=ws-1", "pid=7", "-o", "json") == 0
    assert written(capsys)["target"] == {"process": {"pid": 7}}
    assert soar("openc2", "say", "isolate_host", "host=ws-1", "allow=soc,10.0.0.0/8", "-o", "json") == 0
    assert written(capsys)["args"]["er"]["permitted_addresses"] == {"domain_name": ["soc"], "ipv4_net": ["10.0.0.0/8"]}


@pytest.mark.parametrize(
    "words",
    [["block_ip"], ["block_ip", "ip=x"], ["notify", "team=a"], ["nothing", "a=b"], ["kill_process", "host=a", "pid=b"],
     ["block_ip", "ip"], ["block_ip", "ip=198.51.100.7", "--for", "soon"]],
)  # fmt: skip
def test_what_cannot_be_said_is_told_in_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert soar("openc2", "say", *words) in (2, 6)
    assert "an error in soar itself" not in capsys.readouterr().err


def test_responses_and_questions_are_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.json"
    cases: list[tuple[Any, int]] = [
        ({"status": 200}, 0),
        ({"status": 201}, 6),
        ({"action": "query", "target": {"features": []}}, 0),
        ({"action": "fly", "target": {}}, 6),
        ([], 6),
    ]
    for data, code in cases:
        file.write_text(json.dumps(data), encoding="utf-8")
        assert soar("openc2", "check", str(file), "-o", "json") == code
    file.unlink()
    assert soar("openc2", "check", str(file)) == 3
    capsys.readouterr()
