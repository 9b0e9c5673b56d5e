"""The dry run of each playbook of the library beside what was then really called: nothing outside of the plan.

What the plan knows, it knows exactly: a step that waits for no result calls what was planned, no more and
no less but for what a guard refused or what was so already. What hangs on a result is called by the
steps, and with the verbs, that the plan has named.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api.drill import cases, lab
from api.wiring import House
from playbooks import shipped
from soar.engine import plan
from soar.playbook.model import Playbook
from soar.playbook.yaml import yaml_form
from soar.store import actions, runs
from soar.store.rows import ActionRow
from soar.verbs import BLOCK_VERB

LIBRARY = [yaml_form.load(path.read_bytes()) for path in shipped()]
_BLOCKS = frozenset({"block_indicators", *BLOCK_VERB.values()})


class _Planned(lab._Practice):
    """Plans the playbook at the moment at which it is started."""

    planned: dict[str, Any]
    run_id: str

    def _start(self, incident: str) -> str:
        given = cases.inputs(self.house, self.book, incident)
        with self.house.store.read() as conn:
            self.planned = plan.dry_run(self.house.parts, conn, incident, self.book, given)
        self.run_id = super()._start(incident)
        return self.run_id

    def _own_run(self, incident: str) -> str | None:
        return None


def steps_of(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every step of a plan, however deep."""
    for node in nodes:
        yield node
        for branch in node.get("branches", ()):
            yield from steps_of(branch["steps"])
        yield from steps_of(node.get("on_failure", []))


def acted(house: House, run_id: str) -> list[ActionRow]:
    """Every action of the run: sent, found to be so already, or refused."""
    with house.store.read() as conn:
        return actions.find(conn, run_id=run_id)


def what(verb: str, target: str, params: Any) -> str:
    """An action in one comparable text."""
    return json.dumps([verb, target, params], sort_keys=True)


@pytest.mark.parametrize("book", LIBRARY, ids=[book.slug for book in LIBRARY])
def test_what_is_called_is_what_was_planned(book: Playbook) -> None:
    with lab._house() as house:
        for each in LIBRARY:
            house.store.write(lambda tx, each=each: runs.save_playbook(tx, each))  # type: ignore[misc]
        practice = _Planned(house, book, threading.Event())
        done = practice.play()
        assert done.status == "succeeded", done
        rows = acted(house, practice.run_id)
    wanted = [*steps_of(practice.planned["steps"]), *steps_of(practice.planned["on_exception"])]
    planned = {node["step"]: node for node in wanted if node["kind"] in ("action", "undo")}
    assert rows or not planned
    exact = 0
    for name in {row.step for row in rows if row.step}:
        node, mine = planned[name], [row for row in rows if row.step == name]
        if node["kind"] == "undo":
            assert {row.undo_of is not None for row in mine} == {True}
        elif node["known_after"] or node["verb"] in _BLOCKS:
            assert {row.verb for row in mine} <= ({node["verb"]} if node["verb"] not in _BLOCKS else _BLOCKS)
        else:
            exact += 1
            wanted_here = {what(each["verb"], each["target"], each["params"]) for each in node["actions"]}
            assert {what(row.verb, str(row.target), row.params) for row in mine} == wanted_here, name
    unnamed = {row.verb for row in rows if not row.step}
    assert unnamed <= {node["verb"] for node in planned.values()}
    print(
        f"{book.slug}: {len(rows)} calls in {len({row.step for row in rows})} steps, {exact} of them exactly as planned"
    )
