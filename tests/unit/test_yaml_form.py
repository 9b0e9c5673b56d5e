"""Playbooks in YAML become the CACAO model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soar import strict_yaml
from soar.errors import Invalid
from soar.playbook import durations
from soar.playbook.cacao import cacao_form
from soar.playbook.document import EXTENSION
from soar.playbook.model import (
    ActionStep,
    Approval,
    EndStep,
    IfStep,
    ParallelStep,
    Playbook,
    Retry,
    Soar,
    SwitchStep,
    WhileStep,
    one_step,
)
from soar.playbook.yaml.yaml_form import load
from tests.conftest import ROOT

SAY = "do: notify, with: {team: on-call, text: Hello}"
HEAD = "id: story\nname: Story\n"


def slug(playbook: Playbook, name: str) -> Any:
    return next(step for step in playbook.workflow.values() if step.soar and step.soar.slug == name)


def at(playbook: Playbook, path: str) -> Any:
    return next(step for step in playbook.workflow.values() if step.soar and step.soar.path == path)


@pytest.fixture(scope="module")
def host() -> Playbook:
    return load((ROOT / "playbooks" / "library" / "compromised-host.yaml").read_bytes())


def test_the_head_of_a_playbook_is_read(host: Playbook) -> None:
    assert (host.slug, host.name, host.urgency) == ("compromised-host", "Contain a compromised host", "immediate")
    assert host.playbook_types == ("investigation", "mitigation", "remediation")
    assert (host.triggers[0].start, host.triggers[0].rerun) == ("propose", "on_new_entity")
    assert host.variables["accounts"].required is False
    assert host.variables["hosts"].from_ == "scope.hosts.affected"
    assert host.variables["watch_for"].default == "72h"


def test_a_step_keeps_everything_that_was_said_of_it(host: Playbook) -> None:
    isolate = slug(host, "isolate").soar
    assert isolate == Soar(
        slug="isolate", path="contain/0/isolate", verb="isolate_host", with_={"host": "$host", "allow": ["soc"]},
        for_each="$hosts", as_="host", review=86_400, partial_ok=True,
    )  # fmt: skip
    contain = slug(host, "contain").soar
    assert contain.together
    assert contain.approval == Approval(
        any_of=("asset_owner", "responder"), persons=1, within=600, on_timeout="escalate"
    )
    assert slug(host, "release").soar.undo == ("isolate", "disable")
    assert slug(host, "watch").soar.for_ == "$watch_for"
    assert slug(host, "confirm").soar.outputs == {"restored": "bool"}


def test_sequences_become_pointers_and_branches_return(host: Playbook) -> None:
    contain = slug(host, "contain")
    assert isinstance(contain, ParallelStep)
    assert contain.on_success == slug(host, "collect").id
    assert [host.workflow[head].label for head in contain.next_steps] == ["contain/0/isolate", "contain/1/disable"]
    assert slug(host, "disable").on_success == slug(host, "revoke").id
    ends = [step for step in host.workflow.values() if isinstance(step, EndStep)]
    assert len(ends) == 5
    assert host.workflow[slug(host, "revoke").on_success] in ends


def test_a_handler_leads_on_to_the_step_where_it_continues(host: Playbook) -> None:
    handler = at(host, "handlers/not_contained/1-notify")
    assert slug(host, "contain").on_failure == handler.id
    assert handler.on_success == slug(host, "collect").id


def test_conditions_become_stix_comparisons(host: Playbook) -> None:
    found = slug(host, "found")
    assert isinstance(found, IfStep)
    assert found.condition == "__scan__malware_found__:value = true"
    assert found.on_true == slug(host, "kill").id
    assert found.on_false == ""


def test_a_foreign_engine_finds_a_question_in_words_for_every_action(host: Playbook) -> None:
    isolate = slug(host, "isolate")
    assert isolate.commands[0]["command"] == (
        'Isolate host: host = __host__:value, allow = ["soc"]. Do it for each __host__ in __hosts__:value. '
        "Review it within 1d."
    )
    assert isolate.commands[0]["playbook_activity"] == "disconnect-system"
    assert host.agent_definitions[isolate.agent] == {
        "type": "security-category", "name": "endpoint", "category": ["endpoint"]
    }  # fmt: skip
    said = {command["playbook_activity"] for step in host.workflow.values() if isinstance(step, ActionStep)
            for command in step.commands if "playbook_activity" in command}  # fmt: skip
    assert set(host.playbook_activities) == said


def test_the_same_text_gives_the_same_ids_and_digest(host: Playbook) -> None:
    text = (ROOT / "playbooks" / "library" / "compromised-host.yaml").read_text()
    assert load(text) == host
    assert load(text).digest == host.digest
    assert load(text.replace("persons: 1", "persons: 2", 1)).digest != host.digest


def test_the_document_passes_the_schemas_of_oasis(host: Playbook, samples: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    import referencing

    folder = samples / "cacao" / "schemas"
    schemas = [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]
    registry: referencing.Registry[Any] = referencing.Registry().with_contents(
        (schema["$id"], schema) for schema in schemas
    )
    main = next(schema for schema in schemas if schema["title"] == "playbook")
    validator = jsonschema.Draft7Validator(main, registry=registry)
    for playbook in (host, load(ALL_FORMS), one_step("direct-release", "Release", Soar(slug="r", undo=("x",)))):
        document = cacao_form.to_document(playbook)
        assert [error.message for error in validator.iter_errors(document)] == []
        document["workflow_start"] = 7
        assert list(validator.iter_errors(document))


ALL_FORMS = f"""
id: all-forms
name: All forms
labels: [test]
urgency: normal
variables:
  hosts: {{type: list, from: scope.hosts.affected, required: true, description: Hosts}}
  limit: {{type: int, default: 3}}
  strict: {{type: bool, default: false}}
  extra: {{type: dict, default: {{a: [1, 2.5, null]}}}}
  word: {{type: any, default: "5"}}
  name: {{type: str, default: x, required: false}}
