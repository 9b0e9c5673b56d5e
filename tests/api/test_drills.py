"""Drills over HTTP and from the command line, and the page of a report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from api.drill import lab
from api.drill.page import page
from tests.api.cli_desk import Desk, scripted, soar
from tests.api.door import Door, knock

FINDING = {
    "area": "people", "severity": "red", "code": "nobody_starts", "subject": "", "what": "<script>alert(1)</script>",
    "why": "w & w", "mend": "give \"roles\"", "key": "people.nobody_starts",
}  # fmt: skip
DRILL: dict[str, Any] = {
    "id": "d1", "kind": "estate", "at": "2026-11-23T09:00:00.000000Z", "by": "person:<b>ann</b>", "score": 61,
    "ready": False, "areas": [{"area": "people", "weight": 20, "points": 50, "red": 1, "amber": 0}],
    "findings": [FINDING], "rows": [{"technique": "T1486", "alerts": 3, "playbooks": []}],
    "compared": {"drill": "d0", "at": "2026-11-22T09:00:00.000000Z", "score": 70, "new": ["people.nobody_starts"],
                 "gone": [], "still": []},
}  # fmt: skip
LAB = DRILL | {
    "kind": "lab", "compared": None, "findings": [], "ready": True, "score": 100,
    "areas": [{"area": "runs", "weight": 80, "points": 100, "red": 0, "amber": 0}],
    "rows": [{"playbook": "host", "expected": True, "status": "succeeded", "seconds": 1.5, "simulated_seconds": 9,
              "phases": ["detection"], "approvals": 1, "answers": 0, "stands": ["block_ip x"], "reason": ""}],
}  # fmt: skip


# --- HTTP ---------------------------------------------------------------------------------------------


def test_an_administrator_holds_drills_and_auditors_read_them(own_door: Door) -> None:
    first = own_door.post("/drills", {}, "admin", 201)
    assert (first["kind"], first["by"], first["compared"]) == ("estate", "person:admin", None)
    assert sum(area["weight"] for area in first["areas"]) == 100
    second = own_door.post("/drills", {"kind": "estate"}, "admin", 201)
    assert second["compared"]["drill"] == first["id"]
    assert second["compared"]["score"] == first["score"] == second["score"]
    assert (second["compared"]["new"], second["compared"]["gone"]) == ([], [])
    assert own_door.get(f"/drills/{second['id']}", "auditor") == second
    listed = own_door.get("/drills?limit=1", "auditor")
    assert [each["id"] for each in listed["items"]] == [second["id"]]
    rest = own_door.get(f"/drills?limit=1&after={listed['next']}", "auditor")
    assert ([each["id"] for each in rest["items"]], rest["next"]) == ([first["id"]], None)
    assert own_door.get("/audit/verify", "auditor")["problems"] == []
    assert len(own_door.events("drill.ended", "preparation")) == 2


@pytest.mark.parametrize("who", ["viewer", "analyst", "responder", "auditor", "source"])
def test_nobody_else_holds_a_drill(door: Door, who: str) -> None:
    assert door.call("POST", "/drills", who, body={}).status_code == 403


@pytest.mark.parametrize("who", ["viewer", "responder", "source"])
def test_where_this_house_is_weak_not_everybody_reads(door: Door, who: str) -> None:
    assert door.call("GET", "/drills", who).status_code == 403


@pytest.mark.parametrize("body", [{"kind": "real"}, {"kind": 1}, {"what": "estate"}, []])
def test_a_drill_of_another_kind_is_refused_and_nothing_is_kept(door: Door, body: Any) -> None:
    before = door.counts()
    assert door.call("POST", "/drills", "admin", body=body).status_code == 422
    assert door.counts() == before


def test_a_drill_that_is_not_there_is_not_found(door: Door) -> None:
    assert door.call("GET", "/drills/nothing", "auditor").status_code == 404
    event = door.events("system.started")[0]
    assert door.call("GET", f"/drills/{event.id}", "auditor").status_code == 404


def test_a_drill_in_the_lab_runs_what_this_house_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab itself has stories of its own; here it is seen which playbooks are sent there."""
    monkeypatch.setattr(lab, "one", lambda book, *_: lab.Drilled(playbook=book.slug, status="succeeded", seconds=0.5))
    with knock(tmp_path) as own:
        drill = own.post("/drills", {"kind": "lab"}, "admin", 201)
        known = {each["slug"] for each in own.get("/playbooks")["items"]}
        assert {row["playbook"] for row in drill["rows"]} == known
        assert (drill["score"], drill["ready"]) == (100, True)
        assert own.post("/drills", {}, "admin", 201)["compared"] is None


