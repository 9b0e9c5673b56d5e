"""Rules of order hold on every path: around an if, through a handler, in a loop, beside a parallel. And fast."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from soar.playbook.cacao.cacao_form import from_document
from soar.playbook.checks.check import remarks
from soar.playbook.checks.codes import Severity
from soar.playbook.checks.examine import in_cacao, in_yaml
from soar.playbook.checks.flow import Flow
from soar.playbook.checks.paths import Change, facts_before
from soar.playbook.checks.remarks import reaches, worst
from soar.playbook.document import EXTENSION
from soar.playbook.model import StartStep
from soar.playbook.places import Places
from soar.playbook.yaml.yaml_form import load, read

HEAD = """\
id: story
name: Story
variables:
  hosts: {type: list, from: scope.hosts.affected}
  accounts: {type: list, from: scope.accounts.affected}
"""
ISOLATE = "{id: isolate, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 1d}"
COLLECT = "{id: collect, do: collect_evidence, for_each: $hosts, as: host, with: {host: $host, items: [memory, processes, connections]}%s}"  # noqa: E501
ALSO = (COLLECT % "").replace("id: collect, ", "")
CLEAN = "{do: verify_clean, for_each: $hosts, as: host, with: {host: $host}}"
KILL = "{do: kill_process, with: {host: a, pid: 1}, approval: {any_of: [responder], within: 1h, on_timeout: deny}}"
FREE = "{id: free, undo: isolate, approval: {any_of: [responder], within: 1h, on_timeout: deny}}"
DISABLE = "{id: disable, do: disable_account, for_each: $accounts, as: who, with: {account: $who}, review: 1d}"
RESET = "{do: reset_password, for_each: $accounts, as: who, with: {account: $who}}"
REVOKE = "{do: revoke_sessions, for_each: $accounts, as: who, with: {account: $who}}"
ENABLE = "{id: enable, undo: disable, approval: {any_of: [responder], within: 1h, on_timeout: deny}}"
SAY = "{id: say, manual: Look}"
CALL = "handlers:\n  call: [{manual: Call}, {continue: say}]\n"


def said(*steps: str, more: str = "", head: str = "") -> set[str]:
    text = HEAD + head + "steps:\n" + "".join(f"  - {step}\n" for step in steps) + more
    found = in_yaml(text.encode())
    assert worst(found) is not Severity.ERROR, found
    return {each.code for each in found if each.severity is Severity.WARNING and each.code != "unused_variable"}


ORDERS: list[tuple[str, set[str], set[str]]] = [
    ("evidence, then its loss", said(COLLECT % "", KILL), set()),
    ("its loss, then evidence", said(KILL, COLLECT % ""), {"evidence_after_loss"}),
    ("evidence in one branch of an if", said(f"{{if: 'alert:x = 1', then: [{COLLECT % ''}]}}", KILL),
     {"evidence_after_loss"}),
    ("evidence in both branches", said(f"{{if: 'alert:x = 1', then: [{COLLECT % ''}], else: [{ALSO}]}}", KILL), set()),
    ("evidence in a loop that may not turn", said(f"{{while: 'alert:x = 1', max: 3, steps: [{COLLECT % ''}]}}", KILL),
     {"evidence_after_loss"}),
    ("evidence in a branch of a parallel", said(f"{{parallel: [[{COLLECT % ''}], [{{manual: A}}]]}}", KILL), set()),
    ("evidence beside the loss", said(f"{{parallel: [[{COLLECT % ''}], [{KILL}]]}}"), {"evidence_after_loss"}),
    ("evidence in each case, and default",
     said("{id: ask, manual: A, outputs: {k: str}}",
          f"{{switch: $ask.k, cases: {{a: [{COLLECT % ''}]}}, default: [{ALSO}]}}", KILL), set()),
    ("evidence in each case without default",
     said("{id: ask, manual: A, outputs: {k: str}}", f"{{switch: $ask.k, cases: {{a: [{COLLECT % ''}]}}}}", KILL),
     {"evidence_after_loss"}),
    ("evidence that may fail", said(COLLECT % ", continue_on_failure: true", KILL), {"evidence_after_loss"}),
    ("evidence whose handler goes on", said(COLLECT % ", on_failure: call", SAY, KILL, more=CALL),
     {"evidence_after_loss"}),
    ("evidence whose handler ends",
     said(COLLECT % ", on_failure: stop", SAY, KILL, more="handlers:\n  stop: [{manual: Call}]\n"), set()),
    ("containment first, where harm is running", said(ISOLATE, CLEAN, head="urgency: immediate\n"), set()),
    ("containment first, for no reason", said(ISOLATE, CLEAN), {"evidence_after_loss"}),
    ("a kill is no containment", said(KILL, head="urgency: immediate\n"), {"evidence_after_loss"}),
    ("clean, then free", said(COLLECT % "", ISOLATE, CLEAN, FREE), set()),
    ("clean before the isolation", said(COLLECT % "", CLEAN, ISOLATE, FREE), {"release_before_clean"}),
    ("clean on one path", said(COLLECT % "", ISOLATE, f"{{if: 'alert:x = 1', then: [{CLEAN}]}}", FREE),
     {"release_before_clean"}),
    ("a mistake needs no clean check",
     said(COLLECT % "", ISOLATE, FREE.replace("undo: isolate", "undo: isolate, reason: mistaken")), set()),
    ("reset and revoked, then enabled", said(DISABLE, REVOKE, RESET, ENABLE), set()),
    ("revoked before disabled", said(REVOKE, DISABLE, RESET, ENABLE), {"release_before_reset"}),
    ("revoked beside the isolation", said(f"{{parallel: [[{SAY}], [{DISABLE}, {REVOKE}]]}}", RESET, ENABLE), set()),
    ("unblocked, and nobody asked", said("{id: b, do: block_ip, with: {ip: a}, lease: 1d}", "{undo: b}"),
     {"restore_without_verdict"}),
    ("unblocked after a question",
     said("{id: b, do: block_ip, with: {ip: a}, lease: 1d}", "{id: ask, manual: Benign?, outputs: {yes: bool}}",
          "{if: '$ask.yes = true', then: [{undo: b}]}"), set()),
    ("contained after recovery", said(DISABLE, REVOKE, RESET, ENABLE, "{do: block_ip, with: {ip: a}, lease: 1d}"),
     {"phase_out_of_order"}),
    ("contained after recovery, with a reason",
     said(DISABLE, REVOKE, RESET, ENABLE, "{do: block_ip, with: {ip: a}, lease: 1d, phase: containment}"), set()),
    ("contained anew because of what was found",
     said(DISABLE, REVOKE, RESET, ENABLE, "{if: 'alert:x = 1', then: [{do: block_ip, with: {ip: a}, lease: 1d}]}"),
     set()),
]  # fmt: skip


@pytest.mark.parametrize(("found", "wanted"), [each[1:] for each in ORDERS], ids=[each[0] for each in ORDERS])
def test_order_is_judged_on_every_path(found: set[str], wanted: set[str]) -> None:
    assert found == wanted


def test_an_approval_around_a_parallel_holds_for_what_is_in_it_but_not_behind_a_decision() -> None:
    wipe = "{do: wipe_device, with: {host: a}}"
    agree = "approval: {any_of: [responder], within: 1h, on_timeout: deny}"
    good = f"id: a\nsteps:\n- {{parallel: [[{wipe}], [{SAY}]], {agree}}}\n"
    bad = f"id: a\nsteps:\n- {{parallel: [[{{if: 'alert:x = 1', then: [{wipe}]}}], [{SAY}]], {agree}}}\n"
    codes = [{each.code for each in in_yaml(text.encode())} for text in (good, bad)]
    assert ["destructive_without_approval" in each for each in codes] == [False, True]


def test_a_fact_of_a_step_is_dominance() -> None:
    """One bit for each step: what holds before a step are the steps on every path to it."""
    playbook, _, _ = read(
        HEAD + "steps:\n- {id: a, manual: A}\n"
        "- {if: 'alert:x = 1', then: [{id: b, manual: B}], else: [{id: c, manual: C}]}\n"
        "- {parallel: [[{id: d, manual: D}], [{id: e, manual: E}]]}\n- {id: f, manual: F}\n"
    )
    named = {step.soar.slug: step for step in playbook.workflow.values() if step.soar and step.soar.slug}
    bits = {name: 1 << index for index, name in enumerate(sorted(named))}
    before = facts_before(Flow(playbook), {named[name].id: Change(bit) for name, bit in bits.items()})
    assert before is not None
    held = {name: {other for other, bit in bits.items() if before[step.id] & bit} for name, step in named.items()}
    assert held == {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"a"}, "e": {"a"}, "f": {"a", "d", "e"}}
    start = next(step for step in playbook.workflow.values() if isinstance(step, StartStep))
    assert before[start.id] == 0


def best(text: bytes, times: int) -> float:
    """Seconds that a check takes when nothing disturbs it."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        in_yaml(text)
        taken.append(time.process_time() - began)
    return min(taken)