steps:
  - {{id: wait, delay: 500ms, timeout: 10m, retry: {{max: 3, backoff: 30s}}, phase: detection, {SAY}}}
  - {{id: ask, name: Ask, description: Why, manual: "Is $name well?", outputs: {{well: bool, kind: str}}, within: 4h}}
  - id: loop
    while: $ask.well = false
    max: 5
    steps:
      - {{{SAY}, continue_on_failure: true}}
  - id: which
    switch: $ask.kind
    cases:
      mail: [{{id: mail, do: block_sender, with: {{sender: a@b.example}}, lease: 7d}}]
      web site: [{{id: web, do: block_url, with: {{url: "https://x.example/", duration: 1h}}, lease: 7d}}]
    default:
      - {{id: other, {SAY}}}
  - if: $limit > 2 AND $ask.kind IN ('a', 'b') OR alert:severity_id = 5
    then: [{{id: yes_then, {SAY}}}]
    else: [{{id: no_else, on_failure: stop, {SAY}}}]
  - {{id: take_back, undo: mail, reason: mistaken, approval: {{any_of: [responder], within: 1h, on_timeout: deny}}}}
handlers:
  stop: [{{{SAY}}}]
on_exception: stop
"""


def test_every_form_of_step_is_read() -> None:
    playbook = load(ALL_FORMS)
    wait = slug(playbook, "wait")
    assert (wait.delay, wait.timeout, wait.soar.retry) == (500, 600_000, Retry(max=3, backoff=30))
    assert wait.soar.phase == "detection"
    ask = slug(playbook, "ask")
    assert (ask.name, ask.description, ask.soar.manual, ask.soar.within) == ("Ask", "Why", "Is $name well?", 14_400)
    assert ask.out_args == ("__ask__well__", "__ask__kind__")
    assert ask.commands[0]["command"] == "Is __name__:value well?"
    loop = slug(playbook, "loop")
    assert isinstance(loop, WhileStep)
    assert (loop.condition, loop.soar.max if loop.soar else 0) == ("__ask__well__:value = false", 5)
    body = at(playbook, "loop/steps/1-notify")
    assert (loop.on_true, body.on_success, isinstance(playbook.workflow[body.on_completion], EndStep)) == (
        body.id, "", True
    )  # fmt: skip
    which = slug(playbook, "which")
    assert isinstance(which, SwitchStep)
    assert which.switch == "__ask__kind__:value"
    assert {name: playbook.workflow[head].label for name, head in which.cases.items()} == {
        "mail": "which/mail/mail", "web site": "which/web%20site/web", "default": "which/default/other"
    }  # fmt: skip
    assert playbook.workflow_exception == at(playbook, "handlers/stop/1-notify").id
    assert slug(playbook, "no_else").on_failure == playbook.workflow_exception
    ended = playbook.workflow[at(playbook, "handlers/stop/1-notify").on_success]
    assert ended.soar is not None
    assert ended.soar.ends == "failed"
    assert slug(playbook, "take_back").soar.undo == ("mail",)
    assert playbook.playbook_processing_summary == {
        "if_logic": True, "while_logic": True, "switch_logic": True, "temporal_logic": True, "extensions": True
    }  # fmt: skip


def documents() -> Iterator[Playbook]:
    for path in sorted((ROOT / "playbooks" / "library").glob("*.yaml")):
        yield load(path.read_bytes())
    yield load(ALL_FORMS)
    yield one_step("direct", "Direct", Soar(slug="d", verb="notify", with_={"team": "on-call", "text": "x"}))


def test_cacao_and_back_is_exact() -> None:
    for playbook in documents():
        document = cacao_form.to_document(playbook)
        back = cacao_form.from_document(json.loads(json.dumps(document, sort_keys=True)))
        assert back == playbook
        assert cacao_form.to_document(back) == document
        assert cacao_form.load(json.dumps(document)) == playbook
        assert document["playbook_extensions"][EXTENSION]["slug"] == playbook.slug


def test_outputs_of_steps_are_declared_as_variables_of_the_document(host: Playbook) -> None:
    variables = cacao_form.to_document(host)["playbook_variables"]
    assert variables["__scan__malware_found__"] == {"type": "bool"}
    assert variables["__watch_for__"] == {
        "type": "duration", "value": "72h", "description": "How long to watch after the release"
    }  # fmt: skip
    assert set(cacao_form.from_document(cacao_form.to_document(host)).variables) == {"hosts", "accounts", "watch_for"}


def test_foreign_playbooks_are_read_or_refused_with_the_place(samples: Path) -> None:
    folder = samples / "cacao" / "playbooks-oasis"
    basic = json.loads((folder / "basic-example-1.json").read_text())
    playbook = cacao_form.from_document(basic)
    assert cacao_form.to_document(playbook) == basic
    assert playbook.kept == {"playbook_processing_summary": {}}  # it is empty, and that is kept
    spec = json.loads((folder / "spec-3.1-example.json").read_text())
    assert cacao_form.to_document(cacao_form.from_document(spec)) == spec
    basic["workflow"]["action--6398eb05-3eb8-43f5-87d3-f24e07492a41"]["commands"][0]["type"] = "ftp"
    with pytest.raises(Invalid) as caught:
        cacao_form.load(json.dumps(basic))
    assert [(each.code, each.pointer.partition("--")[0]) for each in caught.value.problems] == [
        ("unknown_command_type", "/workflow/action")
    ]


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"type": "report"}, "not_cacao", "/type"),
        ({"spec_version": "1.1"}, "not_cacao", "/spec_version"),
        ({"workflow_start": "start--0"}, "dangling_step", "/workflow_start"),
        ({"workflow": []}, "wrong_type", "/workflow"),
        ({"labels": ["a", 1]}, "wrong_type", "/labels/1"),
        ({"priority": True}, "wrong_type", "/priority"),
        ({"name": None}, "wrong_type", "/name"),
        ({"playbook_variables": {"x": {"type": "string"}}}, "bad_name", "/playbook_variables/x"),
        (
            {"playbook_variables": {"__x__": {"type": "integer", "value": "a"}}},
            "wrong_type", "/playbook_variables/__x__/value",
        ),
        ({"workflow": {"odd--1": {"type": "odd"}}}, "unknown_step_type", "/workflow/odd--1/type"),
        ({"workflow": {"end--1": {"type": "start"}}}, "bad_id", "/workflow/end--1"),
        ({"playbook_extensions": {EXTENSION: {"slug": 1}}}, "wrong_type", f"/playbook_extensions/{EXTENSION}/slug"),
    ],
)  # fmt: skip
def test_a_broken_document_is_refused_with_the_place(
    samples: Path, change: dict[str, Any], code: str, pointer: str
) -> None:
    document = json.loads((samples / "cacao" / "playbooks-oasis" / "spec-3.1-example.json").read_text()) | change
    with pytest.raises(Invalid) as caught:
        cacao_form.from_document(document)
    assert (code, pointer) in [(each.code, each.pointer) for each in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("10m", 600), ("24h", 86_400), ("7d", 604_800)]
)
def test_durations_are_read_and_written(text: str, seconds: float) -> None:
    assert durations.seconds(text) == seconds
    assert durations.seconds(durations.written(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "5", "1.5h", "-3s", "3 s", "10w", "99999d", "٣s", 5, None, True])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(Invalid, match="no duration"):
        durations.seconds(text)


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.just(2**60) | st.sampled_from(
    ["a", "ssh", "do", "notify", "$x", "$a.b", "5s", "", "isolate_host", "alert:x = 1", "__", "ok"]
)  # fmt: skip
KEYS = ["id", "do", "with", "if", "then", "else", "while", "max", "steps", "parallel", "switch", "cases", "default",
        "undo", "manual", "outputs", "approval", "retry", "for_each", "as", "on_failure", "continue", "lease", "for",
        "handlers", "on_exception", "variables", "triggers", "when", "type", "from", "name", "command", "playbook",
        "any_of", "delay", "partial", "phase", "created", "types", "agents", "targets", "authentication", "secret",
        "schedules", "cron", "inputs", "in", "out", "agent", "external_references", "marking_definitions", "markings",
        "owner", "version", "external", "constant", "id", "activities"]  # fmt: skip
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
)


def read_or_refused(data: Any) -> bool:
    """Whether the document is good; one that is refused names a line for each problem."""
    try:
        playbook = load(json.dumps(data))
    except Invalid as error:
        bad = [problem for problem in error.problems if not problem.line]
        if bad or not error.problems:
            pytest.fail(f"refused without a place: {bad}")
        return False
    back = cacao_form.from_document(cacao_form.to_document(playbook))
    if back != playbook or back.digest != playbook.digest:
        pytest.fail("changed on its way through CACAO")
    return True


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), anything), st.lists(anything, max_size=4))
def test_no_document_whatever_brings_anything_but_a_playbook_or_invalid(top: dict[str, Any], steps: list[Any]) -> None:
    read_or_refused({"id": "a", "name": "A", **top, "steps": steps})


def spots(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document where a value stands: its container and its key there."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, dict | list):
            yield from spots(value)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_good_playbook_with_one_value_changed_is_read_or_refused_with_a_line(data: st.DataObject) -> None:
    library = (ROOT / "playbooks" / "library" / "compromised-host.yaml").read_text()
    document = strict_yaml.parse(data.draw(st.sampled_from([library, ALL_FORMS]))).value
    container, key = data.draw(st.sampled_from(list(spots(document))))
    if data.draw(st.booleans()):
        container[key] = data.draw(anything)
    else:
        del container[key]
    read_or_refused(document)