# --- the command line ----------------------------------------------------------------------------------


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Any:
    with scripted() as opened:
        monkeypatch.setenv("SOAR_URL", opened.url)
        yield opened


def test_a_drill_that_finds_something_red_fails_and_is_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.answer("POST", "/drills", DRILL, status=201)
    assert soar("drill", "-o", "table") == 1
    assert desk.asked[-1].body == {"kind": "estate"}
    said = capsys.readouterr()
    assert "nobody_starts" not in said.err
    assert "score 61, before 70; findings: 1 new, 0 gone, 0 still there" in said.err
    assert re.search(r"red\s+people\s+<script>", said.out)
    assert re.search(r"T1486\s+3", said.out)


def test_a_drill_in_the_lab_as_data(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.answer("POST", "/drills", LAB, status=201)
    assert soar("drill", "--lab", "-o", "json") == 0
    assert desk.asked[-1].body == {"kind": "lab"}
    said = capsys.readouterr()
    assert json.loads(said.out) == LAB
    assert "no earlier drill" in said.err


def test_drills_are_listed_and_shown(desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = {name: DRILL[name] for name in ("id", "kind", "at", "by", "score", "ready")}
    desk.answer("GET", "/drills", {"items": [line], "next": None})
    assert soar("drill", "list", "-o", "table") == 0
    assert re.search(r"d1\s+estate\s+2026-11-23 09:00:00Z", capsys.readouterr().out)
    desk.answer("GET", "/drills/d1", DRILL)
    assert soar("drill", "show", "d1", "--html", str(tmp_path / "r.html"), "-o", "table") == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == page(DRILL)
    assert [each.method for each in desk.asked] == ["GET", "GET"]  # to look at drills holds none
    assert soar("drill", "show", "d1", "--html", str(tmp_path / "no" / "r.html")) == 1
    assert "cannot be written" in capsys.readouterr().err


# --- the page ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drill", [DRILL, LAB, LAB | {"rows": []}], ids=["estate", "lab", "redacted"])
def test_the_page_is_well_formed_and_has_no_script_and_asks_nobody(drill: dict[str, Any]) -> None:
    text = page(drill)
    assert "<script" not in text
    assert re.search(r"\b(?:src|href|on\w+)=", text) is None
    assert "http://" not in text.replace("http-equiv", "")
    assert "https://" not in text
    (picture,) = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    root = ET.fromstring(picture)
    assert root.get("role") == "img"
    assert f"Score {drill['score']} of 100" in (root.get("aria-label") or "")
    body = re.findall(r"<main>.*</main>", text, re.DOTALL)[0]
    ET.fromstring(body)


def test_what_comes_from_outside_stays_text() -> None:
    text = page(DRILL)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "person:&lt;b&gt;ann&lt;/b&gt;" in text
    assert "w &amp; w" in text


def test_a_bar_is_as_long_as_its_points() -> None:
    areas = [{"area": str(points), "weight": 1, "points": points, "red": 0, "amber": 1} for points in (0, 50, 100)]
    text = page(DRILL | {"areas": areas})
    assert re.findall(r'var\(--bar-amber\)" x="400" y="\d+" width="([\d.]+)"', text) == ["0.0", "120.0", "240.0"]