def fifty_steps() -> bytes:
    block = [COLLECT % "", ISOLATE, CLEAN, FREE, f"{{if: '$ask.n = 1', then: [{SAY}]}}"]
    steps = ["{id: ask, manual: How many?, outputs: {n: int}}"]
    for index in range(9):
        steps += [re.sub(r"(id|undo): (collect|isolate|free|say)", rf"\1: \g<2>{index}", each) for each in block]
    return (HEAD + "steps:\n" + "".join(f"  - {step}\n" for step in steps)).encode()


@pytest.mark.alone
def test_a_playbook_of_fifty_steps_is_checked_in_fifty_milliseconds() -> None:
    text = fifty_steps()
    count = len(load(text).workflow)
    assert count > 50
    taken = best(text, 20)
    print(f"{count} steps read and checked in {taken * 1_000:.1f} ms")
    assert taken < 0.05


def chain(length: int) -> dict[str, Any]:
    """A foreign playbook of actions one after the other."""
    ids = [f"action--{number:08x}-0000-4000-8000-000000000000" for number in range(length)]
    start, end, agent = (f"{kind}--00000000-0000-4000-8000-000000000000" for kind in ("start", "end", "individual"))
    step = {"type": "action", "agent": agent, "commands": [{"type": "manual", "command": "Look"}]}
    workflow = {own: {**step, "on_completion": after} for own, after in zip(ids, [*ids[1:], end], strict=True)}
    return {
        "type": "playbook", "spec_version": "cacao-2.0", "id": "playbook--00000000-0000-4000-8000-000000000000",
        "name": "Long", "created_by": "identity--00000000-0000-4000-8000-000000000000",
        "created": "2026-11-23T09:00:00.000Z", "modified": "2026-11-23T09:00:00.000Z", "workflow_start": start,
        "workflow": {start: {"type": "start", "on_completion": ids[0]}, **workflow, end: {"type": "end"}},
        "agent_definitions": {agent: {"type": "individual", "name": "Analyst"}},
    }  # fmt: skip


