"""The world itself: machines see each other, and what a test would leave behind is found."""

from __future__ import annotations

import subprocess

import pytest

from tests.real.net import HERE, cable, left_behind, namespaces


def test_machines_that_are_joined_see_each_other_and_nobody_else() -> None:
    with namespaces("w-one", "w-two") as (one, two):
        cable(one, "10.99.1.1/24", two, "10.99.1.2/24")
        assert "1 received" in one.run("ping", "-c1", "-W2", "10.99.1.2")
        with pytest.raises(RuntimeError, match="unreachable"):
            HERE.run("ping", "-c1", "-W1", "10.99.1.2")


def test_what_would_be_left_behind_is_found() -> None:
    with namespaces("w-left") as (where,), subprocess.Popen(where.argv("sleep", "17.5")) as sleeper:
        left = left_behind()
        sleeper.kill()
    assert any("sleep 17.5" in each for each in left)
    assert any("w-left" in each for each in left)
