"""Commands, agents, targets, secrets, variables of steps, other playbooks and schedules in YAML."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from soar.errors import Invalid
from soar.playbook import schedules
from soar.playbook.cacao import cacao_form
from soar.playbook.model import ActionStep, Playbook, PlaybookActionStep, Schedule, playbook_id
from soar.playbook.yaml import yaml_form

COMMANDS = """\
id: commands
name: Commands
variables:
  host: {type: str, default: web-1}
  found: {type: dict, required: false}
  net: {type: ipv4-addr, default: 192.0.2.0/24, constant: true}
  __Old_Name__: {type: long, default: "7"}
schedules:
  - {cron: "0 3 * * 1", timezone: Europe/Vienna, inputs: {host: web-2}}
agents:
  console: {type: http-api, address: {url: ["https://edr.example/"]}, authentication_info: edr}
  people: {type: group, name: The night shift}
targets:
  web: {type: ssh, address: {dname: [__host__:value]}, port: "2222", authentication_info: root}
  db: {type: linux, id: linux--0c6e0f5b-6f3b-4d0e-9a57-3d1f4c1f7a10, address: {dname: [db.example]}}
authentication:
  edr: {type: oauth2, oauth_header: Bearer, secret: edr-token}
  root: {type: user-auth, username: root, password: __pw__:value}
steps:
  - id: both
    command:
      - {type: ssh, command: "cat __path__:value"}
      - {type: bash, command_b64: bHM=, playbook_activity: scan-system}
    agent: console
    targets: [web, db]
    in: [host]
    out: [found]
    variables:
      path: {type: str, default: "/etc/hosts", constant: true, description: What to read}
      __Limit__: {type: int, default: 3}
    approval: {any_of: [responder], within: 1h, on_timeout: deny}
    timeout: 1500ms
  - {command: {type: manual, command: Look}, agent: people}
  - {switch: __Old_Name__:value, cases: {"7": [{manual: Seven}]}, on_failure: go_on}
  - {playbook: triage-alert, version: 2026-11-23T09:00:00.000Z, in: [host], out: [found]}
handlers:
  go_on: [{continue: end}]
"""


def read(text: str) -> tuple[Playbook, list[str]]:
    """The playbook, and what is wrong with the way it is written; the rules of good playbooks aside."""
    playbook, _, problems = yaml_form.read(text)
    return playbook, [f"{each.line}:{each.column} {each.code}: {each.message} {each.mend}" for each in problems]


@pytest.fixture(scope="module")
def book() -> Playbook:
    playbook, problems = read(COMMANDS)
    assert problems == []
    return playbook


def action(playbook: Playbook, path: str) -> ActionStep:
    found = next(step for step in playbook.workflow.values() if step.soar and step.soar.path == path)
    assert isinstance(found, ActionStep)
    return found


def test_commands_keep_their_order_and_their_words(book: Playbook) -> None:
    both = action(book, "both")
    assert both.commands == (
        {"type": "ssh", "command": "cat __path__:value"},
        {"type": "bash", "command_b64": "bHM=", "playbook_activity": "scan-system"},
    )
    assert (both.in_args, both.out_args, both.timeout) == (("__host__",), ("__found__",), 1500)
    assert both.soar is not None
    assert both.soar.approval is not None
    assert book.playbook_activities == ("scan-system",)


def test_agents_and_targets_are_spoken_of_by_name(book: Playbook) -> None:
    both = action(book, "both")
    assert book.agent_definitions[both.agent]["name"] == "console"
    assert [book.target_definitions[own]["name"] for own in both.targets] == ["web", "db"]
    assert both.targets[1] == "linux--0c6e0f5b-6f3b-4d0e-9a57-3d1f4c1f7a10"
    manual = action(book, "2-command")
    assert book.agent_definitions[manual.agent] == {"type": "group", "name": "The night shift"}


def test_secrets_are_named_and_never_written(book: Playbook) -> None:
    agent = book.agent_definitions[action(book, "both").agent]
    assert book.authentication_info_definitions[agent["authentication_info"]] == {
        "type": "oauth2", "oauth_header": "Bearer", "kms": True, "kms_key_identifier": "edr-token"
    }  # fmt: skip


def test_a_step_has_variables_of_its_own_with_their_types(book: Playbook) -> None:
    assert action(book, "both").step_variables == {
        "__path__": {"type": "string", "value": "/etc/hosts", "constant": True, "description": "What to read"},
        "__Limit__": {"type": "integer", "value": "3"},
    }
    assert (book.variables["net"].type, book.variables["net"].constant) == ("ipv4-addr", True)
    assert book.variables["Old_Name"].default == 7


def test_another_playbook_is_named_with_its_version(book: Playbook) -> None:
    step = next(step for step in book.workflow.values() if isinstance(step, PlaybookActionStep))
    assert step.playbook_id == playbook_id("triage-alert")
    assert step.playbook_version == "2026-11-23T09:00:00.000Z"
    assert (step.in_args, step.out_args) == (("__host__",), ("__found__",))


def test_a_handler_may_go_on_at_the_end(book: Playbook) -> None:
    failed = next(step for step in book.workflow.values() if step.type == "switch-condition")
    end = book.workflow[failed.on_failure]
    assert (end.type, end.soar) == ("end", None)
    assert end.id == book.workflow[failed.on_success].on_success


def test_all_of_it_comes_back_from_cacao(book: Playbook) -> None:
    assert cacao_form.from_document(cacao_form.to_document(book)) == book


MISTAKES = [
    ("agent: console\n", "agent: consoel\n", "unknown_agent", 24, "Did you mean console?"),
    ("targets: [web, db]", "targets: [wab, db]", "unknown_target", 25, "Did you mean web?"),
    ("authentication_info: edr", "authentication_info: erd", "unknown_authentication", 11, "Did you mean edr?"),
    ("secret: edr-token", "token: abcdef", "literal_secret", 17, "secret: NAME"),
    ("password: __pw__:value", "password: hunter2", "literal_secret", 18, "secret: NAME"),
    ("secret: edr-token", "secret: edr-token, kms: true", "two_ways", 17, "Keep secret"),
    ("{type: group, name", "{name", "missing_key", 12, "type"),
    ("type: group", "type: a group", "bad_name", 12, "ssh"),
    ("type: ssh, address", "type: ssh, id: 7, address", "wrong_type", 14, "text"),
    ("    command:\n      - {type: ssh", "    command:\n      - {typ: ssh", "bad_command", 22, "bash"),
    ("command: {type: manual, command: Look}", "command: []", "empty", 33, "at least one"),
    ("{type: int, default: 3}", "{type: int, default: x}", "wrong_type", 30, "int"),
    ("{type: int, default: 3}", "{type: int, from: alert.x}", "unknown_key", 30, "from"),
    ("192.0.2.0/24", "192.0.2.0/33", "wrong_type", 6, "ipv4-addr"),
    ("  host: {type: str", "  __host__: {type: str", "bad_name", 4, "Write host"),
    ("  host: {type: str", "  Host: {type: str", "bad_name", 4, "small letters"),
    ("type: str, default: web-1", "type: string, default: web-1", "unknown_word", 4, "Did you mean str?"),
    ("playbook: triage-alert", "playbook: Triage Alert", "bad_name", 35, "short name"),
    ("version: 2026-11-23T09:00:00.000Z", "version: newest", "bad_time", 35, "milliseconds"),
    ("in: [host], out: [found]}\nhandlers", "with: {host: $host}}\nhandlers", "unknown_key", 35, "with"),
    ("go_on: [{continue: end}]", "go_on: [{continue: nowhere}]", "unknown_step", 37, "nowhere"),
    ("cron: ", "crno: ", "unknown_key", 9, "Did you mean cron?"),
    ("switch: __Old_Name__:value", "switch: Old_Name", "bad_reference", 34, "reference"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "code", "line", "hint"), MISTAKES, ids=[f"{m[2]}: {m[1]}" for m in MISTAKES])
def test_a_mistake_is_told_with_its_line(good: str, bad: str, code: str, line: int, hint: str) -> None:
    assert COMMANDS.count(good) == 1
    _, problems = read(COMMANDS.replace(good, bad))
    assert any(each.startswith(f"{line}:") and f" {code}: " in each and hint in each for each in problems), problems


def test_one_handler_cannot_go_on_at_two_ends() -> None:
    text = """\
