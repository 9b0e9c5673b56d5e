"""A run against a simulated estate, recorded: the rehearsal passes, and fails once the playbook goes another way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integrations.estate.server import Lab, spawn
from integrations.sources.samples import load_sample
from playbooks import LIBRARY
from soar.playbook.yaml.yaml_form import load as load_playbook
from soar.rehearsal import reading
from soar.rehearsal.rehearsing import Shown, rehearse
from tests.api.cli_desk import scripted, soar
from tests.api.door import Door, knock

HARD_TIMES = """
id: hard-times
name: Nearly everything goes wrong
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
urgency: immediate
variables:
  hosts: {type: list, from: scope.hosts.affected}
steps:
  - id: cut
    do: isolate_host
    for_each: $hosts
    as: host
    with: {host: $host}
    review: 24h
    approval: {any_of: [responder], persons: 1, within: 10m, on_timeout: escalate}
    on_failure: not_cut
  - {id: look, do: look_up, with: {observable: "ipv4-addr:203.0.113.66"}}
  - {id: ask, manual: Is it still spreading?, outputs: {spreading: bool}}
  - id: turn
    while: $ask.spreading = true
    max: 3
    continue_on_failure: true
    steps:
      - {id: ask-again, manual: Is it still spreading?, outputs: {spreading: bool}}
  - parallel:
      - - {id: one, do: notify, with: {team: on-call, text: One}}
        - {id: two, do: notify, with: {team: on-call, text: Two}}
      - - {id: three, do: notify, with: {team: on-call, text: Three}}
  - {id: late, manual: Is anybody there?, timeout: 1s, continue_on_failure: true}
handlers:
  not_cut:
    - {do: notify, with: {team: on-call, text: Not every host is cut off}}
    - continue: look
"""
START = {"playbook": "compromised-host", "inputs": {"watch_for": "1s"}, "reason": "hosts are being encrypted"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run that has ended, and the file that the command line made of it."""

    run: dict[str, Any]
    file: Path

    def rehearsed_with(self, playbook: str) -> Shown:
        """The recorded case, played with this playbook."""
        (shown,) = rehearse(reading.load(self.file.read_bytes(), lambda _: load_playbook(playbook)))
        return shown


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with spawn(tmp_path_factory.mktemp("estate")) as lab:
        yield lab


@pytest.fixture(scope="module")
def site(estate: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "book.yaml").write_text(HARD_TIMES, encoding="utf-8")
    adapters = {"lab": {"kind": "lab", "url": estate.url}}
    with knock(folder, adapters=adapters, playbooks=(folder / "book.yaml",)) as door:
        door.add("bob", ["responder"])
        yield door


def to_the_end(site: Door, run: str, decision: str = "approve", answer: bool = False) -> dict[str, Any]:
    """Work, vote and answer whatever is asked, until the run has ended."""
    ends = time.monotonic() + 15
    while time.monotonic() < ends:
        site.work()
        found: dict[str, Any] = site.get(f"/runs/{run}")
        if found["status"] != "running":
            return found
        for asked in site.get("/approvals?status=open")["items"]:
            ballot = {"decision": decision, "reason": "seen the plan", "digest": asked["digest"]}
            site.post(f"/approvals/{asked['id']}/votes", ballot, "bob")
        for task in site.get("/tasks?status=open")["items"]:
            if task["kind"] == "manual" and task["asks"]:
                site.post(f"/tasks/{task['id']}/answer", {"answer": dict.fromkeys(task["asks"], answer)})
        time.sleep(0.02)
    raise AssertionError(f"the run does not end: {found}")


