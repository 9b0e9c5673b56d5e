"""A playbook from elsewhere collects, searches what was collected with Sigma and YARA, and goes by what was found."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from api.wiring import House
from soar.config import Settings
from soar.engine import commanding
from soar.errors import NotFound
from soar.model import Actor
from soar.playbook.cacao.cacao_form import from_document
from soar.playbook.commands import COMMAND_VERBS
from soar.playbook.document import EXTENSION
from soar.playbook.model import EPOCH, ActionStep, Playbook, made_id, playbook_id
from soar.protocol import State
from soar.store import actions, runs
from soar.store.tables import evidence_items
from tests.stage import Cast, Estate, living, one_database
from tests.story.test_foreign_playbooks import AUTHOR, begin, ended, incident

pytestmark = one_database

STARTED = """
title: A screen saver was started from the downloads
logsource: {product: windows, category: process_creation}
detection:
  started: {text|contains|all: [started from, '\\Downloads\\']}
  saver: {text|endswith: .scr}
  condition: started and saver
"""
MARKER = 'rule marker { strings: $a = "SOAR-LAB-MALWARE-7f3a91" condition: $a }'
ONLY_LOGS = "rule text { strings: $a = /logon [a-z.]+/ condition: $a }"


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    adapters = {**settings.adapters, "rules": {"kind": "sigma"}}
    with living(settings.model_copy(update={"adapters": adapters})) as built:
        yield built


@pytest.fixture
def ada(cast: Cast) -> Actor:
    return cast.person("ada")


def command(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "command_b64": base64.b64encode(text.encode()).decode()}


def ours(verb: str, **given: Any) -> dict[str, Any]:
    """A step of our own among those from elsewhere."""
    extension = {"path": verb, "verb": verb, "with": given}
    return {"commands": [{"type": "manual", "command": verb}], "step_extensions": {EXTENSION: extension}}


def book(slug: str, steps: Mapping[str, dict[str, Any]], cases: Mapping[str, dict[str, Any]]) -> Playbook:
    """The steps one after another, then a switch on what the last one counted; each case is one step."""
    own = playbook_id(slug)
    agent, target = made_id("individual", own, "agent"), made_id("net-address", own, "siem")
    names = [*steps, "decide"]
    ids = {name: made_id("switch-condition" if name == "decide" else "action", own, name) for name in names}
    start, end = made_id("start", own, ""), made_id("end", own, "")
    after = {**ids, "": end}
    workflow: dict[str, Any] = {start: {"type": "start", "on_completion": ids[names[0]]}, end: {"type": "end"}}
    for name, follows in zip(steps, names[1:], strict=True):
        acts = {"type": "action", "name": name, "agent": agent, "targets": [target], "on_success": after[follows]}
        workflow[ids[name]] = {**acts, **steps[name]}
    chosen = {}
    for name, step in cases.items():
        chosen[name], over = made_id("action", own, f"case {name}"), made_id("end", own, f"case {name}")
        workflow[chosen[name]] = {
            "type": "action",
            "name": f"case {name}",
            "agent": agent,
            "on_completion": over,
            **step,
        }
        workflow[over] = {"type": "end"}
    decide = {"type": "switch-condition", "switch": "__status__:value", "cases": chosen, "on_completion": end}
    workflow[ids["decide"]] = decide
    document = {
        "type": "playbook", "spec_version": "cacao-2.0", "id": own, "name": slug, "created_by": AUTHOR,
        "created": EPOCH, "modified": EPOCH, "workflow_start": start, "workflow": workflow,
        "agent_definitions": {agent: {"type": "individual", "name": "analyst"}},
        "target_definitions": {target: {"type": "net-address", "name": "collected evidence"}},
        "playbook_variables": {
            "__status__": {"type": "integer", "value": "0"}, "__events__": {"type": "list", "value": "[]"},
        },
    }  # fmt: skip
    return from_document(document)


def collect(*items: str) -> dict[str, Any]:
    return ours("collect_evidence", host="ws-0147", items=list(items))


def say(text: str) -> dict[str, Any]:
    return ours("notify", team="on-call", text=text)


def perform(house: House, by: Actor, playbook: Playbook, where: str = "") -> tuple[Any, dict[str, Any]]:
    """The run as it ended, and its actions by verb."""
    run = ended(house, begin(house, where or incident(house), by, playbook, {"status": 0, "events": []}))
    with house.store.read() as conn:
        return run, {row.verb: row for row in actions.find(conn, run_id=run.id)}


def test_what_sigma_and_yara_find_in_what_was_collected_decides_how_it_goes_on(
    house: House, ada: Actor, estate: Estate
) -> None:
    steps = {
        "collect": collect("logs", "files", "memory"),
        "hunt": {"commands": [command("sigma", STARTED)], "out_args": ["__events__"]},
        "scan": {"commands": [command("yara", MARKER)], "out_args": ["__status__"]},
    }
    run, done = perform(house, ada, book("search", steps, {"0": say("quiet"), "default": say("malware")}))
    assert run.status == "succeeded", run.reason
    with house.store.read() as conn:
        taken = {row.id: row for row in conn.execute(evidence_items.select().order_by(evidence_items.c.id))}
    logs = [ident for ident, row in taken.items() if row.evidence_class == "logs"]
    assert done["command_sigma"].params["evidence"] == logs
    assert done["command_yara"].params["evidence"] == list(taken)

    (event,) = done["command_sigma"].outputs["result"]
    assert (event["item"], event["line"], event["host"]) == (logs[0], 2, "ws-0147")
    assert event["event"]["text"].endswith("invoice_7781.scr")
    assert run.state["variables"]["events"] == [event]
    hits = done["command_yara"].outputs["result"]
    assert {(taken[hit["item"]].evidence_class, hit["rule"]) for hit in hits} == {
        ("files", "marker"), ("memory", "marker"),
    }  # fmt: skip
    assert run.state["variables"]["status"] == len(hits) == 2
    assert done["notify"].params["text"] == "malware"
    assert len(estate.log(verb="notify", method="apply")) == 1


def test_where_nothing_is_found_the_other_way_is_taken(house: House, ada: Actor) -> None:
    steps = {"collect": collect("logs"), "scan": {"commands": [command("yara", MARKER)], "out_args": ["__status__"]}}
    run, done = perform(house, ada, book("quiet", steps, {"0": say("quiet"), "default": say("malware")}))
    assert (run.status, done["notify"].params["text"]) == ("succeeded", "quiet")


def test_where_nothing_was_collected_nothing_is_called_clean(house: House, ada: Actor) -> None:
    for kind, rule in (("sigma", STARTED), ("yara", MARKER)):
        steps = {"search": {"commands": [command(kind, rule)], "out_args": ["__status__"]}}
        run, done = perform(house, ada, book(f"empty-{kind}", steps, {"0": say("quiet")}))
        assert run.status == "failed"
        assert done[f"command_{kind}"].state is State.FAILED
        assert "no evidence" in done[f"command_{kind}"].summary
        assert "notify" not in done


def test_only_the_evidence_of_its_own_incident_is_searched(house: House, ada: Actor) -> None:
    other = incident(house)
    perform(house, ada, book("first", {"collect": collect("logs")}, {"0": say("collected")}), other)
    steps = {"scan": {"commands": [command("yara", ONLY_LOGS)], "out_args": ["__status__"]}}
    _, done = perform(house, ada, book("second", steps, {"0": say("quiet")}))
    assert done["command_yara"].params["evidence"] == []
    _, done = perform(house, ada, book("third", steps, {"1": say("found")}), other)
    assert [hit["rule"] for hit in done["command_yara"].outputs["result"]] == ["text"]


def test_a_rule_that_cannot_be_evaluated_fails_its_step_with_the_place(house: House, ada: Actor) -> None:
    counting = "title: many\ncorrelation: {type: event_count, rules: [a], group-by: [b], timespan: 1m}"
    steps = {"collect": collect("logs"), "hunt": {"commands": [command("sigma", counting)]}}
    run, done = perform(house, ada, book("counting", steps, {"0": say("quiet")}))
    assert run.status == "failed"
    assert "2:14: unsupported: correlation is not supported" in done["command_sigma"].summary


def test_what_no_adapter_declares_is_refused_by_name_until_one_does(house: House) -> None:
    for kind in ("elastic", "jupyter", "kestrel", "caldera-cmd"):
        verb = COMMAND_VERBS[kind]
        made = command(kind, "eA==") if kind != "caldera-cmd" else {"type": kind, "command": "x"}
        playbook = book("hunt", {"find the beacon": {"commands": [made]}}, {"0": say("quiet")})
        (step,) = [each for each in playbook.workflow.values() if each.name == "find the beacon"]
        assert isinstance(step, ActionStep)
        with pytest.raises(NotFound, match=f"^find the beacon: no connected system .* of type {kind}; configure one$"):
            commanding.plan_commands(house.parts, playbook, step, {}, {})
        elsewhere: Any = SimpleNamespace(name="elsewhere", verbs={verb: None})
        parts = replace(house.parts, adapters={**house.parts.adapters, "elsewhere": elsewhere})
        (planned,) = commanding.plan_commands(parts, playbook, step, {}, {}).actions
        assert (planned.adapter, planned.verb) == ("elsewhere", verb)


def test_more_evidence_than_one_command_may_search_is_refused_before_anything_is_sent(
    house: House, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "MOST_ITEMS", 2)
    steps = {"collect": collect("logs", "files", "memory"), "scan": {"commands": [command("yara", MARKER)]}}
    run, done = perform(house, ada, book("much", steps, {"0": say("quiet")}))
    assert "command_yara" not in done
    with house.store.read() as conn:
        reasons = [each.get("reason", "") for each in runs.get(conn, run.id).state["steps"]]
    assert any("more than 2 items" in reason for reason in reasons)
