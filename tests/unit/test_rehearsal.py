"""Rehearsals told as stories: a small playbook, how its steps come out, what is expected of it."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from hypothesis import given

from playbooks import LIBRARY, REHEARSALS
from soar.playbook.model import EPOCH, ActionStep, EndStep, Playbook, PlaybookActionStep, StartStep, Step
from soar.playbook.yaml.yaml_form import load as load_playbook
from soar.rehearsal.comparing import differences
from soar.rehearsal.coverage import coverage
from soar.rehearsal.model import Case, Expected, Given, Outcome
from soar.rehearsal.names import step_names
from soar.rehearsal.reading import load
from soar.rehearsal.rehearsing import Shown, covered, rehearse
from soar.rehearsal.stage import play
from soar.rehearsal.way import lines, way_of
from tests.unit.playbook_runs import SAY, book, flags, randoms, written

HOSTS = "variables:\n  hosts: {type: list, from: scope.hosts.affected}\n"
CUT = "do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 24h"
APPROVAL = "approval: {any_of: [responder], persons: 1, within: 10m, on_timeout: TIMEOUT}"
CALL = f"handlers:\n  call:\n    - {{{SAY}}}\n"


def shown(playbook: Playbook, text: str) -> Shown:
    """One case, played."""
    lines = "\n".join(f"    {line}" for line in text.strip("\n").splitlines())
    (found,) = rehearse(load(f"playbook: story\ncases:\n  - case: one\n{lines}\n", lambda _: playbook))
    return found


def wrong(playbook: Playbook, text: str) -> dict[str, tuple[str, str]]:
    """What is not as expected: expected and got."""
    return {each.what: (each.expected, each.got) for each in shown(playbook, text).differences}


def test_a_playbook_that_goes_its_way_passes() -> None:
    case = "expect: {status: succeeded, steps: [a: [notify on-call], b: [notify on-call]], takes: {at_most: 1s}}"
    assert wrong(book(f"- {{id: a, {SAY}}}\n- {{id: b, {SAY}}}"), case) == {}


def test_every_difference_is_told_at_once_and_step_by_step() -> None:
    playbook = book(f"- {{id: a, {SAY}}}\n- {{id: b, {SAY}}}\n- {{id: c, {SAY}}}")
    found = shown(playbook, "expect: {status: failed, steps: [a, c, b], never: [notify], approvals: [a], takes: 1h}")
    assert {each.what for each in found.differences} == {"status", "steps", "never", "approvals", "takes"}
    steps = next(each for each in found.differences if each.what == "steps")
    assert set(steps.lines) == {"  a", "+ b: notify on-call", "  c", "- b"}


def test_a_failure_with_its_reason_goes_the_way_of_the_handler() -> None:
    playbook = book(f"- {{id: a, on_failure: call, {SAY}}}", CALL)
    case = """
given: {steps: {a: {result: failed, reason: no route to host}}}
expect: {status: failed, reason: no route to host, steps: [a, handlers/call/1-notify]}
"""
    assert wrong(playbook, case) == {}
    assert wrong(playbook, "expect: {status: failed}") == {"status": ("failed", "succeeded")}


def test_time_is_simulated_and_takes_none() -> None:
    playbook = book(f"- {{id: a, delay: 24h, retry: {{max: 3, backoff: 10m}}, {SAY}}}")
    began = time.perf_counter()
    case = """
given: {steps: {a: [failed, failed, {takes: 5m}]}}
expect: {status: succeeded, takes: 1475m, steps: [a, a, a], results: {a: succeeded}}
"""
    assert wrong(playbook, case) == {}
    assert time.perf_counter() - began < 1


def test_who_is_silent_is_ended_by_the_timeout_and_what_was_sent_is_in_doubt() -> None:
    playbook = book(f"- {{id: cut, timeout: 10m, on_failure: call, {CUT}}}", HOSTS + CALL)
    case = """
given: {scope: {hosts: [ws-1]}, steps: {cut: silent}}
expect:
  status: failed
  reason: ACTION_TIMEOUT
  takes: 10m
  steps: [cut: [isolate_host ws-1], handlers/call/1-notify]
  contained: {isolate_host ws-1: in_doubt}
