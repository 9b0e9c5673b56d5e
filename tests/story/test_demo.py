"""The demo is a test too: it counts its own expectations and fails when one is missed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.alone
def test_the_demo_meets_all_its_expectations_in_under_ten_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "demo", "--folder", str(tmp_path / "demo")],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    counted = re.search(r"(\d+) expectations met, (\d+) missed", done.stdout)
    assert counted is not None
    print(f"\nthe demo: {counted[0]}, {seconds:.1f} s")
    assert int(counted[1]) >= 41
    assert int(counted[2]) == 0
    assert seconds < 10
    assert "Traceback" not in done.stderr
    shown = (ROOT / "README.md").read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0].splitlines()
    assert len(shown) > 10
    assert [line for line in shown if line not in done.stdout] == []


def test_a_folder_that_is_not_a_demos_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not delete", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "demo", "--folder", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "do not delete"
