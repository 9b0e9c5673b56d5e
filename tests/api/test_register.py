"""The register over HTTP and on the command line: what is known, what may be answered, and kept for longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from soar.engine import due
from soar.protocol import State
from soar.store import actions
from soar.store.tables import actions as action_table
from soar.store.tables import effects as effect_table
from tests import standing
from tests.api.cli_desk import scripted, soar
from tests.api.door import Door


@pytest.fixture
def overdue(own_door: Door) -> str:
    """An isolation whose review date passed; its action."""
    store = own_door.house.store
    (where,) = standing.opened(store, 1)
    at = store.clock.now() - timedelta(minutes=1)
    action = store.write(lambda tx: standing.contained(tx, where, "ws-0160", at))[0]
    due.fire_due(own_door.house.parts)
    return action


def entry(door: Door) -> dict[str, Any]:
    (found,) = door.get("/register")["items"]
    return dict(found)


def test_what_is_overdue_says_so_and_what_may_be_answered(own_door: Door, overdue: str) -> None:
    found = entry(own_door)
    assert (found["action_id"], found["state"], found["answers"]) == (
        overdue,
        "overdue",
        ["renew", "release", "dispose"],
    )
    assert "review date has passed" in found["summary"]


def test_a_renewal_moves_the_review_and_answers_the_question(own_door: Door, overdue: str) -> None:
    answer = own_door.post(f"/actions/{overdue}/renew", {"seconds": 3600, "why": "still looking"})
    assert (answer["run"], answer["action"]["state"]) == (None, "active")
    assert (entry(own_door)["state"], entry(own_door)["generation"]) == ("active", 2)
    assert own_door.get("/tasks?status=open")["items"] == []


@pytest.mark.parametrize("body", [{"seconds": 0, "why": "x"}, {"seconds": 1e12, "why": "x"}, {"seconds": 60}, {}])
def test_a_renewal_without_time_or_reason_changes_nothing(own_door: Door, overdue: str, body: dict[str, Any]) -> None:
    own_door.post(f"/actions/{overdue}/renew", body, status=422)
    assert entry(own_door)["state"] == "overdue"


def test_what_nobody_can_tell_is_on_the_register_with_its_answers(own_door: Door, overdue: str) -> None:
    def doubt(tx: Any) -> None:
        action = actions.get(tx.conn, overdue)
        tx.conn.execute(action_table.update().where(action_table.c.id == action.id).values(state="in_doubt"))
        tx.conn.execute(effect_table.update().values(ended_at=tx.now))

    own_door.house.store.write(doubt)
    found = entry(own_door)
    assert (found["state"], found["answers"]) == (
        State.IN_DOUBT.value, ["resolve:yes", "resolve:no", "resolve:repeat"]
    )  # fmt: skip


def test_the_register_is_checked_on_demand_and_an_unknown_effect_is_not_there(own_door: Door, overdue: str) -> None:
    assert overdue
    own_door.post("/register/check", {"effect": "nothing"}, status=404)
    assert own_door.post("/register/check", {}, status=202) == {"asked": 0}


def test_the_command_line_renews_and_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as desk:
        monkeypatch.setenv("SOAR_URL", desk.url)
        monkeypatch.setenv("SOAR_KEY", "k")
        desk.answer("POST", "/actions/a1/renew", {"run": None, "action": {"id": "a1"}})
        desk.answer("POST", "/register/check", {"asked": 3}, status=202)
        assert soar("action", "renew", "a1", "--for", "4h", "--why", "still needed") == 0
        assert soar("register", "check") == 0
        bodies = [asked.body for asked in desk.asked]
    assert bodies == [{"seconds": 14400, "why": "still needed"}, {"effect": None}]