"""
    assert wrong(playbook, case) == {}


def test_who_is_silent_without_a_timeout_is_waited_for() -> None:
    playbook = book(f"- {{id: a, {SAY}}}\n- {{id: ask, manual: Is it?, outputs: {{back: bool}}}}")
    assert wrong(playbook, "expect: {status: waiting, waits: [ask]}") == {}
    assert wrong(playbook, "given: {steps: {a: silent}}\nexpect: {status: succeeded}") == {
        "status": ("succeeded", "waiting (a waits for an answer: it is silent)")
    }


@pytest.mark.parametrize(
    ("timeout", "vote", "ends", "takes"),
    [
        ("deny", "granted", "succeeded", "0ms"),
        ("deny", "{decision: granted, after: 9m}", "succeeded", "9m"),
        ("deny", "{decision: granted, after: 11m}", "failed", "10m"),
        ("deny", "silent", "failed", "10m"),
        ("escalate", "{decision: granted, after: 1h}", "succeeded", "1h"),
        ("escalate", "silent", "waiting", "0ms"),
        ("escalate", "{decision: denied, after: 2m}", "failed", "2m"),
    ],
)
def test_an_approval_is_granted_denied_or_nobody_answers(timeout: str, vote: str, ends: str, takes: str) -> None:
    playbook = book(f"- {{id: cut, {CUT}, {APPROVAL.replace('TIMEOUT', timeout)}}}", HOSTS)
    stands = "{isolate_host ws-1: stands}" if ends == "succeeded" else "{}"
    case = f"""
given: {{scope: {{hosts: [ws-1]}}, steps: {{cut: {{approval: {vote}}}}}}}
expect: {{status: {ends}, takes: {takes}, approvals: [cut], contained: {stands}}}
"""
    assert wrong(playbook, case) == {}


def test_a_refused_target_is_not_called_and_the_step_is_partial() -> None:
    playbook = book(f"- {{id: cut, partial: ok, {CUT}}}", HOSTS)
    case = """
given: {scope: {hosts: [ws-1, dc-1]}, steps: {cut: {targets: {dc-1: refused}, evidence: 30s}}}
expect:
  steps: [cut: [isolate_host ws-1]]
  results: {cut: partial}
  contained: {isolate_host ws-1: stands}
  takes: 30s
"""
    assert wrong(playbook, case) == {}
    assert wrong(playbook, case.replace("[isolate_host ws-1]", "[isolate_host ws-1, isolate_host dc-1]")).keys() == {
        "steps"
    }


GROUP = f"""
- id: group
  parallel:
    - - {{id: cut, {CUT}}}
    - - {{id: a, {SAY}}}
      - {{id: b, {SAY}}}
  together: true
  {APPROVAL.replace("TIMEOUT", "deny")}
"""


def test_a_group_is_asked_for_once_and_branches_stand_side_by_side() -> None:
    playbook = book(GROUP, HOSTS)
    case = """
given: {scope: {hosts: [ws-1]}, steps: {group: {approval: {decision: granted, after: 1m}}}}
expect:
  status: succeeded
  approvals: [group]
  steps: [group, [[cut], [a, b]]]
  before: [[isolate_host, b]]
"""
    assert wrong(playbook, case) == {}
    found = shown(playbook, case.replace("[[cut], [a, b]]", "[[cut], [b, a]]")).differences
    assert [each.what for each in found] == ["steps"]
    assert found[0].lines == ("  ...", "  0| cut", "+ 1| a: notify on-call", "  1| b", "- 1| a")


def test_a_group_of_which_one_may_not_act_does_not_act_at_all() -> None:
    case = """
given: {scope: {hosts: [ws-1]}, steps: {cut: {targets: {ws-1: refused}}}}
expect: {status: failed, reason: all or none, never: [cut, a, notify], steps: [group], approvals: [group]}
"""
    assert wrong(book(GROUP, HOSTS), case) == {}


def test_what_is_taken_back_is_told_with_its_reason_and_what_is_forgotten_is_overdue() -> None:
    steps = f"- {{id: cut, {CUT}}}\n- {{id: wait, delay: DELAY, {SAY}}}\n- {{id: back, undo: [cut], reason: mistaken}}"
    case = "given: {scope: {hosts: [ws-1]}}\nexpect: {approvals: [back], contained: {isolate_host ws-1: mistaken}}"
    assert wrong(book(steps.replace("DELAY", "1h"), HOSTS), case) == {}
    forgotten = "\n".join(steps.replace("DELAY", "25h").splitlines()[:2])
    case = "given: {scope: {hosts: [ws-1]}}\nexpect: {contained: {isolate_host ws-1: overdue}}"
    assert wrong(book(forgotten, HOSTS), case) == {}


def test_only_what_is_held_malicious_is_blocked_and_a_look_up_may_say_so() -> None:
    playbook = book(
        '- {id: look, do: look_up, with: {observable: "ipv4-addr:203.0.113.5"}}\n'
        "- {id: block, do: block_indicators, with: {from: incident}, lease: 1h}\n"
        f"- {{id: later, delay: 2h, {SAY}}}"
    )
    case = """