def written(site: Door, run: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """`soar run record` against a server that answers what the house does; returns its exit code."""
    incident = run["incident_id"]
    lists = [f"/actions?incident={incident}&limit=500", f"/approvals?incident={incident}&limit=500",
             f"/tasks?incident={incident}&limit=500", f"/incidents/{incident}/events?limit=500"]  # fmt: skip
    actions = site.get(lists[0])["items"]
    paths = [*lists, f"/runs/{run['id']}", f"/incidents/{incident}", f"/playbooks/{run['digest']}"]
    paths += [f"/actions/{each['id']}" for each in actions]
    with scripted() as desk:
        for path in paths:
            desk.answer("GET", path.partition("?")[0], site.get(path))
        monkeypatch.setenv("SOAR_URL", desk.url)
        monkeypatch.setenv("SOAR_KEY", "soar_secret")
        return soar("run", "record", run["id"], "-o", str(file))


@pytest.fixture(scope="module")
def incident(site: Door) -> str:
    now = site.house.store.clock.now()
    for name in ("elastic_encryption", "elastic_lateral"):
        answer = site.elastic(load_sample(name, now))
    site.work()
    return str(answer.json()["alerts"][0]["incident"])


@pytest.fixture(scope="module")
def recorded(site: Door, incident: str, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    begun = site.post(f"/incidents/{incident}/runs", START, status=201)
    run = to_the_end(site, begun["id"])
    file = tmp_path_factory.mktemp("recorded") / "run.yaml"
    with pytest.MonkeyPatch.context() as patch:
        assert written(site, run, file, patch) == 0, file.read_text()
    return Recorded(run, file)


LIBRARY_TEXT = (LIBRARY / "compromised-host.yaml").read_text(encoding="utf-8")


def test_a_recorded_run_passes_when_it_is_rehearsed(recorded: Recorded) -> None:
    assert recorded.run["status"] == "succeeded"
    shown = recorded.rehearsed_with(LIBRARY_TEXT)
    assert shown.differences == ()
    assert shown.played.status == "succeeded"


def test_another_verb_in_the_playbook_shows_as_other_calls(recorded: Recorded) -> None:
    other = LIBRARY_TEXT.replace("do: reset_password", "do: revoke_sessions")
    assert other != LIBRARY_TEXT
    (found,) = [each for each in recorded.rehearsed_with(other).differences if each.what == "steps"]
    verbs = ("reset_password", "revoke_sessions")
    was, came = (f"{verb} j.doe, {verb} m.ruiz" for verb in verbs)
    assert f"! reset: {was}  (came: {came})" in found.lines


def test_a_step_that_is_taken_out_shows_as_missing(recorded: Recorded) -> None:
    other = LIBRARY_TEXT.replace("if: $confirm.restored = false", "if: $confirm.restored = true")
    found = {each.what: each for each in recorded.rehearsed_with(other).differences}
    assert found["steps"].lines[-1] == "- tell: notify on-call"
    assert (found["results: tell"].expected, found["results: tell"].got) == ("succeeded", "not reached")
    assert found["outcome"].got == "never used: tell"


def test_a_containment_that_is_not_taken_back_any_more_shows_as_standing(recorded: Recorded) -> None:
    other = LIBRARY_TEXT.replace("undo: [isolate, disable]", "undo: [isolate]")
    found = {each.what: (each.expected, each.got) for each in recorded.rehearsed_with(other).differences}
    assert found["contained: disable_account j.doe"] == ("recovered", "stands")


@pytest.mark.parametrize("answer", [True, False])
def test_a_run_in_which_persons_refuse_and_are_late_is_recorded_too(
    site: Door, incident: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    start = {"playbook": "hard-times", "reason": "a drill", "inputs": {"hosts": ["ws-0147"]}}
    begun = site.post(f"/incidents/{incident}/runs", start, status=201)
    run = to_the_end(site, begun["id"], "deny", answer)
    statuses = {each["step"]: each["status"] for each in run["steps"]}
    assert (statuses["cut"], statuses["late"]) == ("failed", "failed")
    file = tmp_path / "run.yaml"
    assert written(site, run, file, monkeypatch) == 0, file.read_text()
    assert Recorded(run, file).rehearsed_with(HARD_TIMES).differences == ()
    turns = [each for each in run["steps"] if each["step"] == "ask-again"]
    assert len(turns) == (3 if answer else 0)
