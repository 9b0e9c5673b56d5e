"""Starting, stopping and refusing to start: the service as its operator meets it, and the doctor."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import httpx2
import pytest

from api.cli.exits import Exit
from tests.api.cli_desk import soar
from tests.conftest import ROOT

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the machine's, and the test run's own last words."""
    for name in [name for name in os.environ if name.startswith("SOAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def settings(folder: Path, more: str = "") -> Path:
    file = folder / "soar.toml"
    file.write_text(f'data = "{folder / "data"}"\nworkers = 1\n[server]\nport = 0\n{more}', encoding="utf-8")
    return file


def served(file: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "api.serve", "--config", str(file), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("READY http://127.0.0.1:"), (line, process.communicate()[1])
    return line.split()[1]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said = process.communicate(timeout=20)[1]
    return process.returncode, said


STARTER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "api.serve", "--config", sys.argv[1], "--with-parent"],
                         stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode())
"""


def test_the_first_start_shows_the_key_once_and_it_ends_when_told_or_left_alone(tmp_path: Path) -> None:
    file = settings(tmp_path)
    first = served(file)
    url = ready(first)
    with urllib.request.urlopen(f"{url}/api/v1/health") as answer:
        assert answer.status == 200
    code, said = ended(served(file))
    assert code == Exit.CONFLICT
    assert said.splitlines() == [f"soar: another process owns the data folder {tmp_path / 'data'}"]
    assert soar("db", "upgrade", "--config", str(file)) == Exit.CONFLICT
    began = time.monotonic()
    first.send_signal(signal.SIGINT)
    code, said = ended(first)
    assert code == Exit.OK
    assert time.monotonic() - began < 10
    assert said.count("soar_") == 1
    assert "shown this once" in said
    words = [sys.executable, "-c", STARTER, str(file)]
    starter = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert gone(int(starter.stdout.split()[0])), "it outlived its starter"
    assert starter.stderr == ""


def gone(number: int) -> bool:
    """The process ends within 15 seconds; one that does not is ended here."""
    for _ in range(150):
        if not Path(f"/proc/{number}").exists() or "Z" in Path(f"/proc/{number}/stat").read_text().split()[2]:
            return True
        time.sleep(0.1)
    os.kill(number, signal.SIGKILL)
    return False


def test_a_port_that_is_taken_is_one_line_and_nothing_is_built(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = ended(served(settings(tmp_path), "--port", str(port)))
    assert code == Exit.FAILED
    assert said.splitlines() == [f"soar: 127.0.0.1 port {port} cannot be had: Address already in use"]
    assert not (tmp_path / "data").exists()


def test_wrong_settings_are_all_named(tmp_path: Path, capsys: Captured) -> None:
    file = settings(tmp_path, "nonsense = 1\n[guards]\nblock_confidence = 101\n")
    assert soar("serve", "--config", str(file)) == Exit.INVALID
    said = capsys.readouterr().err
    assert "server.nonsense" in said
    assert "guards.block_confidence" in said
    assert soar("serve", "--config", str(tmp_path / "none.toml")) == Exit.INVALID


def test_a_database_that_cannot_be_used_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    file = settings(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "soar.db").write_bytes(b"no database" * 1000)
    assert soar("db", "upgrade", "--config", str(file)) == Exit.FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("soar: the database cannot be used: ")


def test_the_database_is_brought_to_this_version_twice_without_harm(tmp_path: Path) -> None:
    file = settings(tmp_path)
    assert soar("db", "upgrade", "--config", str(file)) == Exit.OK
    assert (tmp_path / "data" / "soar.db").is_file()
    assert soar("db", "upgrade", "--config", str(file)) == Exit.OK


# --- the doctor --------------------------------------------------------------------------------------------


def found(file: Path, capsys: Captured) -> tuple[int, dict[str, str]]:
    code = soar("doctor", "--config", str(file), "-o", "json")
    return code, {each["check"]: each["status"] for each in json.loads(capsys.readouterr().out)}


def test_the_doctor_finds_nothing_wrong_where_nothing_is(tmp_path: Path, capsys: Captured) -> None:
    code, checks = found(settings(tmp_path, '[guards.hard]\nnames = ["soar*"]\n'), capsys)
    assert code == Exit.OK
    assert set(checks.values()) == {"ok"}
    assert {"python", "package evidence", "settings", "data folder", "signing key", "clock"} <= checks.keys()


def test_the_doctor_names_each_thing_that_is_wrong(tmp_path: Path, capsys: Captured) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "signing-key.pem").write_text("x")
    (data / "signing-key.pem").chmod(0o644)
    (data / "soar.db").touch()
    later = time.time() + 3600
    os.utime(data / "soar.db", (later, later))
    more = '[adapters.edr]\nkind = "none"\n[adapters.lab]\nurl = "http://127.0.0.1:1"\n'
    code, checks = found(settings(tmp_path, more), capsys)
    assert code == Exit.FAILED
    wrong = {name: status for name, status in checks.items() if status != "ok"}
    assert wrong == {
        "protected lists": "warn", "data folder": "warn", "signing key": "fail", "clock": "fail",
        "adapter edr": "fail", "adapter lab": "fail",
    }  # fmt: skip


def test_the_doctor_says_what_is_wrong_with_the_settings(tmp_path: Path, capsys: Captured) -> None:
    code, checks = found(settings(tmp_path, "nonsense = 1\n"), capsys)
    assert (code, checks["settings"]) == (Exit.FAILED, "fail")


@pytest.mark.alone
def test_a_kept_connection_is_answered_at_once(tmp_path: Path) -> None:
    """Without TCP_NODELAY every answer waits 40 ms for the other side's delayed acknowledgement."""
    service = served(settings(tmp_path))
    try:
        with httpx2.Client(base_url=ready(service), trust_env=False) as client:
            took = []
            for _ in range(21):
                began = time.monotonic()
                assert client.get("/api/v1/health").status_code == 200
                took.append(time.monotonic() - began)
    finally:
        service.terminate()
        ended(service)
    print(f"\nmedian of 21 requests on one connection: {statistics.median(took) * 1000:.1f} ms")
    assert statistics.median(took) < 0.03
