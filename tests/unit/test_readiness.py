"""Each check of a drill has a right house and a wrong one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from soar.errors import Problem
from soar.guards.policy import Protection
from soar.model import Severity
from soar.ports import Rights
from soar.readiness import people
from soar.readiness.facts import Clocks, Need, OpenTasks, Overdue, Person, Seen, SigningKey, System, Vault
from tests.unit.ready_house import BOOK, DAY, EDR, NOW, POLICY, found, house, person

UNSEEN = Seen(technique="T1059.001", alerts=7, worst=Severity.HIGH)
WIPES = frozenset({frozenset({"wipe_device"})})
DOWN = Problem(code="unreachable", message="no answer", pointer="url", mend="Start it.")
TWO = Need(playbook="host", step="isolate", any_of=frozenset({"responder"}), persons=2)


def book(**changed: Any) -> dict[str, Any]:
    return {"books": (replace(BOOK, **changed),)}


def test_a_house_that_lacks_nothing_has_a_hundred_points() -> None:
    report = house()
    assert found(report) == {}
    assert (report.score, report.ready) == (100, True)


WRONG: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("a system is down", {"systems": (replace(EDR, problems=(DOWN,)),)}, {"systems.trouble/edr:unreachable": "red"}),
    ("a right is missing", {"systems": (replace(EDR, rights=Rights(missing=("isolate",))),)},
     {"systems.missing_right/edr:isolate": "red"}),
    ("a credential may too much", {"systems": (replace(EDR, rights=Rights(excess=("delete users",))),)},
     {"systems.excess_right/edr:delete users": "amber"}),
    ("nobody can tell the rights", {"systems": (replace(EDR, rights=None),)}, {"systems.rights_unknown/edr": "note"}),
    ("a module is broken", {"broken": ("integrations.x",)}, {"systems.broken_module/integrations.x": "amber"}),
    ("no inventory", {"resolvable": False}, {"systems.no_inventory": "amber"}),
    ("no playbook", {"books": ()}, {"playbooks.no_playbooks": "red"}),
    ("a verb that nobody does", book(verbs=WIPES),
     {"playbooks.cannot_run/host": "amber", "coverage.only_unable/T1021.002": "amber",
      "coverage.only_unable/T1486": "amber"}),
    ("the same, and it starts by itself", book(verbs=WIPES, automatic=True, triggers=()),
     {"playbooks.cannot_run/host": "red", "coverage.no_techniques": "amber"}),
    ("a playbook that is called is not here", book(calls=("playbook--1",), triggers=()),
     {"playbooks.cannot_run/host": "amber", "coverage.no_techniques": "amber"}),
    ("no protected list", {"policy": replace(POLICY, configured=False)}, {"protection.no_lists": "red"}),
    ("nothing is hard", {"policy": replace(POLICY, hard=Protection())}, {"protection.no_hard": "amber"}),
    ("nothing is soft", {"policy": replace(POLICY, soft=Protection())}, {"protection.no_soft": "amber"}),
    ("everything may be blocked", {"policy": replace(POLICY, never_block_domains=frozenset())},
     {"protection.no_never_block": "amber"}),
    ("no resolvers", {"policy": replace(POLICY, resolvers=())}, {"protection.no_resolvers": "amber"}),
    ("the vault takes nothing", {"vault": Vault(writable=False, why="read-only")}, {"evidence.vault": "red"}),
    ("the vault is small", {"vault": Vault(free_bytes=500 * 2**20)}, {"evidence.vault_room": "amber"}),
    ("the vault is full", {"vault": Vault(free_bytes=2**20)}, {"evidence.vault_room": "red"}),
    ("the key is gone", {"key": SigningKey(there=False)}, {"evidence.key_gone": "red"}),
    ("the key is open", {"key": SigningKey(private=False)}, {"evidence.key_open": "red"}),
    ("no copy is named", {"key": SigningKey(backup="not named")}, {"evidence.key_copy": "amber"}),
    ("the copy is gone", {"key": SigningKey(backup="missing")}, {"evidence.key_copy": "red"}),
    ("the copy is another key", {"key": SigningKey(backup="other")}, {"evidence.key_copy": "red"}),
    ("the clock is off", {"clocks": Clocks(ahead=-9)}, {"evidence.clock": "amber"}),
    ("the clock is far off", {"clocks": Clocks(ahead=3600)}, {"evidence.clock": "red"}),
    ("the clock went back", {"clocks": Clocks(newest=NOW + DAY)}, {"evidence.clock_back": "red"}),
    ("unsigned", book(signed=False), {"library.unsigned": "amber"}),
    ("unsigned where only signed ones may run", book(signed=False, triggers=()) | {"signed_only": True},
     {"library.unsigned": "red", "coverage.no_techniques": "amber"}),
    ("stale", book(modified=NOW - 366 * DAY), {"library.stale/host": "amber"}),
    ("valid for a week", book(valid_until=NOW + 7 * DAY), {"library.expires/host": "amber"}),
    ("expired", book(valid_until=NOW - DAY, triggers=()),
     {"library.expired/host": "red", "coverage.no_techniques": "amber"}),
    ("not valid yet", book(valid_from=NOW + DAY, triggers=()),
     {"library.not_yet/host": "amber", "coverage.no_techniques": "amber"}),
    ("revoked", book(revoked=True, triggers=()), {"library.revoked/host": "red", "coverage.no_techniques": "amber"}),
    ("a technique has no playbook", {"seen": (UNSEEN,)}, {"coverage.not_covered/T1059.001": "amber"}),
    ("everything is stopped", {"switches": ("*",)}, {"operation.switch/*": "red"}),
    ("a verb is stopped", {"switches": ("verb:isolate_host",)}, {"operation.switch/verb:isolate_host": "amber"}),
    ("overdue", {"overdue": (Overdue(id="e1", verb="isolate_host", target="host:x", since=NOW - DAY),)},
     {"operation.overdue/e1": "amber"}),
    ("an old question", {"tasks": (OpenTasks(incident="INC-7", count=2, since=NOW - 3 * DAY),)},
     {"operation.tasks/INC-7": "amber"}),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "keys"), [pytest.param(*each[1:], id=each[0]) for each in WRONG])
def test_what_is_wrong_is_told_and_nothing_else(changed: dict[str, Any], keys: dict[str, str]) -> None:
    report = house(**changed)
    assert found(report) == keys
    assert report.ready is ("red" not in keys.values())
    costs = set(keys.values()) - {"note"}
    assert (report.score < 100) is bool(costs)
    assert all(each.what and each.why and each.mend for each in report.findings)


def test_a_system_that_is_down_is_not_asked_for_its_rights() -> None:
    down = System(name="edr", verbs=EDR.verbs, problems=(DOWN,))
    assert found(house(systems=(down,))) == {"systems.trouble/edr:unreachable": "red"}


def test_one_of_several_verbs_is_enough_where_one_is_chosen() -> None:
    only_urls = replace(EDR, verbs=frozenset({"isolate_host", "block_url"}))
    assert found(house(systems=(only_urls,))) == {}
    (told,) = [each for each in house(systems=(replace(EDR, verbs=frozenset({"isolate_host"})),)).findings
               if each.code == "cannot_run"]  # fmt: skip
    assert "(block_ip or block_url)" in told.what


def test_a_playbook_that_cannot_run_is_red_once_its_technique_was_seen() -> None:
    lame = replace(BOOK, verbs=WIPES)
    report = house(books=(lame,), seen=(Seen(technique="T1486", alerts=1),))
    assert found(report)["playbooks.cannot_run/host"] == "red"
    assert "coverage.only_unable/T1486" in found(report)


# --- persons --------------------------------------------------------------------------------------


def team(*persons: Person, needs: tuple[Need, ...] = BOOK.needs, **more: Any) -> dict[str, str]:
    """What is found where these are all the persons, and these approvals are asked for."""
    return found(house(persons=persons, books=(replace(BOOK, needs=needs),), **more))


LEAD = person("lea", "commander", "analyst")


def test_nobody_with_the_role_is_red() -> None:
    assert team(LEAD, person("eve", "approver"))["people.nobody_approves/1:responder"] == "red"


@pytest.mark.parametrize("useless", [{"active": False}, {"keys": ()}])
def test_who_is_not_let_in_counts_for_nothing(useless: dict[str, Any]) -> None:
    persons = (LEAD, person("bob", "responder", **useless), person("eve", "approver"))
    assert team(*persons)["people.nobody_approves/1:responder"] == "red"


def test_the_only_responder_cannot_approve_what_they_started() -> None:
    report = house(persons=(LEAD, person("bob", "responder"), person("eve", "approver")))
    (told,) = [each for each in report.findings if each.code == "starter_alone"]
    assert "bob" in told.what
    assert told.level == "amber"


def test_two_whom_one_hand_armed_today_are_one_pair_of_eyes_until_tomorrow() -> None:
    armed = {"armed_by": frozenset({"id-admin"})}
    both = (LEAD, person("bob", "responder", **armed), person("cy", "responder", **armed), person("eve", "approver"))
    assert team(*both, needs=(TWO,))["people.nobody_approves/2:responder"] == "red"
    rested = tuple(replace(each, armed_by=frozenset()) for each in both)
    assert "people.nobody_approves/2:responder" not in team(*rested, needs=(TWO,))


def test_on_the_first_day_one_hand_may_arm_two_where_the_settings_say_so() -> None:
    armed = {"armed_by": frozenset({"id-admin"})}
    three = (LEAD, *(person(name, "responder", **armed) for name in ("bob", "cy", "di")), person("eve", "approver"))
    assert "people.nobody_approves/2:responder" in team(*three, needs=(TWO,))
    assert "people.nobody_approves/2:responder" not in team(*three, needs=(TWO,), setting_up=True)


def test_who_was_armed_by_the_other_is_no_second_voice() -> None:
    pair = (person("bob", "responder"), person("cy", "responder", armed_by=frozenset({"id-bob"})))
    assert team(LEAD, *pair, needs=(TWO,))["people.nobody_approves/2:responder"] == "red"


def test_a_third_voice_is_found_beside_two_that_do_not_go_together() -> None:
    three = (person("bob", "responder"), person("cy", "responder", armed_by=frozenset({"id-bob"})),
             person("di", "responder"))  # fmt: skip
    moment = people.Moment("now", three, setting_up=False)
    chosen = people.approvers(moment, frozenset({"responder"}), 2, people.NOBODY)
    assert chosen is not None
    assert {each.name for each in chosen} in ({"bob", "di"}, {"cy", "di"})
    assert people.approvers(moment, frozenset({"responder"}), 3, people.NOBODY) is None


def test_keys_that_run_out_next_week_are_told_today() -> None:
    ending = {"keys": (NOW + 3 * DAY,)}
    persons = (LEAD, *(person(name, "responder", **ending) for name in ("bob", "cy", "di")), person("eve", "approver"))
    assert team(*persons) == {"people.nobody_later/1:responder": "amber"}
    renewed = tuple(replace(each, keys=(NOW + 3 * DAY, NOW + 300 * DAY)) for each in persons)
    assert team(*renewed) == {}


def test_an_approval_that_escalates_needs_somebody_to_go_to() -> None:
    persons = (person("bob", "responder"), person("cy", "responder"), LEAD)
    assert "people.no_escalation/2:responder" not in team(*persons, person("di", "responder"), needs=(TWO,))
    pair = (LEAD, person("bob", "approver"), person("cy", "approver"))
    need = replace(TWO, any_of=frozenset({"approver"}))
    assert team(*pair, needs=(need,)) == {"people.no_escalation/2:approver": "amber"}
    assert team(*pair, needs=(replace(need, on_timeout="deny"),)) == {}


def test_without_a_commander_break_glass_cannot_be_opened() -> None:
    three = [person(name, "responder") for name in ("bob", "cy", "di")]
    assert team(*three) == {"people.no_commander": "amber"}
    assert team(person("al", "commander", "responder"), *three) == {}


def test_somebody_must_be_able_to_start_a_run() -> None:
    voters = [person(name, "approver") for name in ("bob", "cy", "di")]
    need = replace(BOOK.needs[0], any_of=frozenset({"approver"}))
    keys = team(*voters, person("eve", "commander"), needs=(need,))
    assert keys == {"people.nobody_starts": "red"}


def test_a_commander_alone_is_not_two_persons() -> None:
    assert team(person("al", "commander", "analyst"), needs=()) == {"people.no_commander": "amber"}


def test_many_persons_are_tried_in_a_moment() -> None:
    crowd = [person(f"p{number}", "responder", armed_by=frozenset({f"id-p{number - 1}"})) for number in range(60)]
    assert "people.nobody_approves/2:responder" not in team(LEAD, *crowd, needs=(TWO,))


# --- techniques -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "technique", "covered"),
    [
        ("alert:techniques[*] IN ('T1486')", "T1486", True),
        ("alert:severity_id >= 4 AND alert:techniques[*] = 'T1486'", "T1486", True),
        ("alert:techniques[*] MATCHES '^T1021'", "T1021.002", True),
        ("alert:techniques[*] = 'T1021'", "T1021.002", False),
        ("alert:severity_id >= 1", "T1486", False),
        ("alert:rule_name = 'T1486'", "T1486", False),
        ("no expression at all (", "T1486", False),
    ],
)
def test_a_technique_is_covered_where_a_trigger_speaks_of_it(trigger: str, technique: str, covered: bool) -> None:
    report = house(books=(replace(BOOK, triggers=(trigger, "alert:techniques[*] = 'T1'")),),
                   seen=(Seen(technique=technique, alerts=1),))  # fmt: skip
    assert (f"coverage.not_covered/{technique}" not in found(report)) is covered
    (row,) = [each for each in report.rows if each["technique"] == technique]
    assert row["playbooks"] == (["host"] if covered else [])


def test_the_worst_is_told_first() -> None:
    report = house(switches=("*", "verb:scan"), systems=(replace(EDR, rights=None),), resolvable=False)
    assert [each.level.value for each in report.findings] == ["red", "amber", "amber", "note"]


def test_the_ready_house_stays_ready_for_a_month() -> None:
    later = NOW + timedelta(days=30)
    assert found(house(now=later, clocks=Clocks(newest=later))) == {}
