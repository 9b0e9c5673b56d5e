"""Real counterparts: servers as they are in life, in a world of their own (`make real`)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing_real_part
from tests.real.net import left_behind

os.environ["PATH"] += ":/usr/sbin:/sbin"
PROOFS = ROOT / "build" / "proofs"
Proof = Callable[[str, str, str, Collection[str]], None]


@pytest.fixture(scope="session", autouse=True)
def world() -> None:
    """Nothing is started outside of a world of our own."""
    if os.environ.get("SOAR_WORLD") != "1":
        missing_real_part("a world of its own (these tests are run by `make real`)")


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """`needs("nft", "conntrack")`: programs without which a test cannot be."""

    def look(*programs: str) -> None:
        for each in programs:
            if shutil.which(each) is None:
                missing_real_part(f"the program {each} (tests/real/debian.txt)")

    return look


@pytest.fixture(scope="module")
def proof(request: pytest.FixtureRequest) -> Proof:
    """`proof("linux-ssh", "isolate_host", "real", ["applied", "verified", "undone"])`: said by a test that saw it.

    The table of adapters in the documentation is made of these.
    """
    PROOFS.mkdir(parents=True, exist_ok=True)
    file = PROOFS / f"{Path(request.node.path).stem}.jsonl"
    file.unlink(missing_ok=True)

    def say(adapter: str, verb: str, label: str, seen: Collection[str]) -> None:
        assert label in ("real", "simulator", "contract"), label
        assert set(seen) <= {"applied", "verified", "undone", "expired", "conform"}, seen
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"adapter": adapter, "verb": verb, "label": label, "seen": sorted(seen)}) + "\n")

    return say


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing is left behind: no process and no namespace of ours. Asked once, when all workers have ended."""
    if os.environ.get("SOAR_WORLD") == "1" and not hasattr(session.config, "workerinput"):
        left = left_behind()
        if left:
            print(f"\nLEFT BEHIND: {left}")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
