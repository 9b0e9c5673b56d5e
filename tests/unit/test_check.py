"""What is wrong with a playbook is said at once, with its code, its line and how to mend it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soar.errors import Invalid
from soar.playbook.checks.check import RULES, problems
from soar.playbook.model import ActionStep
from soar.playbook.places import Places
from soar.playbook.yaml.yaml_form import load

GOOD = """\
id: story
name: Story
variables:
  hosts: {type: list, from: scope.hosts.affected}
  word: {type: str, default: hello}
steps:
  - {id: isolate, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 24h}
  - {id: collect, do: collect_evidence, for_each: $hosts, as: host, with: {host: $host, items: [memory]}}
  - {id: scan, do: scan, with: {incident: incident, evidence: $collect.items}}
  - if: $scan.malware_found = true
    then:
      - {id: tell, do: notify, with: {team: on-call, text: Found on $hosts}, on_failure: call}
  - {id: block, do: block_indicators, with: {from: incident}, lease: 7d}
  - {id: again, while: "alert:x = 1", max: 3, steps: [{manual: Look again}]}
  - {id: ask, manual: Is it back?, outputs: {back: bool}, within: 4h}
  - {id: release, undo: isolate, approval: {any_of: [responder], within: 1h, on_timeout: deny}}
handlers:
  call:
    - {do: notify, with: {team: on-call, text: Help}}
