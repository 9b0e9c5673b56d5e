"""Leaked keys, lost devices, vendors, holes, ransomware, false alarms: the library against the lab, to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from api.wiring import House
from integrations.estate.sample import C2_ADDRESS, KEY, VENDOR, VENDOR_KEY, VENDOR_NETWORK, WORKSTATIONS
from soar.engine import asking
from soar.store import tasks
from soar.store.tables import runs
from tests.stage import Cast, Estate, one_database, rows, until
from tests.story.library.shift import Said, Shift

pytestmark = one_database
C2 = f"ipv4-addr:{C2_ADDRESS}"
CARRIER = "198.51.100.20"
LAPTOP = "nb-0201"
EVIDENCE = {"memory", "processes", "connections", "disk", "logs"}


@pytest.fixture
def shift(house: House, estate: Estate, cast: Cast) -> Shift:
    return Shift(house, estate, cast)


def worked_off(shift: Shift, where: str, slug: str, answers: Mapping[str, Said], **more: Any) -> None:
    """A playbook runs to a good end."""
    denied = more.pop("denied", ())
    ended = shift.work_off(shift.start(where, slug, **more), answers, denied)
    assert (ended.status, ended.reason) == ("succeeded", "")


def first(shift: Shift, *verbs: str) -> list[str]:
    """These verbs in the order in which the lab was asked for them."""
    done = [call["verb"] for call in shift.estate.log() if call["method"] in ("apply", "revert")]
    return list(dict.fromkeys(verb for verb in done if verb in verbs))


# --- a leaked key --------------------------------------------------------------------------------------


def test_a_leaked_key_is_revoked_and_what_a_stranger_made_with_it_is_cut_off(shift: Shift) -> None:
    where = shift.incident(key=[KEY])
    worked_off(
        shift, where, "leaked-cloud-key",
        {
            "use": {"leaked": True, "used": True, "keys": [], "accounts": ["k.lind@cloud"], "data_seen": True},
            "clean": {"removed": "a machine that digs for coins"}, "rotate": {"running": True},
        },
    )  # fmt: skip
    assert shift.calls() == Counter(
        {
            f"revoke_credential {KEY}": 1, "disable_account k.lind@cloud": 1, "notify management": 1,
            "notify privacy": 1, f"request_change {where}": 1, "open_ticket soc": 1,
        }
    )  # fmt: skip
    assert shift.shown()["keys"][KEY]["revoked"] is not None
    assert shift.standing(where) == {f"revoke_credential {KEY}": "active", "disable_account k.lind@cloud": "active"}
    shift.close(where)


def test_a_key_that_never_leaked_comes_back_when_a_second_person_agrees(shift: Shift) -> None:
    where = shift.incident(key=[KEY])
    no = {"leaked": False, "used": False, "keys": [], "accounts": [], "data_seen": False}
    worked_off(shift, where, "leaked-cloud-key", {"use": no})
    assert shift.calls() == Counter(
        {f"revoke_credential {KEY}": 1, f"restore_credential {KEY}": 1, "open_ticket soc": 1}
    )
    assert ["restore_credential" in subject for subject in shift.approved] == [False, True]
    assert shift.shown()["keys"][KEY]["revoked"] is None
    assert shift.standing(where) == {}
    shift.close(where)


# --- a lost device -------------------------------------------------------------------------------------


def test_a_lost_laptop_is_locked_looked_into_and_wiped_by_two_persons(shift: Shift) -> None:
    where = shift.incident(host=[LAPTOP], account=["k.lind"])
    answers: dict[str, Said] = {"ask": {"back": False, "personal_data": True}, "decide": {"wipe": True}}
    worked_off(shift, where, "lost-or-stolen-device", answers)
    assert shift.calls() == Counter(
        {
            f"lock_device {LAPTOP}": 1, "revoke_sessions k.lind": 1, f"collect_evidence {LAPTOP}": 1,
            "notify privacy": 1, "notify desk": 1, "reset_password k.lind": 1, "reset_password k.lind@cloud": 1,
            f"wipe_device {LAPTOP}": 1, "open_ticket assets": 1, "open_ticket soc": 1,
        }
    )  # fmt: skip
    assert first(shift, "lock_device", "collect_evidence", "wipe_device") == [
        "lock_device", "collect_evidence", "wipe_device"
    ]  # fmt: skip
    device = shift.shown()["hosts"][LAPTOP]
    assert (device["wiped"] is not None, device["locked"] is not None) == (True, True)
    assert shift.standing(where) == {f"lock_device {LAPTOP}": "active"}
    shift.close(where)


def test_a_laptop_that_came_back_is_proven_clean_and_unlocked(shift: Shift) -> None:
    where = shift.incident(host=[LAPTOP], account=["k.lind"])
    worked_off(shift, where, "lost-or-stolen-device", {"ask": {"back": True, "personal_data": False}})
    assert first(shift, "lock_device", "verify_clean", "unlock_device", "wipe_device") == [
        "lock_device", "verify_clean", "unlock_device"
    ]  # fmt: skip
    assert shift.shown()["hosts"][LAPTOP]["locked"] is None
    assert shift.standing(where) == {}
    shift.close(where)


def test_a_laptop_that_tells_nothing_is_wiped_only_by_an_approval_that_names_the_loss(shift: Shift) -> None:
    shift.estate.fault(verb="collect_evidence", phase="apply", fault="error_500", times=50)
    where = shift.incident(host=[LAPTOP], account=["k.lind"])
    answers: dict[str, Said] = {"ask": {"back": False, "personal_data": False}, "decide": {"wipe": True}}
    worked_off(shift, where, "lost-or-stolen-device", answers)
    wipe = rows(shift.house, where, "wipe_device")[LAPTOP]
    named = next(finding["reason"] for finding in wipe.guards if finding["guard"] == "evidence")
    assert set(named.replace(",", "").split()) >= EVIDENCE
    assert shift.shown()["hosts"][LAPTOP]["wiped"] is not None


def test_a_wipe_that_the_second_person_refuses_does_not_happen(shift: Shift) -> None:
    where = shift.incident(host=[LAPTOP], account=["k.lind"])
    answers: dict[str, Said] = {"ask": {"back": False, "personal_data": False}, "decide": {"wipe": True}}
    worked_off(shift, where, "lost-or-stolen-device", answers, denied=["wipe_device"])
    assert shift.calls()[f"wipe_device {LAPTOP}"] == 0
    assert shift.shown()["hosts"][LAPTOP]["wiped"] is None
    assert shift.standing(where) == {f"lock_device {LAPTOP}": "active"}


# --- a vendor ------------------------------------------------------------------------------------------

THEIRS: Said = {
    "accounts": [VENDOR], "keys": [VENDOR_KEY], "networks": [VENDOR_NETWORK], "hosts": ["srv-web-01"]
}  # fmt: skip


def test_a_breached_vendor_is_cut_off_by_two_persons_and_comes_back_with_new_credentials(shift: Shift) -> None:
    where = shift.incident(account=[VENDOR], key=[VENDOR_KEY])
    worked_off(
        shift, where, "vendor-breach", {"connected": THEIRS, "look": {"misused": False}, "attest": {"back": True}}
    )
    assert shift.calls() == Counter(
        {
            "collect_evidence srv-web-01": 1, f"disable_account {VENDOR}": 1, f"revoke_sessions {VENDOR}": 1,
            f"revoke_credential {VENDOR_KEY}": 1, f"segment_network {VENDOR_NETWORK}": 1, "notify procurement": 1,
            "notify privacy": 1, "notify management": 1, f"reset_password {VENDOR}": 1, f"enable_account {VENDOR}": 1,
            f"request_change {where}": 1, "open_ticket soc": 1,
        }
    )  # fmt: skip
    order = first(shift, "collect_evidence", "segment_network", "reset_password", "enable_account")
    assert order == ["collect_evidence", "segment_network", "reset_password", "enable_account"]
    account = shift.shown()["accounts"][VENDOR]
    assert (account["enabled"], account["sessions"]) == (True, [])
    assert shift.standing(where) == {
        f"revoke_credential {VENDOR_KEY}": "active", f"segment_network {VENDOR_NETWORK}": "active"
    }  # fmt: skip
    shift.close(where)


def test_a_vendor_whose_access_was_misused_stays_out(shift: Shift) -> None:
    where = shift.incident(C2, account=[VENDOR])
    worked_off(shift, where, "triage-alert", {})
    answers: dict[str, Said] = {"connected": THEIRS, "look": {"misused": True}, "attest": {"back": False}}
    worked_off(shift, where, "vendor-breach", answers)
    assert first(shift, "block_ip", "verify_clean", "enable_account") == ["block_ip", "verify_clean"]
    assert f"disable_account {VENDOR}" in shift.standing(where)
    shift.close(where)


# --- a hole that cannot wait ---------------------------------------------------------------------------


def test_a_critical_hole_is_shielded_then_closed_on_every_host_without_any_alert(shift: Shift) -> None:
    where = shift.incident(host=["srv-web-01", "srv-files-01"])
    servers = ["srv-web-01", "srv-files-01"]
    worked_off(
        shift, where, "emergency-vulnerability",
        {
            "assess": {"hosts": servers, "exploited": True, "workaround": "preview is off"},
            "holds": {"good": True}, "update": {"ready": True, "name": "portal 4.2.1"}, "proof": {"closed": True},
        },
        weakness="CVE-2026-12345",
    )  # fmt: skip
    assert shift.calls() == Counter(
        {
            f"request_change {where}": 1, "notify asset-owners": 1, "open_ticket soc": 1,
            **{f"{verb} {host}": 1 for host in servers
               for verb in ("collect_evidence", "apply_workaround", "snapshot_host", "patch")},
            **{f"verify_clean {host}": 2 for host in servers},
        }
    )  # fmt: skip
    assert first(shift, "collect_evidence", "apply_workaround", "snapshot_host", "patch") == [
        "collect_evidence", "apply_workaround", "snapshot_host", "patch"
    ]  # fmt: skip
    hosts = shift.shown()["hosts"]
    assert [(hosts[host]["workarounds"], hosts[host]["updates"]) for host in servers] == [
        (["preview is off"], ["portal 4.2.1"])
    ] * 2
    assert shift.standing(where) == {}
    shift.close(where)


# --- ransomware ----------------------------------------------------------------------------------------


def test_ransomware_is_cut_off_in_one_stroke_and_every_host_is_proven_clean_before_any_goes_back(shift: Shift) -> None:
    where = shift.incident(C2, host=["ws-0147", "ws-0152"], account=["j.doe", "m.ruiz"])
    worked_off(shift, where, "triage-alert", {})
    before = shift.calls()
    plan: Said = {
        "more": [], "rebuild": ["ws-0152"], "good_backup": True, "restore": [{"host": "ws-0152", "backup": "nightly-3"}]
    }  # fmt: skip
    worked_off(
        shift, where, "ransomware", {"plan": plan}, watch_for="1s", networks=[WORKSTATIONS],
        backups=[{"host": "srv-files-01", "name": "backup-agent"}],
    )  # fmt: skip
    hosts, accounts = ("ws-0147", "ws-0152"), ("j.doe", "m.ruiz")
    assert shift.calls() - before == Counter(
        {
            f"segment_network {WORKSTATIONS}": 1, "stop_service srv-files-01": 1, "notify management": 1,
            "notify privacy": 1, f"block_ip {C2_ADDRESS}": 1, "rebuild_host ws-0152": 1, "verify_clean srv-files-01": 1,
            "restore_backup ws-0152": 1, "start_service srv-files-01": 1, f"request_change {where}": 1,
            "open_ticket soc": 1,
            **{f"{verb} {host}": 1 for host in hosts for verb in (
                "isolate_host", "kill_process", "quarantine_file", "verify_clean", "release_host",
            )},
            **{f"{verb} {host}": 2 for host in hosts for verb in ("collect_evidence", "watch")},
            **{f"{verb} {who}": 1 for who in accounts for verb in (
                "disable_account", "revoke_sessions", "reset_password", "enable_account",
            )},
        }
    )  # fmt: skip
    lab = shift.shown()
    assert [lab["hosts"][host]["isolated"] for host in hosts] == [None, None]
    assert [lab["accounts"][who]["enabled"] for who in accounts] == [True, True]
    assert lab["networks"][WORKSTATIONS]["segmented"] is not None
    held = shift.standing(where)
    assert {name.partition(" ")[0] for name in held} == {"segment_network", "quarantine_file", "block_ip"}
    shift.close(where)


def test_with_one_host_not_clean_nothing_is_given_back(shift: Shift) -> None:
    where = shift.incident(host=["ws-0147", "ws-0152"], account=["j.doe"])
    plan: Said = {"more": ["ws-0160"], "rebuild": [], "good_backup": False, "restore": []}
    worked_off(shift, where, "ransomware", {"plan": plan}, denied=["kill_process"])
    assert first(shift, "verify_clean", "release_host", "enable_account") == ["verify_clean"]
    assert shift.calls()["isolate_host ws-0160"] == 1
    assert {name for name in shift.standing(where) if name.startswith("isolate_host")} == {
        "isolate_host ws-0147", "isolate_host ws-0152", "isolate_host ws-0160"
    }  # fmt: skip


# --- benign or real ------------------------------------------------------------------------------------


def test_a_false_alarm_is_looked_at_by_reading_only_and_its_rule_learns(shift: Shift) -> None:
    where = shift.incident(f"ipv4-addr:{CARRIER}", host=["ws-0160"])
    answers: dict[str, Said] = {
        "judge": {"verdict": "false-positive", "reason": "our carrier", "playbook": ""},
        "lesson": {"change": "rule 7 without the carrier until June"},
    }
    worked_off(shift, where, "false-positive-triage", answers)
    assert shift.calls() == Counter(
        {
            f"look_up {CARRIER}": 1, "collect_evidence ws-0160": 1, f"request_change {where}": 1, "open_ticket soc": 1
        }
    )  # fmt: skip
    (change,) = shift.shown()["board"]["changes"]
    assert change["text"] == "Tune the detection: rule 7 without the carrier until June. Why: our carrier"
    assert shift.approved == []
    assert shift.standing(where) == {}
    shift.close(where)


def test_a_real_one_goes_on_as_the_playbook_that_fits_and_is_written_down_when_that_has_ended(shift: Shift) -> None:
    where = shift.incident(key=[KEY])
    triage = shift.start(where, "false-positive-triage")
    answer(shift, triage, {"verdict": "real", "reason": "it works", "playbook": "leaked-cloud-key"})
    called = until(lambda: run_of(shift, where, "leaked-cloud-key"))
    assert shift.calls()["open_ticket soc"] == 0  # the triage waits for what it has called
    answers: dict[str, Said] = {
        "use": {"leaked": True, "used": False, "keys": [], "accounts": [], "data_seen": False},
        "rotate": {"running": True},
    }
    assert shift.work_off(called, answers).status == "succeeded"
    assert shift.work_off(triage, {}).status == "succeeded"
    assert shift.calls() == Counter({f"revoke_credential {KEY}": 1, f"request_change {where}": 1, "open_ticket soc": 2})
    assert shift.standing(where) == {f"revoke_credential {KEY}": "active"}
    shift.close(where)


def answer(shift: Shift, run: str, given: Mapping[str, Any]) -> None:
    """Ada answers the question that a run waits for."""

    def question() -> Any:
        with shift.house.store.read() as conn:
            return next(iter(tasks.find(conn, run_id=run, status="open", kind="manual")), None)

    task = until(question)
    shift.house.store.write(lambda tx: asking.answer(tx, task.id, shift.ada, given))


def run_of(shift: Shift, incident: str, slug: str) -> str | None:
    """The run of a playbook in an incident."""
    query = sa.select(runs.c.id).where(runs.c.incident_id == incident, runs.c.playbook_slug == slug)
    with shift.house.store.read() as conn:
        found: str | None = conn.execute(query).scalar()
    return found
