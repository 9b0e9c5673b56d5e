"""One mistake and its mend for every code of the checker: what the page of checks shows, and what its test tries.

An example that begins with `- ` is a list of steps, one with `{` a JSON merge patch (RFC 7386) for the
CACAO playbook `BASE`, any other one a whole file in YAML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soar.playbook.document import EXTENSION

HEAD = """\
id: story
name: Story
variables:
  hosts: {type: list, from: scope.hosts.affected}
  accounts: {type: list, from: scope.accounts.affected}
steps:
"""
GOOD = "- {do: notify, with: {team: on-call, text: A word}}"
TOKENS: Mapping[str, str] = {
    name: f"{kind}--{number:08x}-0000-4000-8000-000000000000"
    for number, (name, kind) in enumerate(
        {
            "START": "start", "ACTION": "action", "END": "end", "AGENT": "individual", "TARGET": "ssh",
            "SECOND": "action", "THIRD": "action", "INNER": "end", "OTHER": "end", "IF": "if-condition",
            "WHILE": "while-condition", "SWITCH": "switch-condition", "PARALLEL": "parallel", "AUTH": "user-auth",
            "CALL": "playbook-action", "NEW": "start", "EXTENSION": "extension-definition",
            "MARKING": "marking-statement", "CALLED": "playbook", "SELF": "playbook",
        }.items(), 1
    )
} | {"OURS": EXTENSION}  # fmt: skip
"""Short words for ids in the patches."""
BASE: Mapping[str, Any] = {
    "type": "playbook", "spec_version": "cacao-2.0", "id": "SELF", "name": "Story",
    "created_by": "identity--00000000-0000-4000-8000-000000000000",
    "created": "2026-11-23T09:00:00.000Z", "modified": "2026-11-23T09:00:00.000Z",
    "workflow_start": "START",
    "workflow": {
        "START": {"type": "start", "on_completion": "ACTION"},
        "ACTION": {
            "type": "action", "name": "Look", "on_completion": "END", "agent": "AGENT", "targets": ["TARGET"],
            "commands": [{"type": "ssh", "command": "uname -a"}],
        },
        "END": {"type": "end"},
    },
    "agent_definitions": {"AGENT": {"type": "individual", "name": "Analyst"}},
    "target_definitions": {"TARGET": {"type": "ssh", "name": "Host", "address": {"ipv4": ["192.0.2.1"]}}},
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A mistake, and the same without it. `said` tells of a mistake that is too large to be shown."""

    wrong: str | bytes
    right: str = GOOD
    said: str = ""


def whole(example: str | bytes) -> tuple[bytes, str]:
    """An example as a file: its bytes, and the end of its name."""
    if isinstance(example, bytes):
        return example, ".json" if example.startswith(b"{") else ".yaml"
    if example.startswith("{"):
        return json.dumps(patched(json.loads(example))).encode(), ".json"
    text = HEAD + "".join(f"  {line}\n" for line in example.splitlines()) if example.startswith("- ") else example
    return text.encode(), ".yaml"