given:
  observables: {"ipv4-addr:203.0.113.5": unknown, "url:https://x.example/": benign}
  steps: {look: {outputs: {verdict: malicious, confidence: 90}}}
expect:
  steps: [look, block: [block_ip 203.0.113.5], later]
  contained: {block_ip 203.0.113.5: lifted}
  values: {look.verdict: malicious}
"""
    assert wrong(playbook, case) == {}
    found = wrong(playbook, case.replace("verdict: malicious, confidence: 90", "verdict: benign, confidence: 90"))
    assert found["values: look.verdict"] == ("'malicious'", "'benign'")
    assert found["contained: block_ip 203.0.113.5"] == ("lifted", "not contained")


def test_a_loop_asks_a_person_again_and_again() -> None:
    playbook = book(
        "- {id: ask, manual: Still?, outputs: {still: bool}}\n"
        "- id: loop\n  while: $again.still = true\n  max: 5\n"
        "  steps: [{id: again, manual: Still?, outputs: {still: bool}}]".replace("$again", "$ask")
    )
    case = "given: {steps: {ask: {answer: {still: false}}}}\nexpect: {steps: [ask], results: {loop: skipped}}"
    assert wrong(playbook, case) == {}


def test_an_outcome_that_nothing_asks_for_is_told() -> None:
    playbook = book(f"- {{id: a, {SAY}}}\n- {{id: cut, {CUT}}}", HOSTS)
    case = """
