"""Playbooks that come from elsewhere run as the standard means them: commands, variables, one inside another."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from api.wiring import House
from soar.config import Settings
from soar.engine import control, running
from soar.model import ENGINE, Actor
from soar.playbook.cacao.cacao_form import from_document
from soar.playbook.model import EPOCH, Playbook, made_id, playbook_id
from soar.protocol import State
from soar.store import actions, runs
from soar.store.tables import runs as run_table
from tests.stage import Cast, living, one_database, until
from tests.story import test_holds

AUTHOR = "identity--4b1b6e2e-3a0c-4c1c-8f0a-5c7d3d0a7e11"
pytestmark = one_database


class Desk:
    """A system that is called over HTTP, and remembers what it was told. `/500` breaks."""

    def __init__(self) -> None:
        desk = self
        self.heard: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                desk.heard.append((self.path, body))
                said = json.dumps({"ticket": f"T-{len(desk.heard)}"}).encode()
                self.send_response(404 if self.path == "/404" else 200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                """Tests are quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def house(settings: Settings, desk: Desk) -> Iterator[House]:
    web = {"kind": "http-commands", "hosts": ["127.0.0.1"], "plain_http": True, "timeout": 1}
    with living(settings.model_copy(update={"adapters": {**settings.adapters, "web": web}})) as built:
        yield built


def foreign(slug: str, steps: dict[str, dict[str, Any]], desk: Desk | None = None, **more: Any) -> Playbook:
    """A CACAO document with these steps one after another, as another product would write it."""
    own = playbook_id(slug)
    ids = {"start": made_id("start", own, ""), "end": made_id("end", own, "")}
    ids |= {name: made_id(step["type"], own, name) for name, step in steps.items()}
    agent, target = made_id("individual", own, "agent"), made_id("http-api", own, "target")
    after = dict(zip(["start", *steps], [*steps, "end"], strict=True))
    workflow: dict[str, Any] = {ids["start"]: {"type": "start", "on_completion": ids[after["start"]]}}
    for name, step in steps.items():
        acts = {"agent": agent, "targets": [target]} if step["type"] == "action" else {}
        workflow[ids[name]] = {"name": name, "on_completion": ids[after[name]], **acts, **step}
    workflow[ids["end"]] = {"type": "end"}
    port = str(desk.port) if desk else "1"
    return from_document(
        {
            "type": "playbook", "spec_version": "cacao-2.0", "id": own, "name": slug, "created_by": AUTHOR,
            "created": EPOCH, "modified": EPOCH, "workflow_start": ids["start"], "workflow": workflow,
            "agent_definitions": {agent: {"type": "individual", "name": "analyst"}},
            "target_definitions": {
                target: {"type": "http-api", "name": "desk", "address": {"ipv4": ["127.0.0.1"]}, "port": port}
            },
            **more,
        }
    )  # fmt: skip


def incident(house: House) -> str:
    return test_holds.incident(house, ENGINE)


def post(path: str, content: str = "") -> dict[str, Any]:
    return {"type": "http-api", "command": f"POST {path} HTTP/1.1", "headers": {}, "content": content}


def begin(house: House, where: str, by: Actor, book: Playbook, inputs: dict[str, Any] | None = None) -> str:
    def write(tx: Any) -> str:
        return running.start_run(tx, where, book, inputs or {}, by=by, why="drill", automatic=False)

    return house.store.write(write)


def ended(house: House, run: str) -> Any:
    def look() -> Any:
        with house.store.read() as conn:
            row = runs.get(conn, run)
        return row if row.status not in ("running", "paused") else None

    return until(look)


def test_commands_are_sent_in_order_and_what_one_brings_goes_into_the_next(
    house: House, cast: Cast, desk: Desk
) -> None:
    steps = {
        "open": {"type": "action", "commands": [post("/first"), post("/second")], "out_args": ["__ticket__"]},
        "tell": {"type": "action", "commands": [post("/tell/__ticket__:value", '{"t": "__ticket__:value"}')]},
    }
    book = foreign("ordered", steps, desk, playbook_variables={"__ticket__": {"type": "string", "value": "none"}})
    run = ended(house, begin(house, incident(house), cast.person("ada"), book, {"ticket": "none"}))
    assert (run.status, run.reason) == ("succeeded", "")
    assert desk.heard == [("/first", ""), ("/second", ""), ("/tell/T-2", '{"t": "T-2"}')]


def test_after_a_command_that_failed_none_is_sent(house: House, cast: Cast, desk: Desk) -> None:
    steps = {"open": {"type": "action", "commands": [post("/404"), post("/second")]}}
    run = ended(house, begin(house, incident(house), cast.person("ada"), foreign("broken", steps, desk)))
    assert desk.heard == [("/404", "")]
    with house.store.read() as conn:
        states = [row.state for row in actions.find(conn, run_id=run.id)]
    assert states == [State.FAILED, State.CANCELLED]


