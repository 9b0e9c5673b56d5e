"""What changed between two versions of a playbook is told in words, all of it, and nothing else."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from playbooks import shipped
from soar import strict_json
from soar.errors import Invalid
from soar.expressions import parse
from soar.playbook.cacao import cacao_form
from soar.playbook.compare.diff import GROUPS, changes
from soar.playbook.compare.diff_steps import Change
from soar.playbook.compare.expression_order import compared
from soar.playbook.document import to_document
from soar.playbook.model import EndStep, IfStep, Playbook, StartStep, Step
from soar.playbook.pictures.picture import picture
from soar.playbook.yaml import yaml_form
from tests.unit.playbook_shapes import foreign, graphs, structured

BASE = """\
id: story
name: Story
description: A host is contained.
urgency: normal
triggers:
  - {when: "alert:severity_id >= 4 AND alert:kind IN ('a', 'b')", start: propose}
variables:
  hosts: {type: list, from: scope.hosts.affected}
  days: {type: duration, default: 72h, description: How long}
on_exception: last
steps:
  - id: contain
    parallel:
      - - {id: isolate, do: isolate_host, for_each: $hosts, as: host, with: {host: $host, allow: [soc]}, review: 24h}
      - - {id: collect, do: collect_evidence, for_each: $hosts, as: host, with: {host: $host, items: [memory]}}
    together: true
    approval: {any_of: [responder, approver], persons: 2, within: 10m, on_timeout: escalate}
    on_failure: call
  - {id: scan, do: scan, with: {incident: incident, evidence: $collect.items}, timeout: 30m}
  - {id: block, do: block_indicators, with: {from: incident}, lease: 7d, retry: {max: 3, backoff: 5s}}
  - id: found
    if: $scan.malware_found = true
    then:
      - id: kill
        do: kill_process
        for_each: $scan.processes
        as: p
        with: {host: $p.host, pid: $p.pid}
        approval: {any_of: [responder], persons: 1, within: 30m, on_timeout: deny}
      - {do: notify, with: {team: on-call, text: Found}}
    else:
      - {do: notify, with: {team: on-call, text: Nothing}}
  - {id: again, while: "incident:spreading = true", max: 3, steps: [{do: notify, with: {team: on-call, text: More}}]}
  - {id: check, do: verify_clean, for_each: $hosts, as: host, with: {host: $host}}
  - id: release
    undo: [isolate]
    reason: recovered
    approval: {any_of: [responder], persons: 1, within: 4h, on_timeout: deny}
  - {id: watch, do: watch, for_each: $hosts, as: host, with: {host: $host}, for: $days}
  - {id: confirm, manual: Is it back?, outputs: {back: str}, within: 4h, on_timeout: escalate}
  - id: which
    switch: $confirm.back
    cases: {yes: [{do: notify, with: {team: a, text: Back}}], no: [{do: notify, with: {team: a, text: Gone}}]}
handlers:
  call:
    - {do: notify, with: {team: on-call, text: Not contained}}
    - continue: scan
  last:
    - {do: notify, with: {team: on-call, text: All is lost}}
