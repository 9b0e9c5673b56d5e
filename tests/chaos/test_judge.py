"""The judge can find fault: from the books of runs that went well, each forgery is found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from api.wiring import build
from soar.engine.running import start_run
from soar.events import Kind
from soar.model import ENGINE
from soar.playbook.yaml import yaml_form
from soar.protocol import State
from soar.store.session import Tx
from tests.chaos.house import SLUG, House, account, book, host
from tests.chaos.ledger import Ledger, judge
from tests.chaos.node import open_adapters
from tests.chaos.siem import Start
from tests.chaos.story import settle
from tests.crash.target import Target

RUNS = 3
Books = tuple[Ledger, list[Start]]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """What three runs leave behind that nobody disturbed."""
    folder = tmp_path_factory.mktemp("judge")
    open_adapters()
    target = Target(folder / "target.sock")
    house = House(folder, target)
    _, incidents = house.prepare(RUNS)
    built = build(house.settings())

    def begin(tx: Tx, number: int) -> Start:
        inputs = {"host": host(number), "account": account(number)}
        run = start_run(tx, incidents[number], yaml_form.load(book(SLUG)), inputs, by=ENGINE, why="", automatic=True)
        return Start(number, incidents[number], gives_up=False, tries=1, acknowledged=run)

    try:
        starts = [built.store.write(partial(begin, number=number)) for number in range(RUNS)]
        built.start()
        settle(built.store.engine, 20)
        yield Ledger.of(built.store.engine, target), starts
    finally:
        built.close()
        target.stop()


def test_what_went_well_has_nothing_against_it(books: Books) -> None:
    verdict = judge(*books)
    assert verdict.wrong == []
    assert verdict.statuses == {"succeeded": RUNS}


def _call_twice(books: Ledger) -> Ledger:
    script = next(call for call in books.calls if call.verb == "apply_workaround")
    return replace(books, calls=[*books.calls, script])


def _act_twice(books: Ledger) -> Ledger:
    deed = next(call for call in books.calls if call.verb == "quarantine_file" and call.changed)
    return replace(books, calls=[*books.calls, replace(deed, key="another key")])


def _call_before_the_intent(books: Ledger) -> Ledger:
    return replace(books, calls=[replace(books.calls[0], at=books.calls[0].at - 60), *books.calls[1:]])


def _lose_the_effect(books: Ledger) -> Ledger:
    return replace(books, calls=[call for call in books.calls if call.verb != "disable_account"])


def _lose_a_run(books: Ledger) -> Ledger:
    return replace(books, runs=books.runs[1:])


def _double_a_run(books: Ledger) -> Ledger:
    return replace(books, runs=[*books.runs, books.runs[0]])


def _leave_a_run(books: Ledger) -> Ledger:
    return replace(books, runs=[_with(books.runs[0], ended_at=None, status="running"), *books.runs[1:]])


def _lose_an_outcome(books: Ledger) -> Ledger:
    moved = [event for event in books.events if event.kind == Kind.ACTION_MOVED.value]
    return replace(books, events=[event for event in books.events if event is not moved[-1]])


def _doubt_without_asking(books: Ledger) -> Ledger:
    script = next(row for row in books.rows if row.verb == "apply_workaround")
    rest = [row for row in books.rows if row is not script]
    return replace(books, rows=[*rest, replace(script, state=State.IN_DOUBT)])


def _keep_a_claim(books: Ledger) -> Ledger:
    return replace(books, work=[_with(books.work[0], state="claimed"), *books.work[1:]])


@pytest.mark.parametrize(
    ("forge", "where", "words"),
    [
        (_call_twice, "doubled", "unsafe to repeat and was called 2 times"),
        (_act_twice, "doubled", "had 2 effects"),
        (_call_before_the_intent, "other", "before its intent was stored"),
        (_lose_the_effect, "lost", "the target never did it"),
        (_lose_a_run, "lost", "which is not there"),
        (_double_a_run, "doubled", "has 2 runs"),
        (_leave_a_run, "lost", "has not ended, and nobody is asked"),
        (_lose_an_outcome, "other", "but its events end with"),
        (_doubt_without_asking, "other", "in doubt with 0 open questions"),
        (_keep_a_claim, "other", "is left claimed"),
    ],
)
def test_a_forgery_is_found_out(books: Books, forge: Callable[[Ledger], Ledger], where: str, words: str) -> None:
    ledger, starts = books
    found = getattr(judge(forge(ledger), starts), where)
    assert any(words in sentence for sentence in found), found


def test_a_run_that_nobody_asked_for_is_found_out(books: Books) -> None:
    ledger, starts = books
    assert any("nobody asked for" in sentence for sentence in judge(ledger, starts[1:]).doubled)


class _with:  # noqa: N801 - reads as a word
    """A row with other values in some columns."""

    def __init__(self, row: Any, **changed: Any) -> None:
        self._row = row
        self._changed = changed

    def __getattr__(self, name: str) -> Any:
        return self._changed[name] if name in self._changed else getattr(self._row, name)
