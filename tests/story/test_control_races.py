"""Control that meets a worker in the same moment, on a database that lets both write."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from api.wiring import House
from soar.engine import control, job
from soar.protocol import UNSETTLED
from soar.store import streams
from soar.store.session import Tx
from tests.stage import Cast, Estate, until
from tests.story.test_control import ASKED, CUT, TELL, asked, begin, book, pause, resume
from tests.story.test_holds import approve_next, incident, state
from tests.story.test_races import status


@pytest.mark.parametrize("backend", ["postgres"])
def test_a_cancel_at_the_moment_of_an_intent_is_a_cancel(
    house: House, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    inside, honest = threading.Event(), streams._Unwritten.flush

    def slowly(self: Any, tx: Tx) -> None:
        if any(each.data.get("state") == "calling" for each in self.said) and not inside.is_set():
            inside.set()
            time.sleep(0.4)
        honest(self, tx)

    run = begin(house, where, alice, book(f"id: cut, {CUT}, {ASKED}", f"id: tell, {TELL}"))
    assert until(lambda: asked(house))
    monkeypatch.setattr(streams._Unwritten, "flush", slowly)
    approve_next(house, bob)
    assert inside.wait(10)
    house.store.write(lambda tx: control.cancel_run(tx, run, alice, "stop"))
    assert status(house, run) == "cancelled"
    assert until(lambda: state(house, where, "isolate_host") not in UNSETTLED)


@pytest.mark.parametrize("backend", ["postgres"])
def test_a_resume_reaches_what_is_just_being_parked(
    house: House, estate: Estate, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = cast.person("alice", "responder"), cast.person("bob", "responder")
    where = incident(house, alice)
    run = begin(house, where, alice, book(f"id: cut, {CUT}, {ASKED}", f"id: tell, {TELL}"))
    assert until(lambda: asked(house))
    pause(house, run, alice)
    inside, go, honest = threading.Event(), threading.Event(), job.parked

    def slowly(tx: Tx, row: Any, how: Any) -> None:
        honest(tx, row, how)
        if how.why == "the run is paused" and not inside.is_set():
            inside.set()
            go.wait(5)

    monkeypatch.setattr("soar.engine.runner.parked", slowly)
    approve_next(house, bob)
    assert inside.wait(10)
    resuming = threading.Thread(target=resume, args=(house, run, bob))
    resuming.start()
    time.sleep(0.3)
    go.set()
    resuming.join(10)
    assert until(lambda: status(house, run) == "succeeded")
    assert len(estate.log(verb="isolate_host", method="apply")) == 1