def test_a_command_that_nothing_here_carries_out_is_refused_by_name_and_place(
    house: House, cast: Cast, desk: Desk
) -> None:
    steps = {"hunt": {"type": "action", "commands": [{"type": "kestrel", "command_b64": "eA=="}]}}
    book = foreign("hunt", steps, desk)
    where = incident(house)
    run = ended(house, begin(house, where, cast.person("ada"), book))
    with house.store.read() as conn:
        (visit,) = [each for each in runs.get(conn, run.id).state["steps"] if each["id"].startswith("action--")]
    assert "hunt" in visit["reason"]
    assert "kestrel" in visit["reason"]


def test_a_called_playbook_runs_by_itself_and_hands_its_variables_back(house: House, cast: Cast, desk: Desk) -> None:
    variables = {"__ticket__": {"type": "string", "value": "none"}, "__who__": {"type": "string", "value": "x"}}
    inner = foreign(
        "inner", {"open": {"type": "action", "commands": [post("/__who__:value")], "out_args": ["__ticket__"]}}, desk,
        playbook_variables=variables,
    )  # fmt: skip
    house.store.write(lambda tx: runs.save_playbook(tx, inner))
    call = {"type": "playbook-action", "playbook_id": inner.id, "playbook_version": inner.modified,
            "in_args": ["__who__"], "out_args": ["__ticket__"]}  # fmt: skip
    tell = {"type": "action", "commands": [post("/tell/__ticket__:value")]}
    outer = foreign("outer", {"call": call, "tell": tell}, desk, playbook_variables=variables)
    run = ended(house, begin(house, incident(house), cast.person("ada"), outer, {"who": "ada", "ticket": "none"}))
    assert run.status == "succeeded"
    assert desk.heard == [("/ada", ""), ("/tell/T-1", "")]
    with house.store.read() as conn:
        (called,) = [row for row in conn.execute(run_table.select()).all() if row.called_by]
    assert (called.status, called.started_by, called.incident_id) == ("succeeded", run.started_by, run.incident_id)


def test_a_playbook_that_calls_itself_ends_and_says_why(house: House, cast: Cast, desk: Desk) -> None:
    call = {"type": "playbook-action", "playbook_id": playbook_id("loop")}
    book = foreign("loop", {"call": call}, desk)
    house.store.write(lambda tx: runs.save_playbook(tx, book))
    begin(house, incident(house), cast.person("ada"), book)

    def all_ended() -> Any:
        with house.store.read() as conn:
            found = conn.execute(run_table.select()).all()
        return found if len(found) == 9 and all(row.status not in ("running", "paused") for row in found) else None

    found = until(all_ended)
    assert any("may not call itself" in json.dumps(row.state) for row in found)


def test_cancel_reaches_what_was_called(house: House, cast: Cast, desk: Desk) -> None:
    ask = {"type": "action", "commands": [{"type": "manual", "command": "look"}]}
    inner = foreign("asks", {"ask": ask}, desk)
    house.store.write(lambda tx: runs.save_playbook(tx, inner))
    outer = foreign("calls", {"call": {"type": "playbook-action", "playbook_id": inner.id}}, desk)
    ada = cast.person("ada")
    run = begin(house, incident(house), ada, outer)

    def called() -> Any:
        with house.store.read() as conn:
            return runs.calls(conn, run)

    (inside,) = until(called)
    house.store.write(lambda tx: control.pause_run(tx, run, ada, "wait"))
    with house.store.read() as conn:
        assert runs.get(conn, inside).status == "paused"
    house.store.write(lambda tx: control.resume_run(tx, run, ada, "on"))
    house.store.write(lambda tx: control.cancel_run(tx, run, ENGINE, "enough"))
    assert ended(house, inside).status == "cancelled"


def test_a_version_that_is_not_there_fails_the_step_with_those_that_are(house: House, cast: Cast, desk: Desk) -> None:
    inner = foreign("known", {"ask": {"type": "action", "commands": [post("/x")]}}, desk)
    house.store.write(lambda tx: runs.save_playbook(tx, inner))
    call = {"type": "playbook-action", "playbook_id": inner.id, "playbook_version": "2020-01-01T00:00:00.000Z"}
    run = ended(house, begin(house, incident(house), cast.person("ada"), foreign("pins", {"call": call}, desk)))
    assert EPOCH in json.dumps(run.state)
    assert not desk.heard


def test_a_step_that_sets_no_time_ends_when_the_houses_own_is_over(settings: Settings, desk: Desk) -> None:
    ask = {"type": "action", "commands": [{"type": "manual", "command": "look"}]}
    short = settings.model_copy(update={"longest_step_days": 1.0 / 86_400})
    with living(short) as house:
        ada = Cast(house).person("ada")
        run = ended(house, begin(house, incident(house), ada, foreign("waits", {"ask": ask}, desk)))
    assert "ACTION_TIMEOUT" in json.dumps(run.state)