id: two
steps:
  - {do: notify, with: {team: a, text: b}, on_failure: on}
  - if: alert:x = 1
    then:
      - {do: notify, with: {team: a, text: b}, on_failure: on}
handlers:
  on: [{continue: end}]
"""
    _, problems = read(text)
    assert [each.partition(" ")[2][:19] for each in problems] == ["continue_elsewhere:"]


# --- schedules ---------------------------------------------------------------------------------------

CLOCK = "id: clock\nvariables: {hosts: {type: list}}\nschedules:\n  - %s\nsteps: [{manual: Look at $hosts}]\n"


def clock(schedule: str) -> Playbook:
    return yaml_form.load(CLOCK.replace("%s", schedule))


def test_a_schedule_is_kept_in_our_extension() -> None:
    playbook = clock('{cron: "0 3 * * 1", timezone: Europe/Vienna, inputs: {hosts: [a]}}')
    assert playbook.schedules == (Schedule(cron="0 3 * * 1", timezone="Europe/Vienna", inputs={"hosts": ["a"]}),)
    assert cacao_form.from_document(cacao_form.to_document(playbook)) == playbook
    assert clock('{cron: "0 3 * * 1", inputs: {hosts: [a]}}').schedules[0].timezone == "UTC"


@pytest.mark.parametrize(
    ("schedule", "code", "said"),
    [
        ('{cron: "0 3 * *", inputs: {hosts: [a]}}', "bad_cron", "0 3 * * 1"),
        ('{cron: "0 3 * * 8", inputs: {hosts: [a]}}', "bad_cron", "weekday"),
        ('{cron: "0 3 30 2 *", inputs: {hosts: [a]}}', "bad_cron", "day must exist"),
        ('{cron: "* * * * * *", inputs: {hosts: [a]}}', "bad_cron", "minute"),
        ('{cron: "0 3 * * 1", timezone: Vienna, inputs: {hosts: [a]}}', "bad_timezone", "Europe/Vienna"),
        ('{cron: "0 3 * * 1", timezone: ../../etc/passwd, inputs: {hosts: [a]}}', "bad_timezone", "UTC"),
        ('{cron: "0 3 * * 1"}', "missing_input", "hosts"),
        ('{cron: "0 3 * * 1", inputs: {hosts: [a], host: b}}', "unknown_variable", "Did you mean hosts?"),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be_kept_is_refused(schedule: str, code: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        clock(schedule)
    assert [(each.code, each.line) for each in caught.value.problems] == [(code, 4)]
    assert said in str(caught.value.problems[0])


def test_the_next_time_is_that_of_the_place_and_counts_once_when_clocks_go_back() -> None:
    vienna = Schedule(cron="30 2 * * *", timezone="Europe/Vienna")
    times = [datetime(2026, 10, 24, 12, tzinfo=UTC)]
    for _ in range(2):
        times.append(schedules.next_after(vienna, times[-1]))
    assert times[1:] == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]
    spring = schedules.next_after(vienna, datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert spring == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