"""


def load(text: str | bytes) -> Playbook:
    """A playbook as it is written, whatever its checker says: what is to be compared may be a worse version."""
    playbook, _, noted = yaml_form.read(text)
    assert not noted, noted
    return playbook


HEAD, _, REST = BASE.partition("steps:")
CHECK = "  - {id: check, do: verify_clean, for_each: $hosts, as: host, with: {host: $host}}\n"
WATCH = "  - {id: watch, do: watch, for_each: $hosts, as: host, with: {host: $host}, for: $days}\n"
WIPE = "  - {id: wipe, do: wipe_device, for_each: $hosts, as: host, with: {host: $host}}\n"
CALL = "  call:\n    - {do: notify, with: {team: on-call, text: Not contained}}\n    - continue: scan\n"
APPROVAL = "    approval: {any_of: [responder, approver], persons: 2, within: 10m, on_timeout: escalate}\n"

KINDS: list[tuple[str, str, str, str, str]] = [
    # what stands there, what is written instead, guard, code, part of the message
    (APPROVAL, "", "loosened", "approval", "contain: no longer asks for approval"),
    ("persons: 2", "persons: 1", "loosened", "approval_persons", "contain: asks 1 instead of 2 persons"),
    ("[responder, approver]", "[responder]", "tightened", "approval_roles", "contain: responder may approve"),
    ("within: 10m", "within: 1h", "", "approval_within", "time to approve 10m -> 1h"),
    ("on_timeout: deny", "on_timeout: go_on", "loosened", "approval_on_timeout", "silence lets it go on"),
    ("together: true\n", "together: false\n", "loosened", "together", "all of them or none yes -> no"),
    ("lease: 7d", "lease: 30d", "loosened", "lease", "block: lease 7d -> 30d"),
    ("review: 24h", "review: 12h", "tightened", "review", "isolate: review 1d -> 12h"),
    ("review: 24h", "review: 24h, partial: ok", "loosened", "partial_ok", "isolate: goes on when some targets fail"),
    ("timeout: 30m", "timeout: 2h", "loosened", "timeout", "scan: timeout 30m -> 2h"),
    ("timeout: 30m", "timeout: 30m, delay: 5s", "", "delay", "scan: delay none -> 5s"),
    ("retry: {max: 3", "retry: {max: 5", "", "retry", "block: retry at most 3 attempts"),
    ("max: 3, steps", "max: 9, steps", "loosened", "max", "again: turns at most 3 -> 9"),
    ("incident:spreading = true", "incident:spreading != true", "", "condition", "again: condition"),
    ("malware_found = true", "malware_found = false", "", "condition", "found: condition $scan.malware_found is true"),
    ("allow: [soc]", "allow: [soc, vpn]", "", "parameter", "isolate: allow soc -> soc, vpn"),
    (", allow: [soc]", "", "", "parameter", "isolate: allow soc -> none"),
    ("id: check, do: verify_clean", "id: check, do: rebuild_host", "loosened", "verb", "rebuild host (destructive)"),
    ("reason: recovered", "reason: mistaken", "loosened", "reason", "release: reason recovered -> mistaken"),
    ("manual: Is it back?", "manual: Is it well?", "", "manual", "confirm: asks Is it back? -> Is it well?"),
    ("{back: str}", "{back: str, who: str}", "", "outputs", "confirm: answers"),
    ("within: 4h, on_timeout: escalate}", "within: 8h, on_timeout: escalate}", "", "within", "time to answer"),
    ("for: $days", "for: 24h", "", "for", "watch: goes on for $days -> 1d"),
    ("text: Found}}", "text: Found}, continue_on_failure: true}", "loosened", "continue_on_failure", "now goes on"),
    ("for: $days}", "for: $days, phase: containment}", "", "phase", "watch: phase none -> containment"),
    (CHECK, "", "loosened", "step_removed", "step 'check' removed (verify clean)"),
    (CHECK, WIPE + CHECK, "loosened", "step_added",
     "new step 'wipe' (wipe device, destructive) after 'again'"),
    ("    then:\n", "    then:\n      - {do: notify, with: {team: a, text: First}}\n", "", "step_added",
     "new step 'notify' (notify) as the first one, in found, when yes"),
    (WATCH, WATCH + CHECK.replace("check", "once"), "tightened", "step_added", "'once' (verify clean) after 'watch'"),
    ("{id: scan, do", "{id: scan, on_failure: last, do", "", "on_failure", "of scan goes to the last resort"),
    ("- continue: scan", "- continue: block", "", "handler_end", "handler call now goes on at 'block'"),
    ("    - continue: scan\n", "", "", "handler_end", "handler call now ends as failed (before: goes on at 'scan')"),
    ("cases: {yes:", "cases: {ja:", "", "case", "which: case 'yes' is now 'ja'"),
    ("severity_id >= 4", "severity_id >= 3", "loosened", "trigger", "trigger is wider"),
    ("IN ('a', 'b')", "IN ('a')", "tightened", "trigger", "trigger is narrower"),
    ("alert:kind IN", "alert:sort IN", "", "trigger", "trigger changed"),
    ("start: propose", "start: automatic", "loosened", "trigger_start", "starts by itself"),
    ("start: propose}", "start: propose, rerun: on_new_entity}", "loosened", "trigger_rerun", "runs again"),
    ("urgency: normal", "urgency: immediate", "loosened", "urgency", "urgency normal -> immediate"),
    ("scope.hosts.affected}", "scope.hosts.all}", "", "variable_from", "variable hosts: taken from"),
    ("scope.hosts.affected}", "scope.hosts.affected, required: false}", "loosened", "variable_required",
     "variable hosts is no longer required"),
    ("default: 72h", "default: 24h", "", "variable_default", "variable days: default 72h -> 24h"),
    ("type: list", "type: any", "", "variable_type", "variable hosts: type list -> any"),
    ("on_exception", "  more: {type: str, default: x}\non_exception", "", "variable", "new variable more (str)"),
    ("name: Story", "name: Tale", "", "name", "name Story -> Tale"),
    ("description: A host", "description: One host", "", "description", "description A host"),
    ("description: How long", "description: How much", "", "variable_description", "variable days: description"),
    ("urgency:", "labels: [x]\nurgency:", "", "labels", "labels none -> x"),
    ("urgency:", "types: [mitigation]\nurgency:", "", "playbook_types", "playbook types none -> mitigation"),
    ("urgency:", "modified: 2026-01-01T00:00:00.000Z\nurgency:", "", "modified", "modified"),
    ("{id: scan,", "{id: scan, name: Look into it,", "", "name", "scan: name scan -> Look into it"),
    ("{id: scan,", "{id: scan, description: Look,", "", "description", "scan: description none -> Look"),
]  # fmt: skip
OPPOSITE = {"loosened": "tightened", "tightened": "loosened", "": ""}
ONE_WAY = {"step_added", "step_removed", "on_failure", "workflow_exception"}


def said(found: list[Change]) -> list[str]:
    return [each.message for each in found]


@pytest.mark.parametrize(
    ("old", "new", "guard", "code", "words"), KINDS, ids=[f"{each[3]}-{number}" for number, each in enumerate(KINDS)]
)
def test_one_change_is_one_line_that_says_it_and_whether_a_guard_is_loosened(
    old: str, new: str, guard: str, code: str, words: str
) -> None:
    assert BASE.count(old) >= 1
    before, after = load(BASE), load(BASE.replace(old, new, 1))
    found = changes(before, after)
    assert [(each.code, each.guard) for each in found] == [(code, guard)], said(found)
    assert words in found[0].message
    back = changes(after, before)
    assert len(back) == 1
    if code not in ONE_WAY:
        assert (back[0].code, back[0].guard) == (code, OPPOSITE[guard])


def test_a_step_that_stands_elsewhere_has_moved_and_nothing_else_has() -> None:
    moved = BASE.replace(CHECK, "").replace(WATCH, WATCH + CHECK)
    assert said(changes(load(BASE), load(moved))) == ["step 'check' moved before 'confirm'"]
    inside = BASE.replace(CHECK, "").replace("    then:\n", "    then:\n    " + CHECK)
    assert said(changes(load(BASE), load(inside))) == [
        "step 'check' moved from the main sequence to found, when yes, before 'kill'"
    ]


def test_a_handler_that_goes_is_told_with_what_happens_now() -> None:
    gone = BASE.replace("    on_failure: call\n", "").replace(CALL, "")
    assert said(changes(load(BASE), load(gone))) == [
        "handler call removed (Notify)",
        "on failure of contain nothing is done, what it stands in fails (before: goes to the handler call)",
    ]


def test_a_last_resort_that_goes_loosens_a_guard() -> None:
    gone = BASE.replace("on_exception: last\n", "").partition("  last:")[0]
    assert said(changes(load(BASE), load(gone))) == [
        "when anything else fails: there is no last resort (before: the last resort is 'notify')",
        "step 'notify' removed (notify), in the last resort",
    ]


def test_a_case_that_goes_takes_its_steps_along() -> None:
    gone = BASE.replace(", no: [{do: notify, with: {team: a, text: Gone}}]", "")
    assert said(changes(load(BASE), load(gone))) == [
        "step 'notify' removed (notify), in which, case no", "which: case 'no' removed",
    ]  # fmt: skip


def test_a_new_name_is_told_once_however_often_it_is_used() -> None:
    renamed = (
        BASE.replace("id: scan,", "id: look,").replace("$scan.", "$look.").replace("continue: scan", "continue: look")
    )
    found = changes(load(BASE), load(renamed))
    assert [(each.group, each.message) for each in found] == [("words", "scan is now called look")]


def test_a_handler_can_have_another_name() -> None:
    renamed = BASE.replace("on_failure: call", "on_failure: ring").replace("  call:\n", "  ring:\n")
    assert said(changes(load(BASE), load(renamed))) == ["handler call is now called ring"]


def test_branches_at_the_same_time_have_no_order() -> None:
    one, two = (line for line in BASE.splitlines() if line.startswith("      - - "))
    swapped = BASE.replace(one, "HERE").replace(two, one).replace("HERE", two)
    assert [each.code for each in changes(load(BASE), load(swapped))] == ["form"]


def test_a_branch_put_before_the_others_does_not_move_them() -> None:
    more = BASE.replace("    parallel:\n", "    parallel:\n      - - {do: notify, with: {team: a, text: Now}}\n")
    assert said(changes(load(BASE), load(more))) == [
        "new step 'notify' (notify) as the first one, in contain, branch 1"
    ]


def test_what_acts_comes_first_and_loosened_guards_before_the_rest() -> None:
    text = (
        BASE.replace("name: Story", "name: Tale")
        .replace("default: 72h", "default: 1h")
        .replace("lease: 7d", "lease: 9d")
    )
    text = text.replace("review: 24h", "review: 12h").replace("allow: [soc]", "allow: [vpn]")
    found = changes(load(BASE), load(text))
    assert [(each.group, each.guard) for each in found] == [
        ("acts", "loosened"), ("acts", "tightened"), ("acts", ""), ("starts", ""), ("words", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("alert:a >= 4", "alert:a >= 3", "wider"), ("alert:a > 4", "alert:a >= 4", "wider"),
        ("alert:a = 4", "alert:a <= 4", "wider"), ("alert:a < 4", "alert:a < 5", "wider"),
        ("alert:a = 'x'", "alert:a IN ('x', 'y')", "wider"), ("alert:a = 1", "alert:a = 1 OR alert:b = 1", "wider"),
        ("alert:a = 1 AND alert:b = 1", "alert:a = 1", "wider"), ("alert:a = 1", "alert:a  =  1", ""),
        ("alert:a NOT >= 4", "alert:a NOT >= 3", ""), ("alert:a = 1", "alert:b = 1", ""), ("alert:a >= 4", "what", ""),
        ("(alert:a = 1 OR alert:b = 1) AND alert:c = 1", "alert:b = 1 OR alert:a = 1", "wider"),
        ("alert:a LIKE '%x'", "alert:a LIKE '%y'", ""),
    ],
)  # fmt: skip
def test_a_trigger_is_wider_only_where_that_is_certain(old: str, new: str, said: str) -> None:
    assert compared(old, new) == said
    assert compared(new, old) == {"wider": "narrower"}.get(said, said)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.sampled_from(["=", ">", ">=", "<", "<="]),
       st.sampled_from(["=", ">", ">=", "<", "<="]))  # fmt: skip
def test_what_is_called_wider_holds_wherever_the_old_one_did(
    value: int, low: int, high: int, one: str, other: str
) -> None:
    old, new = f"alert:a {one} {low}", f"alert:a {other} {high}"
    if compared(old, new) == "wider" and parse(old).evaluate({"alert": {"a": value}}):
        assert parse(new).evaluate({"alert": {"a": value}})


# --- laws --------------------------------------------------------------------------------------------


@given(structured() | graphs())
@settings(max_examples=40)
def test_nothing_changed_between_a_playbook_and_itself(playbook: Playbook) -> None:
    assert changes(playbook, playbook) == []
    assert changes(playbook, cacao_form.from_document(to_document(playbook))) == []


@given(structured() | graphs(), structured() | graphs())
@settings(max_examples=50)
def test_of_any_two_something_is_said_exactly_where_their_digests_differ(one: Playbook, other: Playbook) -> None:
    for found in (changes(one, other), changes(other, one)):
        assert bool(found) == (one.digest != other.digest)
        assert all(each.group in GROUPS and each.message and "\n" not in each.message for each in found)
        json.dumps([each.before for each in found] + [each.after for each in found])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a document that is no object or list."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in children:
        yield from leaves(each, (*path, key))
    if not isinstance(value, dict | list):
        yield path


DOCUMENT = to_document(load(BASE))
LEAVES = list(leaves(DOCUMENT))


@given(st.sampled_from(LEAVES), st.data())
@settings(max_examples=100)
def test_any_single_change_of_the_document_is_found(path: tuple[Any, ...], data: st.DataObject) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    here = document
    for key in path[:-1]:
        here = here[key]
    old = here[path[-1]]
    if isinstance(old, bool):
        here[path[-1]] = not old
    elif isinstance(old, int | float):
        here[path[-1]] = old + 1
    elif "--" in old:
        same_kind = [each for each in document["workflow"] if each.split("--")[0] != "start"]
        here[path[-1]] = data.draw(st.sampled_from(same_kind))
    else:
        here[path[-1]] = data.draw(st.sampled_from([old + "x", "other", "notify"]))
    before = cacao_form.from_document(DOCUMENT)
    try:
        after = cacao_form.from_document(document)
    except Invalid:
        assume(False)  # refused, so that there is nothing to compare
    found = changes(before, after)
    assert bool(found) == (before.digest != after.digest)


def test_new_ids_and_another_order_of_keys_are_no_change_of_what_it_does() -> None:
    text = json.dumps(to_document(load(BASE)))
    foreign = json.loads(text)
    foreign.pop("playbook_extensions")
    before = cacao_form.from_document(foreign)
    ids = [*before.workflow, *before.agent_definitions]
    numbers = random.Random(7)
    said_anew = json.dumps(foreign)
    for each in ids:
        said_anew = said_anew.replace(each, f"{each.partition('--')[0]}--{uuid.UUID(int=numbers.getrandbits(128))}")
    shuffled = json.loads(said_anew)
    for key in ("workflow", "agent_definitions"):
        shuffled[key] = dict(sorted(shuffled[key].items(), reverse=True))
    found = changes(before, cacao_form.from_document(shuffled))
    assert [each.code for each in found] == ["form"]
    assert "it does the same" in found[0].message


def test_a_number_that_no_digest_can_hold_is_refused_and_not_a_traceback() -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["priority"] = 2**60
    with pytest.raises(Invalid, match="number_too_large"):
        changes(cacao_form.from_document(DOCUMENT), cacao_form.from_document(document))


def test_branches_in_branches_without_end_are_compared_as_a_graph() -> None:
    def deep(text: str, depth: int) -> Playbook:
        workflow: dict[str, Step] = {"start--0": StartStep(id="start--0", on_completion="if-condition--0")}
        for number in range(depth):
            name, inside = f"if-condition--{number}", f"if-condition--{number + 1}" if number + 1 < depth else "end--0"
            workflow[name] = IfStep(id=name, condition=text, on_true=inside, on_success="end--0")
        return foreign({**workflow, "end--0": EndStep(id="end--0")})

    assert len(changes(deep("alert:a = 1", 400), deep("alert:a = 2", 400))) == 400
    assert picture(deep("alert:a = 1", 60)).startswith("<svg")


def test_versions_of_the_library_and_of_foreign_playbooks_compare(samples: Any) -> None:
    books = [load(path.read_bytes()) for path in shipped()]
    for file in sorted(samples.glob("cacao/playbooks-*/*.json")):
        try:
            books.append(cacao_form.from_document(strict_json.parse(file.read_bytes())))
        except Invalid:
            continue
    assert len(books) >= 12
    for one in books:
        for other in books:
            assert bool(changes(one, other)) == (one is not other)
