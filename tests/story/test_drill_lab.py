"""A drill in the lab: playbooks run to their end in a house that nobody else knows of."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from api.drill import lab
from api.drill.lab import LabSettings
from playbooks import shipped
from soar.config import Settings
from soar.errors import Conflict, Unavailable
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form

HEAD = """\
id: {slug}
name: {slug}
created: 2026-11-23T09:00:00.000Z
modified: 2026-11-23T09:00:00.000Z
types: [mitigation]
triggers:
  - {{when: "alert:techniques[*] = 'T1486'"}}
variables:
  hosts: {{type: list, from: scope.hosts.affected}}
  accounts: {{type: list, from: scope.accounts.affected}}
  key: {{type: str, required: true, description: Nothing fills this one}}
steps:
"""
LONG = """\
  - {id: isolate, do: isolate_host, for_each: $hosts, as: host, with: {host: $host, allow: [soc]}, review: 24h,
     approval: {any_of: [commander], persons: 4, within: 10m, on_timeout: deny}}
  - {id: revoke, do: revoke_credential, with: {key: $key}, review: 24h}
  - {id: later, delay: 12h, do: notify, with: {team: on-call, text: Half a day later}}
  - {id: ask, manual: Which way?, outputs: {way: str, fine: bool}, within: 1h, on_timeout: escalate}
  - if: $ask.way = 'left' AND $ask.fine = true
    then: [{id: watch, do: watch, with: {host: nb-0201}, for: 20m}]
    else: [{id: wrong, do: isolate_host, with: {host: nobody, allow: [soc]}, review: 24h}]
"""
SELDOM = """\
  - {id: gone, do: kill_process, with: {host: ws-0160, pid: 99999}}
"""


def book(slug: str, steps: str) -> Playbook:
    return yaml_form.read((HEAD.format(slug=slug) + steps).encode())[0]


def test_a_playbook_that_takes_days_and_many_persons_ends_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's settings reaches the house of a drill."""
    monkeypatch.setenv("SOAR_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/production")
    monkeypatch.setenv("SOAR_BROKER_URL", "redis://127.0.0.1:1/0")
    assert Settings().database_url.endswith("/production")
    assert LabSettings().database_url == ""
    report = lab.practise([book("long", LONG), book("seldom", SELDOM)])
    long, seldom = report.rows
    assert (long["playbook"], long["status"], long["reason"]) == ("long", "succeeded", "")
    assert long["simulated_seconds"] >= 12 * 3600 + 20 * 60
    assert long["seconds"] < 60
    assert long["approvals"] == 4
    assert long["answers"] == 1
    assert {"detection", "containment"} <= set(long["phases"])
    assert {each.partition(" ")[0] for each in long["stands"]} == {"isolate_host", "revoke_credential"}
    assert (seldom["status"], seldom["expected"]) == ("failed", False)
    assert "99999" in seldom["reason"]
    assert [each.key for each in report.findings] == ["runs.not_as_expected/seldom"]
    assert (report.score, report.ready) == (80 * 50 // 100 + 20, False)


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_every_playbook_of_the_library_comes_to_its_end(path: Path) -> None:
    mine = yaml_form.load(path.read_bytes())
    library = [yaml_form.load(each.read_bytes()) for each in shipped()]
    done = lab.one(mine, library, threading.Event())
    assert (done.status, done.reason) == ("succeeded", "")
    assert done.phases
    assert (done.open_ended, done.unsettled) == ((), ())


def test_a_playbook_that_cannot_begin_says_what_is_missing() -> None:
    steps = "  - {id: x, do: kill_process, for_each: $things, as: pid, with: {host: ws-0160, pid: $pid}}\n"
    head = HEAD.replace("type: str", "type: list").replace("  key:", "  things:")
    done = lab.one(yaml_form.read((head.format(slug="wrong") + steps).encode())[0], [], threading.Event())
    assert (done.status, done.expected) == ("not started", False)
    assert "things" in done.reason


def test_a_drill_ends_with_the_service_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Unavailable, match="ended with the service"):
        lab.practise([book("long", LONG)], stop)
    assert list(tmp_path.iterdir()) == []


def test_two_drills_in_the_lab_are_not_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def meanwhile(mine: Playbook, *_: object) -> lab.Drilled:
        try:
            lab.practise([])
        except Conflict as error:
            refused.append(error.message)
        return lab.Drilled(playbook=mine.slug, status="succeeded", seconds=0)

    monkeypatch.setattr(lab, "one", meanwhile)
    assert lab.practise([book("long", LONG)]).ready
    assert refused == ["a drill in the lab is under way already; wait for its end"]
    assert lab.practise([]).score == 100