"""

ASK = "- {id: ask, manual: Is it back?, outputs: {back: bool}, within: 4h}"
BY_HAND = "manual: Is it back?, outputs: {back: bool}, within: 4h"
ISOLATE = "for_each: $hosts, as: host, with: {host: $host}, review"
COLLECT = "for_each: $hosts, as: host, with: {host: $host, items"

MISTAKES = [
    # what stands there, what is written instead, code, line, part of the message or mend
    ("name: Story", "nmae: Story", "unknown_key", 2, "Did you mean name?"),
    ("id: story", "id: Story!", "bad_name", 1, "small letters"),
    ("review: 24h", "reveiw: 24h", "unknown_key", 7, "Did you mean review?"),
    ("review: 24h", "review: 24 hours", "bad_duration", 7, "24h"),
    ("review: 24h", "lease: 24h", "hold_without_review", 7, "review"),
    ("lease: 7d", "phase: containment", "containment_without_end", 13, "lease"),
    ("lease: 7d", "phase: contaiment", "unknown_word", 13, "Did you mean containment?"),
    ("within: 4h}", "lease: 4h}", "unknown_key", 15, "no \"lease\""),
    ("items: [memory]}}", "items: [memory]}, lease: 1d}", "time_not_here", 8, "Remove lease"),
    ("items: [memory]}}", "items: [memory]}, for: 1d}", "time_not_here", 8, "watch"),
    ("do: isolate_host", "do: isolate_hosts", "unknown_verb", 7, "Did you mean isolate_host?"),
    ("do: scan", "doo: scan", "no_form", 9, "Did you mean do?"),
    ("manual: Is it back?", "manual: Is it back?, do: scan", "two_forms", 15, "two steps"),
    ("do: scan", "do: [scan]", "wrong_type", 9, "must be text"),
    ("with: {host: $host}, review", "with: {hots: $host}, review", "unknown_parameter", 7, "Did you mean host?"),
    ("items: [memory]", "item: [memory]", "missing_parameter", 8, "items"),
    ("items: [memory]", "items: memory", "wrong_type", 8, "must be list"),
    ("team: on-call, text: Help", "team: 7, text: Help", "wrong_type", 19, "must be str"),
    ("with: {host: $host}, review", "with: {host: $hosts}, review", "wrong_type", 7, "use for_each"),
    (ISOLATE, "with: {host: '$hosts[0]'}, review", "one_of_many", 7, "for_each"),
    (ISOLATE, "with: {host: '$hosts[*]'}, review", "one_of_many", 7, "for_each"),
    ("from: scope.hosts.affected", "from: 'scope.hosts.affected[0]'", "one_of_many", 4, "whole list"),
    ("from: scope.hosts.affected", "from: scopes.hosts", "bad_path", 4, "scope.hosts.affected"),
    ("type: str, default: hello", "type: int, default: hello", "wrong_type", 5, "no int"),
    ("type: str, default: hello", "type: duration, default: hello", "bad_duration", 5, "24h"),
    ("type: str, default: hello", "type: string", "unknown_word", 5, "Did you mean str?"),
    ("type: str, default: hello", "type: int, default: 9007199254740993", "number_too_large", 5, "text"),
    ("  word: {type: str", "  isolate: {type: str", "name_taken", 7, "another name"),
    ("as: host, with: {host: $host}, review", "as: word, with: {host: $word}, review", "name_taken", 7, "another name"),
    (COLLECT, COLLECT.replace("$hosts", "$word"), "wrong_type", 8, "wants a list"),
    (COLLECT, COLLECT.replace("$hosts", "hosts"), "bad_reference", 8, "$hosts"),
    ("Found on $hosts", "Found on $host", "undefined_variable", 12, "Did you mean hosts?"),
    ("evidence: $collect.items", "evidence: $collect.itmes", "unknown_output", 9, "Did you mean items?"),
    ("evidence: $collect.items", "evidence: $collect", "unknown_output", 9, "It has: items."),
    ("evidence: $collect.items", "evidence: $scan.files", "not_before", 9, "earlier steps"),
    ("evidence: $collect.items", "evidence: $ask.back", "not_before", 9, "earlier steps"),
    ("if: $scan.malware_found = true", "if: $scan.malware = true", "unknown_output", 10, "Did you mean malware_found?"),
    ("if: $scan.malware_found = true", "if: $ask.back = true", "not_before", 10, "cannot have run"),
    ("if: $scan.malware_found = true", "if: $scan.malware_found is true", "expression_syntax", 10, "character"),
    ("if: $scan.malware_found = true", "if: $Scan = true", "expression_variable", 10, "small letters"),
    ("if: $scan.malware_found = true", "if: alerts:x = 1", "unknown_path", 10, "Did you mean alert?"),
    ("    then:\n", "    the:\n", "missing_key", 10, "Add then"),
    ("on_failure: call", "on_failure: cal", "unknown_handler", 12, "Did you mean call?"),
    ("on_failure: call", "partial: ok", "unused_handler", 18, "on_failure"),
    ("on_failure: call", "on_failure: call, continue_on_failure: true", "two_ways", 12, "Keep one"),
    ("max: 3, ", "", "while_without_max", 14, "max: 5"),
    ("max: 3", "max: 1001", "out_of_range", 14, "1000"),
    ("max: 3", "max: true", "wrong_type", 14, "whole number"),
    ("steps: [{manual: Look again}]", "steps: []", "empty", 14, "at least one"),
    ("id: block", "id: scan", "duplicate_id", 13, "another name"),
    ("id: block", "id: handlers", "reserved_name", 13, "another name"),
    ("id: block", "id: block__it", "bad_name", 13, "single - or _"),
    ("undo: isolate", "undo: isolat", "unknown_step", 16, "Did you mean isolate?"),
    ("undo: isolate", "undo: scan", "cannot_undo", 16, "inverse"),
    (", on_timeout: deny", "", "approval_without_on_timeout", 16, "escalate"),
    ("on_timeout: deny", "on_timeout: dney", "unknown_word", 16, "Did you mean deny?"),
    ("any_of: [responder], ", "", "approval_without_role", 16, "any_of"),
    ("within: 1h, ", "", "approval_without_time", 16, "within"),
    ("{any_of: [responder], within", "{any_of: [responder], persons: 0, within", "out_of_range", 16, "between 1"),
    ("outputs: {back: bool}", "outputs: {back: boolean}", "unknown_word", 15, "Did you mean bool?"),
    (BY_HAND, "playbook: story", "calls_itself", 15, "bound"),
    (BY_HAND, "command: {type: sh, command: ls}", "unknown_command_type", 15, "Did you mean ssh?"),
    (BY_HAND, "command: [{type: manual, command: A}, {type: bash, command: ls}]", "mixed_commands", 15, "Split"),
    (BY_HAND, "command: {type: bash, command: curl --token c2VjcmV0 x}", "literal_secret", 15, "variable"),
    ("review: 24h", "review: 24h, lease: 7d", "hold_with_lease", 7, "review"),
    ("if: $scan.malware_found = true", "if: $scan.malware_found > 5", "condition_type", 10, "bool"),
    (BY_HAND, "command: ls", "bad_command", 15, "CACAO command"),
    (ASK, "- continue: release", "continue_not_here", 15, "handler"),
    (ASK, "- parallel: [[{manual: A}]]", "too_few_branches", 15, "branches"),
    (ASK, "- just words", "wrong_type", 15, "mapping"),
    (ASK, "- {switch: word, cases: {a: [{manual: A}]}}", "bad_reference", 15, "$scan.verdict"),
    (ASK, "- {switch: $word, cases: {}}", "empty", 15, "at least one"),
    ("text: Help}}\n", "text: Help}}\n    - continue: nowhere\n", "unknown_step", 20, "no step"),
    ("text: Help}}\n", "text: Help}}\n    - continue: tell\n", "continue_backwards", 20, "later step"),
    ("text: Help}}\n", "text: Help}}\n    - continue: block\n", "continue_elsewhere", 20, "another branch"),
    ("text: Help}}\n", "text: Help}, on_failure: call}\n", "handler_loop", 19, "leads back"),
    ("handlers:", "on_exception: cal\nhandlers:", "unknown_handler", 17, "Did you mean call?"),
    ("handlers:", "modified: yesterday\nhandlers:", "bad_time", 17, "2026-11-23"),
    ("handlers:", "types: [remediaton]\nhandlers:", "unknown_word", 17, "Did you mean remediation?"),
    ("handlers:", "urgency: now\nhandlers:", "unknown_word", 17, "immediate"),
    ("handlers:", "triggers: [{when: 'alert:severity_id >> 3'}]\nhandlers:", "expression_syntax", 17, "character"),
    ("handlers:", "triggers: [{when: '__word__:value = 1'}]\nhandlers:", "variable_in_trigger", 17, "alert:"),
    ("handlers:", "triggers: [{when: 'alert:x = 1', start: now}]\nhandlers:", "unknown_word", 17, "automatic"),
]  # fmt: skip


def told(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_good_playbook_is_good() -> None:
    assert load(GOOD).slug == "story"


@pytest.mark.parametrize(("good", "bad", "code", "line", "said"), MISTAKES, ids=[f"{m[2]}: {m[1]}" for m in MISTAKES])
def test_a_mistake_is_told_with_its_line(good: str, bad: str, code: str, line: int, said: str) -> None:
    assert GOOD.count(good) >= 1
    with pytest.raises(Invalid) as caught:
        load(GOOD.replace(good, bad, 1))
    found = [(problem.code, problem.line) for problem in caught.value.problems]
    assert (code, line) in found
    problem = caught.value.problems[found.index((code, line))]
    assert said in f"{problem.message} {problem.mend}"
    assert problem.pointer
    assert problem.column


def test_a_lonely_mistake_is_told_once() -> None:
    lonely = [mistake for mistake in MISTAKES if mistake[2] in ("bad_duration", "unknown_verb", "unknown_output")]
    for good, bad, code, _, _ in lonely:
        assert [line.split(": ")[1] for line in told(GOOD.replace(good, bad, 1))] == [code]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_text() -> None:
    text = GOOD
    for good, bad in (
        ("review: 24h", "review: soon"), ("$collect.items", "$collect.item"), ("max: 3, ", ""),
        ("on_timeout: deny", "on_timeout: maybe"), ("text: Help", "txt: Help"),
    ):  # fmt: skip
        text = text.replace(good, bad, 1)
    codes = [line.split(": ")[1] for line in told(text)]
    assert codes == [
        "bad_duration", "unknown_output", "while_without_max", "unknown_word", "missing_parameter", "unknown_parameter"
    ]  # fmt: skip


def test_a_place_is_line_and_column_of_the_word() -> None:
    assert told(GOOD.replace("do: isolate_host", "do: isolate_hosst", 1))[0].startswith("7:23: unknown_verb")
    assert told(GOOD.replace("review: 24h", "reveiw: 24h", 1))[1].startswith("7:86: unknown_key")


@pytest.mark.parametrize("text", ["", "just words", "[]", "- a", "id: a\nname: A", "id: a\nname: A\nsteps: 5"])
def test_what_is_no_playbook_at_all_is_refused(text: str) -> None:
    assert told(text)


def test_a_handler_of_the_last_resort_may_not_continue() -> None:
    text = GOOD.replace("on_failure: call", "partial: ok").replace(
        "text: Help}}\n", "text: Help}}\n    - continue: block\n"
    )
    assert "continue_from_exception" in " ".join(told(text + "on_exception: call\n"))


def test_a_loop_may_ask_for_what_it_did_itself() -> None:
    assert load(
        GOOD.replace("alert:x = 1", "$probe.n > 1").replace(
            "{manual: Look", "{id: probe, outputs: {n: int}, manual: Look"
        )
    )


def test_siblings_do_not_know_of_one_another_but_what_follows_knows_both() -> None:
    head = "id: a\nname: A\nsteps:\n  - parallel:\n      - [{id: a, manual: A, outputs: {n: int}}]\n"
    assert [line.split(": ")[1] for line in told(head + "      - [{manual: B $a.n}]\n")] == ["not_before"]
    assert load(head + "      - [{manual: B}]\n  - {manual: C $a.n}\n")


def test_a_handler_may_speak_of_what_ran_before_the_failure() -> None:
    steps = (
        "steps:\n  - {id: a, manual: A, outputs: {n: int}}\n  - {id: b, manual: B, on_failure: h, outputs: {n: int}}\n"
    )
    handler = "handlers:\n  h: [{manual: About $a.n and $b.n}]\n"
    assert load(f"id: a\nname: A\n{steps}{handler}")


def test_what_a_terminal_handler_asked_is_never_known_after_success() -> None:
    branches = "[[{id: a, manual: A, on_failure: h}], [{manual: B}]]"
    handler = "handlers:\n  h: [{id: ask, manual: H, outputs: {n: int}}]\n"
    after = f"id: a\nname: A\nsteps:\n  - parallel: {branches}\n  - {{manual: C $ask.n}}\n{handler}"
    assert [line.split(": ")[1] for line in told(after)] == ["not_before"]


def test_the_last_resort_may_speak_of_everything_that_ran() -> None:
    steps = "steps:\n  - parallel: [[{id: a, manual: A, outputs: {n: int}}], [{manual: B}]]\n"
    assert load(f"id: a\nname: A\n{steps}handlers:\n  h: [{{manual: About $a.n}}]\non_exception: h\n")


def test_a_graph_in_circles_is_found_whatever_it_came_from() -> None:
    playbook = load(GOOD)
    workflow = dict(playbook.workflow)
    first, last = (
        next(s for s in workflow.values() if s.soar and s.soar.slug == name) for name in ("isolate", "release")
    )
    workflow[last.id] = replace(last, on_success=first.id)
    found = problems(replace(playbook, workflow=workflow), Places())
    assert [problem.code for problem in found] == ["step_loop", "unreachable_step"]  # nobody comes to the end
    assert "isolate, collect, scan" in found[0].message


def test_a_step_that_leads_nowhere_is_found() -> None:
    playbook = load(GOOD)
    workflow = {
        key: replace(step, on_success="") if isinstance(step, ActionStep) and step.name == "ask" else step
        for key, step in playbook.workflow.items()
    }
    found = problems(replace(playbook, workflow=workflow), Places())
    assert "no_next_step" in [problem.code for problem in found]


def test_a_large_playbook_is_checked_in_a_moment() -> None:
    steps = "".join(f"- {{id: s{n}, manual: Say $s{n - 1}.n, outputs: {{n: int}}}}\n" for n in range(1, 1_500))
    text = f"id: a\nname: A\nsteps:\n- {{id: s0, manual: Go, outputs: {{n: int}}}}\n{steps}"
    assert len(load(text).workflow) == 1_502


def test_every_rule_says_what_it_is_for() -> None:
    assert len(RULES) == len(set(RULES))
    assert all(rule.__doc__ for rule in RULES)
