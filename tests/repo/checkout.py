"""The repository as the tests of the repository see it."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import missing_real_part

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("soar", "integrations", "evidence", "playbooks", "api")
GENERATED = "soar/store/migrations/versions/"
"""Files that a tool wrote: their size is not ours to choose."""


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask git about this checkout."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        missing_real_part("git")
        raise


@functools.cache
def tracked() -> tuple[str, ...]:
    """Every file that is in the repository, or would be with the next commit; paths from its root."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed.returncode:
        missing_real_part(f"a git checkout ({listed.stderr.strip()})")
    return tuple(sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()))


def modules(*, generated: bool = False, tests: bool = False) -> Iterator[tuple[str, str]]:
    """Name and text of each Python file of the five packages, of the tests too where wanted."""
    wanted = (*PACKAGES, "tests") if tests else PACKAGES
    for name in tracked():
        if name.endswith(".py") and name.split("/")[0] in wanted and (generated or not name.startswith(GENERATED)):
            yield name, (ROOT / name).read_text(encoding="utf-8")