def tangled(length: int) -> dict[str, Any]:
    """Half of the steps are ifs, each with its branch into the same long chain."""
    document = chain(length // 2)
    steps = [own for own in document["workflow"] if own.startswith("action")]
    for slug, own in enumerate(steps):
        document["workflow"][own]["step_extensions"] = {EXTENSION: {"slug": f"s{slug}", "manual": "Look"}}
    ifs = [own.replace("action", "if-condition") for own in steps]
    end = next(own for own in document["workflow"] if own.startswith("end"))
    start = document["workflow_start"]
    document["workflow"][start]["on_completion"] = ifs[0]
    for own, after in zip(ifs, [*ifs[1:], end], strict=True):
        document["workflow"][own] = {
            "type": "if-condition", "condition": "alert:x = 1", "on_true": steps[0], "on_completion": after
        }  # fmt: skip
    return document


def nested(length: int) -> dict[str, Any]:
    """Ifs in one another, as deep as they are many."""
    document = tangled(length)
    workflow = document["workflow"]
    ifs = [own for own in workflow if own.startswith("if")]
    last = next(own for own in workflow if own.startswith("action"))
    for own, inner in zip(ifs, [*ifs[1:], last], strict=True):
        end = own.replace("if-condition", "end").replace("-8000-", "-9000-")
        workflow[end] = {"type": "end"}
        workflow[own] = {"type": "if-condition", "condition": "alert:x = 1", "on_true": inner, "on_completion": end}
    return document


@pytest.mark.alone
@pytest.mark.parametrize("shape", [chain, tangled, nested])
def test_five_thousand_steps_do_not_blow_up(shape: Any) -> None:
    """Time grows with the number of steps, and not with its square."""
    taken = []
    for length in (500, 5_000):
        playbook = from_document(shape(length))  # more than a file may hold
        began = time.process_time()
        remarks(playbook, Places.of_cacao(playbook.workflow))
        taken.append(time.process_time() - began)
    print(f"{shape.__name__}: 500 steps in {taken[0]:.2f} s, 5,000 in {taken[1]:.2f} s")
    assert taken[1] < 10
    assert taken[1] < max(taken[0], 0.02) * 40


def test_nesting_without_end_is_refused_and_not_followed() -> None:
    found = in_cacao(json.dumps(nested(600)).encode())
    assert "nested_too_deep" in {each.code for each in found}


def test_remarks_stand_in_the_order_of_the_text_and_name_their_step() -> None:
    found = in_yaml((HEAD + f"steps:\n  - {FREE}\n  - {ISOLATE}\n  - {{manual: '', within: 1h}}\n").encode())
    assert [each.line for each in found] == sorted(each.line or 0 for each in found)
    assert {each.step for each in found if each.line and each.line > 6} == {"free", "isolate", "3-manual"}
    assert found[-1].as_dict()["severity"] in ("error", "warning")


def test_severities_are_in_order() -> None:
    assert reaches(Severity.ERROR, Severity.NOTE)
    assert reaches(Severity.NOTE, Severity.NOTE)
    assert not reaches(Severity.WARNING, Severity.ERROR)
    assert worst([]) is None


def test_who_can_do_it_is_asked_only_of_those_who_are_known() -> None:
    playbook, places, _ = read(
        HEAD + f"steps:\n  - {ISOLATE}\n  - {{do: block_indicators, with: {{from: incident}}, lease: 1d}}\n"
    )
    assert "no_adapter" not in {each.code for each in remarks(playbook, places)}
    missing = [each for each in remarks(playbook, places, able={"block_ip"}) if each.code == "no_adapter"]
    assert [each.step for each in missing] == ["isolate"]