given: {scope: {hosts: [ws-1]}, steps: {a: [ok, failed], cut: {targets: {ws-9: failed}}}}
expect: {status: succeeded}
"""
    got = {each.got for each in shown(playbook, case).differences}
    assert got == {
        "never used: a is performed once, not 2 times",
        "never used: cut: ws-9 is none of its targets",
    }


def test_a_value_that_is_missing_fails_the_step_as_it_would() -> None:
    steps = (
        "- {id: scan, do: scan, with: {incident: incident, evidence: []}}\n"
        "- {id: clean, do: quarantine_file, for_each: $scan.files, as: file, "
        "with: {host: $file.host, path: $file.path}, review: 7d}"
    )
    assert wrong(book(steps), "expect: {status: failed, reason: $scan.files has no value here}") == {}


@pytest.mark.alone
def test_hundreds_of_rehearsals_of_a_long_playbook_take_a_second() -> None:
    rehearsal = load(
        (REHEARSALS / "compromised-host.yaml").read_bytes(),
        lambda _: load_playbook((LIBRARY / "compromised-host.yaml").read_bytes()),
    )
    began = time.process_time()
    cases = sum(len(rehearse(rehearsal)) for _ in range(60))
    rate = cases / (time.process_time() - began)
    print(f"{rate:.0f} rehearsals a second of a playbook of 16 steps")
    assert rate > 300


def foreign(step: Step) -> Playbook:
    """A playbook of another author with this one step."""
    start, end = StartStep(id="start--1", on_completion=step.id), EndStep(id="end--1")
    return Playbook(
        id="playbook--1", name="Foreign", created_by="identity--1", created=EPOCH, modified=EPOCH,
        workflow_start=start.id, workflow={each.id: each for each in (start, step, end)},
        agent_definitions={"ssh--1": {"type": "ssh", "name": "desk", "address": {"ipv4": ["192.0.2.7"]}}},
    )  # fmt: skip


def test_commands_of_a_foreign_playbook_are_called_by_their_verbs() -> None:
    command = {"type": "ssh", "command": "uptime"}
    step = ActionStep(id="action--1", name="Look", commands=(command,), agent="ssh--1", on_completion="end--1")
    expect = "expect: {status: succeeded, steps: [Look: [command_ssh desk]]}"
    assert wrong(foreign(step), expect) == {}
    assert wrong(foreign(step), f"given: {{steps: {{Look: {{outputs: {{result: up}}, takes: 5s}}}}}}\n{expect}") == {}


def test_a_playbook_as_a_step_comes_out_as_a_whole() -> None:
    step = PlaybookActionStep(id="playbook-action--1", name="Other", playbook_id="playbook--2", on_success="end--1")
    case = "given: {steps: {Other: {takes: 1h}}}\nexpect: {status: succeeded, steps: [Other], takes: 1h}"
    assert wrong(foreign(step), case) == {}
    case = "given: {steps: {Other: {result: failed, reason: it is down}}}\nexpect: {status: failed, reason: it is down}"
    assert wrong(foreign(step), case) == {}


# --- coverage ----------------------------------------------------------------------------------------


def missed(playbook: Playbook, *cases: str) -> list[str]:
    """What these cases never walk."""
    text = "".join(f"  - {{case: c{number}, expect: {{status: X}}, {case}}}\n" for number, case in enumerate(cases))
    found = load(f"playbook: story\ncases:\n{text}".replace("X", "succeeded"), lambda _: playbook)
    return [str(each) for each in covered(found, rehearse(found)).missed]


def test_every_way_that_was_never_walked_is_named() -> None:
    more = f"{CALL}    - continue: b\non_exception: stop\n".replace(
        "handlers:\n", f"handlers:\n  stop:\n    - {{id: halt, {SAY}}}\n"
    )
    playbook = book(
        f"- {{id: a, timeout: 1h, on_failure: call, {SAY}}}\n- {{id: b, {SAY}}}\n"
        f"- {{id: which, if: 'alert:x = 1', then: [{{id: c, {SAY}}}]}}\n"
        f"- {{id: loop, while: 'alert:x = 2', max: 2, continue_on_failure: true, steps: [{{id: d, {SAY}}}]}}",
        more,
    )
    assert missed(playbook, "given: {alert: {x: 1}}") == [
        "a: fails", "a: times out", "which: else", "loop: one turn", "loop: several turns", "loop: fails",
        "d: succeeds", "handlers/call/1-notify: succeeds", "halt: succeeds", "on_exception",
    ]  # fmt: skip
    everything = ["given: {alert: {x: 1}}", "given: {alert: {x: 2}, steps: {a: failed}}",
                  "given: {steps: {a: silent, b: failed}}"]  # fmt: skip
    assert missed(playbook, *everything) == ["loop: one turn"]


def test_a_switch_counts_each_case_and_that_none_fits() -> None:
    playbook = book(
        "- {id: ask, manual: Which?, outputs: {kind: str}}\n"
        f"- {{id: which, switch: $ask.kind, cases: {{a b: [{{id: c, {SAY}}}], x: [{{id: d, {SAY}}}]}}}}"
    )
    assert missed(playbook, "given: {steps: {ask: {answer: {kind: a b}}}}") == [
        "which: case x", "which: no case fits", "d: succeeds"
    ]  # fmt: skip
    assert "which: no case fits" not in missed(playbook, "given: {steps: {ask: {answer: {kind: none}}}}")


# --- laws ----------------------------------------------------------------------------------------------


def random_given(playbook: Playbook, random: Random) -> Given:
    """Facts and outcomes of all kinds."""
    names = step_names(playbook)
    outcomes: dict[str, tuple[Outcome, ...]] = {}
    for step_id, name in names.items():
        result: Any = random.choice(["ok", "ok", "ok", "failed", "partial", "silent", "refused"])
        asks = isinstance(playbook.workflow[step_id], ActionStep)
        answer = {"back": True} if asks else random.choice([True, False, "h1", None])
        outcomes[name] = (Outcome(result=result, answer=answer, takes=random.choice([None, 1, 700])),)
    facts = {**flags(random), "incident": {}, "scope": {}}
    return Given(facts=facts, observables=(), inputs={"hosts": ["h1", "h2"]}, outcomes=outcomes)


@given(randoms)
def test_a_rehearsal_shows_the_same_every_time_and_its_own_way_is_as_expected(random: Random) -> None:
    playbook = written(random)
    names = step_names(playbook)
    begun = random_given(playbook, random)
    played, again = play(playbook, names, begun), play(playbook, names, begun)
    assert played.state == again.state
    assert (played.at, played.contained, played.approvals) == (again.at, again.contained, again.approvals)
    came = way_of(playbook, played)
    assert sorted(line.entry.step for line in lines(came)) == sorted(each.name for each in played.performed)
    expected = Expected(
        status=played.status, steps=came, contained=played.contained, at_least=played.at, at_most=played.at
    )
    case = Case(name="itself", line=1, given=begun, expected=expected)
    assert differences(playbook, names, case, played) == []


@given(randoms)
def test_what_is_walked_is_a_way_of_the_playbook_and_more_cases_never_walk_less(random: Random) -> None:
    playbook = written(random)
    names = step_names(playbook)
    ends = [play(playbook, names, random_given(playbook, random)).state for _ in range(3)]
    one, all_three = coverage(playbook, names, ends[:1]), coverage(playbook, names, ends)
    assert len(set(one.edges)) == len(one.edges)
    assert one.walked <= all_three.walked <= set(one.edges)
    assert 0 <= one.per_cent <= all_three.per_cent <= 100