def patched(patch: Any) -> Any:
    """The base playbook with a patch, and with ids for its short words."""
    return _named(_merged(BASE, patch))


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    old = value if isinstance(value, Mapping) else {}
    new = {**old, **{name: _merged(old.get(name), each) for name, each in patch.items()}}
    return {name: each for name, each in new.items() if each is not None}


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {TOKENS.get(name, name): _named(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_named(each) for each in value]
    return TOKENS.get(value, value) if isinstance(value, str) else value


def _action(patch: str) -> str:
    return '{"workflow": {"ACTION": {' + patch + "}}}"


def _command(command: str) -> str:
    return _action('"commands": [{' + command + "}]")


_HTTP = '"type": "http-api", "command": "GET / HTTP/1.1"'
_SAY = '"type": "action", "agent": "AGENT", "commands": [{"type": "manual", "command": "Look"}]'
_IF = (
    '{"workflow": {"ACTION": {"on_completion": "IF"}, '
    '"IF": {"type": "if-condition", "condition": "alert:x = 1", "on_true": "SECOND", "on_completion": "END"}, '
    f'"SECOND": {{{_SAY}, "on_completion": "%s"}}, "INNER": {{"type": "end"}}}}}}'
)
_ISOLATE = "- {id: isolate, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 1d}"
_COLLECT = "- {do: collect_evidence, for_each: $hosts, as: host, with: {host: $host, items: [memory, processes, connections, disk, logs]}}"  # noqa: E501
_CLEAN = "- {do: verify_clean, for_each: $hosts, as: host, with: {host: $host}}"
_DISABLE = "- {id: disable, do: disable_account, for_each: $accounts, as: who, with: {account: $who}, review: 1d}"
_RESET = "- {do: reset_password, for_each: $accounts, as: who, with: {account: $who}}"
_REVOKE = "- {do: revoke_sessions, for_each: $accounts, as: who, with: {account: $who}}"
_AGREE = "approval: {any_of: [responder], within: 1h, on_timeout: deny}"
_FREE = f"- {{undo: isolate, {_AGREE}}}"
_ASK = "- {id: ask, manual: How many?, outputs: {n: int, text: str, yes: bool}, within: 1h, on_timeout: deny}"
_BLOCK = "- {id: block, do: block_ip, with: {ip: 192.0.2.66}, lease: 1d}"


def _lines(*steps: str) -> str:
    return "\n".join(steps)


def _nested(depth: int) -> str:
    """Ifs in one another. YAML ends sooner: each level of a playbook is three of the notation."""
    workflow: dict[str, Any] = {"ACTION": {"on_completion": _at("if-condition", 0)}}
    for level in range(depth):
        inner = _at("if-condition", level + 1) if level + 1 < depth else "SECOND"
        after = _at("end", level - 1) if level else "END"
        workflow[_at("if-condition", level)] = {
            "type": "if-condition", "condition": "alert:x = 1", "on_true": inner, "on_completion": after,
        }  # fmt: skip
        workflow[_at("end", level)] = {"type": "end"}
    workflow["SECOND"] = {
        "type": "action", "agent": "AGENT", "commands": [{"type": "manual", "command": "Look"}],
        "on_completion": _at("end", depth - 1),
    }  # fmt: skip
    return json.dumps({"workflow": workflow})


def _at(kind: str, number: int) -> str:
    return f"{kind}--{number:08x}-0000-4000-9000-000000000000"


EXAMPLES: Mapping[str, Example] = {
    # the text
    "syntax": Example("id: [story"),
    "empty": Example("- {manual: ''}", "- {manual: Look}"),
    "too_large": Example(b"#" * 1_100_000, said="more than 1 MiB"),
    "too_deep": Example("[" * 70 + "]" * 70, said="70 brackets in one another"),
    "too_many_nodes": Example("[" + "1," * 20_100 + "1]", said="a list of more than 20,000 numbers"),
    "too_many_problems": Example("\n".join(["- {manual: 'Look at $it', within: 1h}"] * 300),
                                 said="300 steps with two mistakes each"),
    "expressions_too_large": Example(
        "\n".join(f"- {{if: \"alert:x = '{n:04}{'x' * 3_000}'\", then: [{{manual: A}}]}}" for n in range(12)),
        said="12 conditions of 3,000 characters",
    ),
    "not_utf8": Example(b"id: st\xffory", said="the byte FF"),
    "byte_order_mark": Example(b"\xef\xbb\xbfid: story", said="the bytes EF BB BF at the beginning"),
    "control_character": Example('- {manual: "Look\\0here"}', "- {manual: Look here}"),
    "lone_surrogate": Example(b'{"name": "\\ud800"}'),
    "duplicate_key": Example("id: story\nid: other\nsteps: [{manual: Look}]", "id: story\nsteps: [{manual: Look}]"),
    "key_not_text": Example("id: story\n7: other\nsteps: [{manual: Look}]"),
    "alias": Example("- {manual: &text Look}\n- {manual: *text}", "- {manual: Look}\n- {manual: Look}"),
    "anchor": Example("- {manual: &text Look}", "- {manual: Look}"),
    "tag": Example("- {manual: !!str Look}", "- {manual: Look}"),
    "merge_key": Example("- {<<: {manual: Look}}", "- {manual: Look}"),
    "directive": Example("%YAML 1.2\n---\nid: story\nsteps: [{manual: Look}]"),
    "several_documents": Example("id: story\nsteps: [{manual: Look}]\n---\nid: other"),
    "trailing_data": Example(b"{} {}"),
    "not_finite": Example("- {manual: .nan}", "- {manual: '.nan'}"),
    "number_too_long": Example("- {manual: " + "1" * 1_001 + "}", "- {manual: '1'}", said="a number of 1,001 digits"),
    "number_too_large": Example(
        "id: story\nvariables: {n: {type: int, default: 9007199254740993}}\nsteps: [{manual: Look $n}]",
        "id: story\nvariables: {n: {type: int, default: 9007199254740991}}\nsteps: [{manual: Look $n}]",
    ),
    # the form
    "unknown_key": Example("- {manual: Look, timout: 1h}", "- {manual: Look, timeout: 1h}"),
    "unknown_property": Example(_action('"step_extensions": {"OURS": {"verbs": "scan"}}'), "{}"),
    "not_our_form": Example(_action('"step_extensions": {"OURS": {"verb": "", "lease": 0}}'), "{}"),
    "missing_key": Example("- {if: 'alert:x = 1'}", "- {if: 'alert:x = 1', then: [{manual: Look}]}"),
    "missing_property": Example('{"agent_definitions": {"AGENT": {"name": null}}}', "{}"),
    "wrong_type": Example("- {manual: [Look]}", "- {manual: Look}"),
    "unknown_word": Example("- {manual: Look, phase: recover}", "- {manual: Look, phase: recovery}"),
    "out_of_range": Example(_action('"timeout": -1'), _action('"timeout": 60000')),
    "bad_name": Example("- {id: Look!, manual: Look}", "- {id: look, manual: Look}"),
    "bad_id": Example('{"created_by": "me"}', "{}"),
    "bad_time": Example('{"modified": "2020-01-01T00:00:00.000Z"}', "{}"),
    "bad_duration": Example("- {manual: Look, delay: 10 minutes}", "- {manual: Look, delay: 10m}"),
    "bad_reference": Example("- {do: verify_clean, for_each: hosts, as: host, with: {host: $host}}", _CLEAN),
    "bad_path": Example(
        "id: story\nvariables: {a: {type: list, from: hosts}}\nsteps: [{manual: Look at $a}]",
        "id: story\nvariables: {a: {type: list, from: scope.hosts.all}}\nsteps: [{manual: Look at $a}]",
    ),
    "reserved_name": Example("- {id: handlers, manual: Look}", "- {id: look, manual: Look}"),
    "name_taken": Example("- {id: hosts, manual: Look}", "- {id: look, manual: Look}"),
    "duplicate_id": Example("- {id: a, manual: Look}\n- {id: a, manual: Look}", "- {id: a, manual: Look}"),
    "two_forms": Example("- {manual: Look, undo: a}", "- {manual: Look}"),
    "no_form": Example("- {name: Look}", "- {manual: Look}"),
    "not_cacao": Example('{"spec_version": "cacao-1.1"}', "{}"),
    # the way through
    "no_start": Example('{"workflow_start": "ACTION"}', "{}"),
    "several_starts": Example('{"workflow": {"NEW": {"type": "start", "on_completion": "ACTION"}}}', "{}"),
    "bad_start": Example('{"workflow": {"START": {"on_success": "ACTION", "on_completion": null}}}', "{}"),
    "dangling_step": Example(_action('"on_completion": "OTHER"'), "{}"),
    "unknown_step": Example("- {undo: isolate}", _lines(_ISOLATE, _CLEAN, _FREE)),
    "unknown_step_type": Example(_action('"type": "actoin"'), "{}"),
    "unreachable_step": Example(f'{{"workflow": {{"SECOND": {{{_SAY}, "on_completion": "END"}}}}}}', "{}"),
    "no_next_step": Example(_action('"on_completion": null'), "{}"),
    "end_leads_on": Example('{"workflow": {"END": {"on_completion": "ACTION"}}}', "{}"),
    "two_ways": Example(_action('"on_success": "END"'), "{}"),
    "step_loop": Example(_action('"on_completion": null, "on_success": "END", "on_failure": "ACTION"'), "{}"),
    "branch_leaves": Example(
        _IF.replace("%s", "THIRD").replace('"on_completion": "END"}', '"on_completion": "THIRD"}').replace(
            '"INNER": {"type": "end"}', f'"THIRD": {{{_SAY}, "on_completion": "END"}}'
        ), _IF.replace("%s", "INNER"),
    ),
    "branch_twice": Example(
        '{"workflow": {"ACTION": {"on_completion": "PARALLEL"}, "PARALLEL": {"type": "parallel", "next_steps": '
        f'["SECOND", "SECOND"], "on_completion": "END"}}, "SECOND": {{{_SAY}, "on_completion": "INNER"}}, '
        '"INNER": {"type": "end"}}}', "{}",
    ),
    "too_few_branches": Example("- parallel: [[{manual: Look}]]", "- parallel: [[{manual: Look}], [{manual: Ask}]]"),
    "nested_too_deep": Example(_nested(66), _nested(3), said="an if in an if in an if, 66 times"),
    "no_condition": Example(_IF.replace("%s", "INNER").replace("alert:x = 1", ""), _IF.replace("%s", "INNER")),
    "while_without_max": Example(
        "- {while: 'alert:x = 1', steps: [{manual: Look}]}", "- {while: 'alert:x = 1', max: 3, steps: [{manual: Look}]}"
    ),
    "calls_itself": Example("- {playbook: story, version: 2026-11-23T09:00:00.000Z}",
                            "- {playbook: other, version: 2026-11-23T09:00:00.000Z}"),
    "unknown_handler": Example("- {manual: Look, on_failure: call}", "- {manual: Look}"),
    "unused_handler": Example("id: story\nsteps: [{manual: Look}]\nhandlers: {call: [{manual: Call}]}"),
    "handler_loop": Example(
        "id: story\nsteps: [{manual: Look, on_failure: call}]\nhandlers: {call: [{manual: Call, on_failure: call}]}",
        "id: story\nsteps: [{manual: Look, on_failure: call}]\nhandlers: {call: [{manual: Call}]}",
    ),
    "continue_not_here": Example("- {manual: Look}\n- {continue: look}", "- {manual: Look}"),
    "continue_elsewhere": Example(
        "id: story\nsteps: [{if: 'alert:x = 1', then: [{manual: Look, on_failure: call}]}, {id: a, manual: A}]\n"
        "handlers: {call: [{manual: Call}, {continue: a}]}",
        "id: story\nsteps: [{manual: Look, on_failure: call}, {id: a, manual: A}]\n"
        "handlers: {call: [{manual: Call}, {continue: a}]}",
    ),
    "continue_backwards": Example(
        "id: story\nsteps: [{id: a, manual: Look, on_failure: call}]\n"
        "handlers: {call: [{manual: Call}, {continue: a}]}"
    ),
    "continue_from_exception": Example(
        "id: story\nsteps: [{id: a, manual: A}]\non_exception: call\n"
        "handlers: {call: [{manual: Call}, {continue: a}]}",
        "id: story\nsteps: [{id: a, manual: A}]\non_exception: call\nhandlers: {call: [{manual: Call}]}",
    ),
    # references and types
    "undefined_variable": Example("- {manual: Look at $host}", "- {manual: Look at $hosts}"),
    "unknown_output": Example(_lines(_ASK, "- {manual: They said $ask.m}"),
                              _lines(_ASK, "- {manual: They said $ask.n}")),
    "not_before": Example(_lines("- {manual: They said $ask.n}", _ASK), _lines(_ASK, "- {manual: They said $ask.n}")),
    "one_of_many": Example("- {do: verify_clean, with: {host: '$hosts[0]'}}", _CLEAN),
    "variable_in_trigger": Example(
        "id: story\ntriggers: [{when: '__n__:value = 1'}]\nsteps: [{manual: Look}]",
        "id: story\ntriggers: [{when: 'alert:n = 1'}]\nsteps: [{manual: Look}]",
    ),
    "unknown_path": Example("- {if: 'alerts:x = 1', then: [{manual: A}]}",
                            "- {if: 'alert:x = 1', then: [{manual: A}]}"),
    "expression_syntax": Example(
        "- {if: 'alert:x is 1', then: [{manual: A}]}", "- {if: 'alert:x = 1', then: [{manual: A}]}"
    ),
    "expression_variable": Example(_lines(_ASK, "- {if: '$Ask = 1', then: [{manual: A}]}"),
                                   _lines(_ASK, "- {if: '$ask.n = 1', then: [{manual: A}]}")),
    "expression_constant": Example("- {if: \"alert:x MATCHES '('\", then: [{manual: A}]}",
                                   "- {if: \"alert:x MATCHES 'a'\", then: [{manual: A}]}"),
    "expression_observation": Example("- {if: '[alert:x = 1]', then: [{manual: A}]}",
                                      "- {if: 'alert:x = 1', then: [{manual: A}]}"),
    "condition_type": Example(_lines(_ASK, "- {if: \"$ask.n = 'abc'\", then: [{manual: A}]}"),
                              _lines(_ASK, "- {if: '$ask.n = 5', then: [{manual: A}]}")),
    "writes_constant": Example(
        '{"playbook_variables": {"__a__": {"type": "string", "value": "x", "constant": true}}, '
        '"workflow": {"ACTION": {"out_args": ["__a__"]}}}',
        '{"playbook_variables": {"__a__": {"type": "string"}}, "workflow": {"ACTION": {"out_args": ["__a__"]}}}',
    ),
    # definitions
    "no_agent": Example(_action('"agent": null'), "{}"),
    "undefined_agent": Example(_action('"agent": "individual--00000000-0000-4000-8000-0000000000ff"'), "{}"),
    "undefined_target": Example(_action('"targets": ["ssh--00000000-0000-4000-8000-0000000000ff"]'), "{}"),
    "undefined_authentication": Example('{"target_definitions": {"TARGET": {"authentication_info": "AUTH"}}}', "{}"),
    "undefined_extension": Example(_action('"step_extensions": {"EXTENSION": {"x": 1}}'), "{}"),
    "undefined_marking": Example('{"markings": ["MARKING"]}', "{}"),
    "bad_address": Example('{"target_definitions": {"TARGET": {"address": {"ipv4": "192.0.2.1"}}}}', "{}"),
    # commands
    "no_commands": Example(_action('"commands": []'), "{}"),
    "bad_command": Example("- {command: uname -a}", "- {command: {type: manual, command: Look}}"),
    "unknown_command_type": Example(_command('"type": "ftp", "command": "get x"'), "{}"),
    "mixed_commands": Example(
        _action('"commands": [{"type": "manual", "command": "Look"}, {"type": "ssh", "command": "uname"}]'), "{}"
    ),
    "command_missing": Example(_command('"type": "ssh"'), "{}"),
    "command_twice": Example(_command('"type": "ssh", "command": "ls", "command_b64": "bHM="'),
                             _command('"type": "ssh", "command_b64": "bHM="')),
    "not_base64": Example(_command('"type": "yara", "command_b64": "rule x"'),
                          _command('"type": "yara", "command_b64": "cnVsZSB4"')),
    "needs_base64": Example(_command('"type": "sigma", "command": "title: x"'),
                            _command('"type": "sigma", "command_b64": "dGl0bGU6IHg="')),
    "bad_start_line": Example(_command('"type": "http-api", "command": "GET /hosts"'), _command(_HTTP)),
    "bad_headers": Example(_command(_HTTP + ', "headers": {"Accept": "text/plain"}'),
                           _command(_HTTP + ', "headers": {"Accept": ["text/plain"]}')),
    "literal_secret": Example(
        _command(_HTTP + ', "headers": {"Authorization": ["Bearer c2VjcmV0"]}'),
        '{"playbook_variables": {"__token__": {"type": "string", "external": true}}, "workflow": {"ACTION": '
        '{"commands": [{' + _HTTP + ', "headers": {"Authorization": ["Bearer __token__:value"]}}]}}}',
    ),
    # verbs and safety
    "unknown_verb": Example("- {do: isolate_hots, with: {host: a}, review: 1d}", _ISOLATE),
    "unknown_parameter": Example("- {do: verify_clean, with: {hots: a, host: a}}", _CLEAN),
    "missing_parameter": Example("- {do: verify_clean}", _CLEAN),
    "undo_by_verb": Example("- {do: release_host, with: {host: a}}", _lines(_ISOLATE, _CLEAN, _FREE)),
    "cannot_undo": Example(_lines("- {id: look, do: verify_clean, with: {host: a}}", "- {undo: look}"),
                           _lines(_ISOLATE, _CLEAN, _FREE)),
    "hold_without_review": Example("- {do: lock_device, with: {host: a}}",
                                   "- {do: lock_device, with: {host: a}, review: 1d}"),
    "hold_with_lease": Example("- {do: lock_device, with: {host: a}, review: 1d, lease: 7d}",
                               "- {do: lock_device, with: {host: a}, review: 1d}"),
    "containment_without_end": Example("- {do: block_ip, with: {ip: 192.0.2.66}}", _BLOCK),
    "time_not_here": Example("- {do: verify_clean, with: {host: a}, lease: 1d}", _CLEAN),
    "approval_without_role": Example(
        "- {do: patch, with: {host: a, update: x}, approval: {within: 1h, on_timeout: deny}}",
        f"- {{do: patch, with: {{host: a, update: x}}, {_AGREE}}}",
    ),
    "approval_without_time": Example(
        "- {do: patch, with: {host: a, update: x}, approval: {any_of: [responder], on_timeout: deny}}",
        f"- {{do: patch, with: {{host: a, update: x}}, {_AGREE}}}",
    ),
    "approval_without_on_timeout": Example(
        "- {do: patch, with: {host: a, update: x}, approval: {any_of: [responder], within: 1h}}",
        f"- {{do: patch, with: {{host: a, update: x}}, {_AGREE}}}",
    ),
    "unknown_role": Example(
        "- {do: patch, with: {host: a, update: x}, approval: {any_of: [viewer], within: 1h, on_timeout: deny}}",
        f"- {{do: patch, with: {{host: a, update: x}}, {_AGREE}}}",
    ),
    "destructive_without_approval": Example(_lines(_COLLECT, "- {do: wipe_device, with: {host: a}}"),
                                            _lines(_COLLECT, f"- {{do: wipe_device, with: {{host: a}}, {_AGREE}}}")),
    "no_adapter": Example("- {do: fail_over, with: {service: web}, review: 1d}"),
    # warnings
    "branch_shared": Example(_IF.replace("%s", "END").replace(', "INNER": {"type": "end"}', ""),
                             _IF.replace("%s", "INNER")),
    "person_decides": Example(_IF.replace("%s", "INNER").replace("alert:x = 1", "Is it bad?"),
                              _IF.replace("%s", "INNER")),
    "loop_bounded": Example(
        '{"workflow": {"ACTION": {"on_completion": "WHILE"}, "WHILE": {"type": "while-condition", "condition": '
        '"alert:x = 1", "on_true": "SECOND", "on_completion": "END"}, '
        f'"SECOND": {{{_SAY}, "on_completion": "INNER"}}, "INNER": {{"type": "end"}}}}}}', "{}",
    ),
    "loop_never_changes": Example(
        _lines(_ASK, "- {while: '$ask.yes = true', max: 3, steps: [{manual: Look}]}"),
        _lines("- {id: ask, manual: More?, outputs: {yes: bool}}", "- while: '$again.yes = true'", "  max: 3",
               "  steps: [{id: again, manual: More?, outputs: {yes: bool}}]"),
    ),
    "text_order": Example(_lines(_ASK, "- {if: \"$ask.text < 'b'\", then: [{manual: A}]}"),
                          _lines(_ASK, "- {if: \"$ask.text = 'b'\", then: [{manual: A}]}")),
    "unused_variable": Example("id: story\nvariables: {a: {type: str, default: x}}\nsteps: [{manual: Look}]",
                               "id: story\nvariables: {a: {type: str, default: x}}\nsteps: [{manual: Look at $a}]"),
    "unused_definition": Example('{"authentication_info_definitions": {"AUTH": {"type": "user-auth", "kms": true}}}',
                                 "{}"),
    "not_in_vocabulary": Example('{"playbook_types": ["cleaning"]}', "{}"),
    "types_without_activities": Example('{"playbook_types": ["remediation"]}', "{}"),
    "activity_without_step": Example('{"playbook_activities": ["scan-system"]}', "{}"),
    "time_not_milliseconds": Example('{"created": "2026-11-23T08:00:00Z"}', "{}"),
    "id_of_other_type": Example('{"agent_definitions": {"AGENT": {"type": "group"}}}', "{}"),
    "unknown_command_property": Example(_command('"type": "ssh", "command": "ls", "comand_b64": "bHM="'), "{}"),
    "unpinned_playbook": Example("- {playbook: other}", "- {playbook: other, version: 2026-11-23T09:00:00.000Z}"),
    "element_unused": Example("- {do: verify_clean, for_each: $hosts, as: host, with: {host: a}}", _CLEAN),
    "partial_of_one": Example("- {do: verify_clean, with: {host: a}, partial: ok}",
                              "- {do: verify_clean, with: {host: a}}"),
    "together_of_nothing": Example("- {parallel: [[{manual: A}], [{manual: B}]], together: true}",
                                   "- {parallel: [[{manual: A}], [{manual: B}]]}"),
    "undone_twice": Example(_lines(_ISOLATE, _CLEAN, f"- {{undo: [isolate, isolate], {_AGREE}}}"),
                            _lines(_ISOLATE, _CLEAN, _FREE)),
    "within_without_on_timeout": Example("- {manual: Look, within: 1h}",
                                         "- {manual: Look, within: 1h, on_timeout: escalate}"),
    "on_timeout_without_within": Example("- {manual: Look, on_timeout: escalate}",
                                         "- {manual: Look, within: 1h, on_timeout: escalate}"),
    "timeout_before_approval": Example(f"- {{do: patch, with: {{host: a, update: x}}, timeout: 10m, {_AGREE}}}",
                                       f"- {{do: patch, with: {{host: a, update: x}}, timeout: 2h, {_AGREE}}}"),
    "silence_is_consent": Example(
        "- {do: patch, with: {host: a, update: x}, approval: {any_of: [responder], within: 1h, on_timeout: go_on}}",
        f"- {{do: patch, with: {{host: a, update: x}}, {_AGREE}}}",
    ),
    "automatic_harm": Example(
        "id: story\ntriggers: [{when: 'alert:x = 1', start: automatic}]\n"
        "steps: [{do: revoke_sessions, with: {account: a}}]",
        "id: story\ntriggers: [{when: 'alert:x = 1', start: propose}]\n"
        "steps: [{do: revoke_sessions, with: {account: a}}]",
    ),
    "release_without_approval": Example(_lines(_ISOLATE, _CLEAN, "- {undo: isolate}"), _lines(_ISOLATE, _CLEAN, _FREE)),
    "release_before_clean": Example(_lines(_CLEAN, _ISOLATE, _FREE), _lines(_ISOLATE, _CLEAN, _FREE)),
    "release_before_reset": Example(_lines(_DISABLE, _RESET, f"- {{undo: disable, {_AGREE}}}"),
                                    _lines(_DISABLE, _RESET, _REVOKE, f"- {{undo: disable, {_AGREE}}}")),
    "restore_without_verdict": Example(_lines(_BLOCK, "- {undo: block}"), _lines(_BLOCK, _ASK, "- {undo: block}")),
    "evidence_after_loss": Example(_lines(_ISOLATE), _lines(_COLLECT, _ISOLATE)),
    "phase_out_of_order": Example(_lines("- {do: restore_backup, with: {host: a, backup: b}}", _BLOCK),
                                  _lines(_BLOCK, "- {do: restore_backup, with: {host: a, backup: b}}")),
    # notes
    "switch_without_default": Example(
        _lines(_ASK, "- {switch: $ask.n, cases: {a: [{manual: A}]}}"),
        _lines(_ASK, "- {switch: $ask.n, cases: {a: [{manual: A}]}, default: [{manual: B}]}"),
    ),
    "unread_output": Example("- {id: ask, manual: More?, outputs: {yes: bool}}",
                             _lines("- {id: ask, manual: More?, outputs: {yes: bool}}",
                                    "- {if: '$ask.yes = true', then: [{manual: A}]}")),
    "revoked_playbook": Example('{"revoked": true}', "{}"),
}  # fmt: skip
