"""One mistake at a time in a good CACAO playbook: each is caught, or known to be legal."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soar.playbook.checks.codes import Severity
from soar.playbook.checks.examine import in_cacao

Document = dict[str, Any]
START = "start--fa16a4e9-e6b9-4658-b464-ca1632ff57f4"
ACTION = "action--6398eb05-3eb8-43f5-87d3-f24e07492a41"
END = "end--116cdac5-63f1-4d8f-b3a8-e5667936e9b6"
AGENT = "individual--75baba7d-a198-4c5c-805c-af616b4f7a31"
TARGET = "security-category--3c1daf98-7e22-4e0c-bb8c-6bd78159ca5d"
OTHER = "00000000-0000-4000-8000-000000000000"
NONE = object()


def put(path: str, value: Any = NONE) -> Callable[[Document], Any]:
    """Set what stands at a path of words (steps by START, ACTION and END), or remove it."""

    def change(document: Document) -> None:
        *way, last = (globals().get(word, word) for word in path.split("."))
        inside: Any = document
        for word in way:
            inside = inside[int(word)] if isinstance(inside, list) else inside.setdefault(word, {})
        if value is NONE:
            del inside[last]
        else:
            inside[int(last) if isinstance(inside, list) else last] = value

    return change


def rename(part: str, old: str, new: str) -> Callable[[Document], Any]:
    """Another key for one member, everywhere it is spoken of."""

    def change(document: Document) -> None:
        text = json.dumps(document).replace(old, new)
        document.clear()
        document.update(json.loads(text))

    return change


def branch(kind: str, **more: Any) -> Callable[[Document], Any]:
    """An opener between start and action, with a branch of one step."""

    def change(document: Document) -> None:
        opener, inner, end = f"{kind}--{OTHER}", f"action--{OTHER}", f"end--{OTHER}"
        workflow = document["workflow"]
        workflow[START]["on_completion"] = opener
        workflow[inner] = {**copy.deepcopy(workflow[ACTION]), "on_completion": end}
        workflow[end] = {"type": "end"}
        given = json.loads(json.dumps(more).replace('"HERE"', json.dumps(inner)))
        workflow[opener] = {"type": kind, "on_completion": ACTION, **given}

    return change


def command(**parts: Any) -> Callable[[Document], Any]:
    return put("workflow.ACTION.commands", [{"type": "ssh", "command": "ls", **parts}])


TEXT, NUMBER = {"type": "string", "value": "x"}, {"type": "integer", "value": "5"}
WHEN = {"condition": "__n__:value = 5", "on_true": "HERE"}

CAUGHT: list[tuple[str, str, Callable[[Document], Any]]] = [
    # what the schemas catch
    ("end with a pointer", "end_leads_on", put("workflow.END.on_completion", ACTION)),
    ("start with on_success", "bad_start", put("workflow.START.on_success", ACTION)),
    ("action without agent", "no_agent", put("workflow.ACTION.agent")),
    ("action without commands", "missing_property", put("workflow.ACTION.commands")),
    ("action with an empty list of commands", "no_commands", put("workflow.ACTION.commands", [])),
    ("delay as text", "wrong_type", put("workflow.ACTION.delay", "5")),
    ("month 13", "bad_time", put("created", "2023-13-19T01:09:00.000Z")),
    ("priority 101", "out_of_range", put("priority", 101)),
    ("severity -1", "out_of_range", put("severity", -1)),
    ("variable value as number", "wrong_type", put("playbook_variables", {"__a__": {"type": "integer", "value": 5}})),
    ("another spec_version", "not_cacao", put("spec_version", "cacao-1.1")),
    ("another type of object", "not_cacao", put("type", "playbok")),
    ("step type that is not its key's", "bad_id", put("workflow.ACTION.type", "playbook-action")),
    ("if without condition", "missing_property", branch("if-condition", on_true="HERE")),
    ("if with an empty condition", "no_condition", branch("if-condition", condition="", on_true="HERE")),
    ("on_true as a list", "wrong_type", branch("if-condition", condition="alert:x = 1", on_true=["HERE"])),
    ("parallel with one branch", "too_few_branches", branch("parallel", next_steps=["HERE"])),
    ("parallel with no branch", "too_few_branches", branch("parallel", next_steps=[])),
    ("the same branch twice", "branch_twice", branch("parallel", next_steps=["HERE", "HERE"])),
    ("case that leads to a list", "wrong_type",
     branch("switch-condition", switch="__n__:value", cases={"5": ["HERE"]})),
    # what they miss
    ("dangling workflow_start", "dangling_step", put("workflow_start", f"start--{OTHER}")),
    ("dangling workflow_exception", "dangling_step", put("workflow_exception", f"end--{OTHER}")),
    ("dangling on_completion", "dangling_step", put("workflow.ACTION.on_completion", f"end--{OTHER}")),
    ("dangling on_true", "dangling_step",
     branch("if-condition", condition="alert:x = 1", on_true=f"end--{OTHER[:-1]}1")),
    ("dangling case", "dangling_step",
     branch("switch-condition", switch="__n__:value", cases={"1": "HERE", "5": f"end--{OTHER[:-1]}1"})),
    ("dangling agent", "undefined_agent", put("workflow.ACTION.agent", f"individual--{OTHER}")),
    ("dangling target", "undefined_target", put("workflow.ACTION.targets", [f"ssh--{OTHER}"])),
    ("dangling marking", "undefined_marking", put("markings", [f"marking-tlp--{OTHER}"])),
    ("dangling extension of the playbook", "undefined_extension",
     put("playbook_extensions", {f"extension-definition--{OTHER}": {}})),
    ("dangling extension of a step", "undefined_extension",
     put("workflow.ACTION.step_extensions", {f"extension-definition--{OTHER}": {}})),
    ("step_extensions under no id", "undefined_extension", put("workflow.ACTION.step_extensions", {"mine": {}})),
    ("dangling authentication", "undefined_authentication",
     put("target_definitions.TARGET.authentication_info", f"user-auth--{OTHER}")),
    ("unused agent", "unused_definition",
     put(f"agent_definitions.individual--{OTHER}", {"type": "individual", "name": "Nobody"})),
    ("unused target", "unused_definition", put("workflow.ACTION.targets", [])),
    ("workflow_start that names an action", "no_start", put("workflow_start", ACTION)),
    ("on_completion beside on_success", "two_ways", put("workflow.ACTION.on_success", END)),
    ("on_completion beside on_failure", "two_ways", put("workflow.ACTION.on_failure", END)),
    ("no pointer at all", "no_next_step", put("workflow.ACTION.on_completion")),
    ("start that leads nowhere", "bad_start", put("workflow.START.on_completion")),
    ("no start", "dangling_step", put("workflow.START")),
    ("no end", "dangling_step", put("workflow.END")),
    ("no action", "dangling_step", put("workflow.ACTION")),
    ("a second start", "several_starts", put(f"workflow.start--{OTHER}", {"type": "start", "on_completion": ACTION})),
    ("a step that nothing leads to", "unreachable_step", put(f"workflow.end--{OTHER}", {"type": "end"})),
    ("a circle", "step_loop", put("workflow.ACTION.on_completion", ACTION)),
    ("a circle through the start", "step_loop", put("workflow.ACTION.on_completion", START)),
    ("a branch that goes on outside", "branch_leaves",
     branch("if-condition", condition="alert:x = 1", on_true=ACTION)),
    ("a branch that ends at the playbook's end", "branch_shared",
     branch("if-condition", condition="alert:x = 1", on_true=END)),
    ("ssh without command", "command_missing", put("workflow.ACTION.commands", [{"type": "ssh"}])),
    ("command and command_b64", "command_twice", command(command_b64="bHM=")),
    ("command_b64 that is no base64", "not_base64",
     put("workflow.ACTION.commands", [{"type": "ssh", "command_b64": "l s"}])),
    ("a rule outside of base64", "needs_base64", command(type="yara", command="rule x {condition: true}")),
    ("a command without type", "missing_property", put("workflow.ACTION.commands", [{"command": "ls"}])),
    ("a command of unknown type", "unknown_command_type", command(type="ftp")),
    ("a question beside a command", "mixed_commands",
     put("workflow.ACTION.commands", [{"type": "manual", "command": "Look"}, {"type": "ssh", "command": "ls"}])),
    ("a start line without version", "bad_start_line", command(type="http-api", command="GET /x")),
    ("header as text", "bad_headers", command(type="http-api", command="GET /x HTTP/1.1", headers={"Accept": "x"})),
    ("bearer token in a header", "literal_secret",
     command(type="http-api", command="GET /x HTTP/1.1", headers={"Authorization": ["Bearer abc"]})),
    ("password in the content", "literal_secret",
     command(type="http-api", command="POST /x HTTP/1.1", content='{"password": "hunter2"}')),
    ("password in base64", "literal_secret",
     command(type="http-api", command="POST /x HTTP/1.1", content_b64="eyJwYXNzd29yZCI6ICJodW50ZXIyIn0=")),
    ("password in a URL", "literal_secret", command(command="curl https://root:hunter2@host.example/")),
    ("private key in a script", "literal_secret", command(command="echo '-----BEGIN RSA PRIVATE KEY-----'")),
    ("password of an account", "literal_secret",
     put("authentication_info_definitions",
         {f"user-auth--{OTHER}": {"type": "user-auth", "username": "root", "password": "hunter2"}})),
    ("value of a variable that is a password", "literal_secret",
     put("playbook_variables", {"__password__": {"type": "string", "value": "hunter2"}})),
    ("unknown property of the playbook", "custom_property", put("colour", "red")),
    ("unknown property of a step", "custom_property", put("workflow.ACTION.on_sucess", END)),
    ("misspelt word in a command", "unknown_command_property", command(comand="ls")),
    ("negative delay", "out_of_range", put("workflow.ACTION.delay", -1)),
    ("negative timeout", "out_of_range", put("workflow.ACTION.timeout", -5)),
    ("timeout of a thousand years", "out_of_range", put("workflow.ACTION.timeout", 31_536_000_000_000)),
    ("times without milliseconds", "time_not_milliseconds", put("created", "2023-02-19T01:09:00Z")),
    ("time without zone", "bad_time", put("created", "2023-02-19T01:09:00.000")),
    ("modified before created", "bad_time", put("modified", "2022-02-19T01:09:00.000Z")),
    ("valid_until before valid_from", "bad_time",
     lambda d: d.update(valid_from="2026-01-02T00:00:00.000Z", valid_until="2026-01-01T00:00:00.000Z")),
    ("valid_until at valid_from", "bad_time",
     lambda d: d.update(valid_from="2026-01-02T00:00:00.000Z", valid_until="2026-01-02T00:00:00.000Z")),
    ("id of another type", "bad_id", put("id", f"action--{OTHER}")),
    ("id without UUID", "bad_id", put("id", "playbook--1")),
    ("id in capitals", "bad_id", put("id", f"playbook--{'ABCDEF01' + OTHER[8:]}")),
    ("author that is no identity", "bad_id", put("created_by", "me")),
    ("step key that is no id", "bad_id", rename("workflow", ACTION, "action--1")),
    ("target key that is no id", "bad_id", rename("target_definitions", TARGET, "security-category--switch")),
    ("target key of another type", "id_of_other_type", rename("target_definitions", TARGET, f"ssh--{OTHER}")),
    ("variable without underscores", "bad_name", put("playbook_variables", {"a": TEXT})),
    ("variable that begins with a digit", "bad_name", put("playbook_variables", {"__1a__": TEXT})),
    ("unused variable", "unused_variable", put("playbook_variables", {"__a__": TEXT})),
    ("integer that is 'abc'", "wrong_type", put("playbook_variables", {"__a__": {"type": "integer", "value": "abc"}})),
    ("undefined in_args", "undefined_variable", put("workflow.ACTION.in_args", ["__a__"])),
    ("undefined out_args", "undefined_variable", put("workflow.ACTION.out_args", ["__a__"])),
    ("undefined variable in a command", "undefined_variable", command(command="ls __a__:value")),
    ("undefined variable in a target", "undefined_variable",
     put("target_definitions.TARGET.description", "at __a__:value")),
    ("type outside of the vocabulary", "not_in_vocabulary", put("playbook_types", ["cleaning"])),
    ("activity outside of the vocabulary", "not_in_vocabulary", put("playbook_activities", ["clean"])),
    ("type of target outside of the vocabulary", "not_in_vocabulary", put("target_definitions.TARGET.type", "toaster")),
    ("types without activities", "types_without_activities", put("playbook_types", ["remediation"])),
    ("activity of no step", "activity_without_step", put("playbook_activities", ["scan-system"])),
    ("condition that is no pattern", "person_decides", branch("if-condition", condition="ask Bob", on_true="HERE")),
    ("switch over words", "person_decides", branch("switch-condition", switch="which?", cases={"5": "HERE"})),
    ("condition over an undefined variable", "undefined_variable", branch("if-condition", **WHEN)),
    ("switch over an undefined variable", "undefined_variable",
     branch("switch-condition", switch="__n__:value", cases={"5": "HERE"})),
    ("switch without default", "switch_without_default",
     branch("switch-condition", switch="__n__:value", cases={"5": "HERE"})),
    ("loop without bound", "loop_bounded", branch("while-condition", condition="alert:x = 1", on_true="HERE")),
    ("condition over an unknown object", "unknown_path",
     branch("if-condition", condition="response:status = 200", on_true="HERE")),
    ("playbook that runs itself", "calls_itself",
     put(f"workflow.playbook-action--{OTHER}",
         {"type": "playbook-action", "playbook_id": "playbook--fe85f68d-1960-4596-96a2-228113e143cf",
          "on_completion": END})),
    ("playbook of any version", "unpinned_playbook",
     put(f"workflow.playbook-action--{OTHER}",
         {"type": "playbook-action", "playbook_id": f"playbook--{OTHER}", "on_completion": END})),
    ("address that is no list", "bad_address",
     put("target_definitions.TARGET", {"type": "ssh", "name": "x", "address": {"ipv4": "192.0.2.1"}})),
    ("address that is missing", "missing_property", put("target_definitions.TARGET", {"type": "ssh", "name": "x"})),
    ("agent without name", "missing_property", put("agent_definitions.AGENT.name")),
    ("agent without type", "missing_property", put("agent_definitions.AGENT.type")),
    ("number that canonical JSON cannot hold", "number_too_large", put("workflow.ACTION.delay", 2**60)),
    ("revoked", "revoked_playbook", put("revoked", True)),
]  # fmt: skip

LEGAL: list[tuple[str, Callable[[Document], Any]]] = [
    ("delay 0 (the schema refuses it)", put("workflow.ACTION.delay", 0)),
    ("UUID of version 7 (the schema refuses it)", put("id", "playbook--01890a5d-ac96-774b-bcce-b302099a8057")),
    ("an address by variable (the schema refuses it)",
     lambda d: d.update(
         playbook_variables={"__ip__": {"type": "ipv4-addr", "external": True}},
         target_definitions={TARGET: {"type": "security-category", "name": "x", "category": ["switch"],
                                      "description": "__ip__:value"}})),
    ("a URL with an address in it (the schema refuses it)",
     lambda d: d.update(
         target_definitions={f"http-api--{OTHER}": {"type": "http-api", "name": "x",
                                                    "address": {"url": ["https://10.0.0.1/api"]}}},
         workflow={**d["workflow"], ACTION: {**d["workflow"][ACTION], "targets": [f"http-api--{OTHER}"]}})),
    ("action without targets", lambda d: (d["workflow"][ACTION].pop("targets"), d.pop("target_definitions"))),
    ("on_success without on_failure",
     lambda d: d["workflow"][ACTION].update(on_success=d["workflow"][ACTION].pop("on_completion"))),
    ("a secret by variable",
     lambda d: (d.update(playbook_variables={"__t__": {"type": "string", "external": True}}),
                command(type="http-api", command="GET /x HTTP/1.1",
                        headers={"Authorization": ["Bearer __t__:value"]})(d))),
    ("an if without on_false", branch("if-condition", condition="alert:x = 1", on_true="HERE")),
    ("workflow_exception that is the end", put("workflow_exception", END)),
]  # fmt: skip


@pytest.fixture(scope="module")
def good(samples: Path) -> Document:
    found: Document = json.loads((samples / "cacao/playbooks-oasis/basic-example-1.json").read_text())
    return found


def codes(document: Document) -> dict[str, Severity]:
    return {each.code: each.severity for each in in_cacao(json.dumps(document).encode())}


def test_the_playbook_itself_has_nothing_against_it(good: Document) -> None:
    assert codes(good) == {}


@pytest.mark.parametrize(("code", "change"), [each[1:] for each in CAUGHT], ids=[each[0] for each in CAUGHT])
def test_a_mutant_is_caught(good: Document, code: str, change: Callable[[Document], Any]) -> None:
    document = copy.deepcopy(good)
    change(document)
    assert document != good
    assert code in codes(document)


@pytest.mark.parametrize("change", [each[1] for each in LEGAL], ids=[each[0] for each in LEGAL])
def test_what_is_legal_is_let_pass(good: Document, change: Callable[[Document], Any]) -> None:
    document = copy.deepcopy(good)
    change(document)
    assert document != good
    assert codes(document) == {}


def test_several_mutants_are_caught_at_once(good: Document) -> None:
    document = copy.deepcopy(good)
    names = {
        "end with a pointer",
        "dangling agent",
        "negative delay",
        "month 13",
        "id without UUID",
        "no pointer at all",
    }
    wanted = set()
    for name, code, change in CAUGHT:
        if name in names:
            change(document)
            wanted.add(code)
    assert len(wanted) == 6
    assert set(codes(document)) >= wanted


def test_there_are_enough_of_them() -> None:
    assert len({name for name, _, _ in CAUGHT}) == len(CAUGHT) >= 100
    print(f"{len(CAUGHT)} single mutations caught by {len({code for _, code, _ in CAUGHT})} codes, {len(LEGAL)} legal")
