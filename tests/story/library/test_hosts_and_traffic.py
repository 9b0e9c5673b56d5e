"""Malware, beacons, lost data, a web shell, a flood: playbooks of the library against the lab."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from api.wiring import House
from integrations.estate.sample import C2_ADDRESS, C2_DOMAIN, PORTAL_KEY
from tests.stage import Cast, Estate, one_database, rows
from tests.story.library.shift import Said, Shift

pytestmark = one_database
C2 = f"ipv4-addr:{C2_ADDRESS}"
RUN_KEY = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run\Invoice"
SHELL = "/srv/portal/uploads/label.php"


@pytest.fixture
def shift(house: House, estate: Estate, cast: Cast) -> Shift:
    """On duty are the owners of what is hit, too."""
    found = Shift(house, estate, cast)
    found.voters.append(cast.person("otto", "asset_owner"))
    return found


def worked_off(shift: Shift, where: str, slug: str, answers: Mapping[str, Said], **more: Any) -> Any:
    """What the incident names is looked up, as it is when an alert opens one; then a playbook runs to its end."""
    assert shift.work_off(shift.start(where, "triage-alert"), {}).status == "succeeded"
    denied = more.pop("denied", ())
    return shift.work_off(shift.start(where, slug, **more), answers, denied)


def done(shift: Shift) -> Counter[str]:
    """What the lab was asked to do, but for what every alert begins with; who watches looks as often as he likes."""
    calls = shift.calls() - Counter({f"look_up {C2_ADDRESS}": 1, "notify on-call": 1})
    return Counter({call: 1 if call.startswith("watch ") else count for call, count in calls.items()})


def order(shift: Shift, *verbs: str) -> list[str]:
    """These verbs as the lab was asked for them, each when it came first."""
    return list(dict.fromkeys(call["verb"] for call in shift.estate.log() if call["verb"] in verbs
                              and call["method"] in ("apply", "revert")))  # fmt: skip


# --- malware -------------------------------------------------------------------------------------------


def test_malware_is_removed_with_what_starts_it_again_and_the_host_goes_back(shift: Shift) -> None:
    where = shift.incident(C2, host=["ws-0147"])
    answers: dict[str, Said] = {
        "judge": {"spreading": False, "persistence": [{"host": "ws-0147", "entry": RUN_KEY}]},
        "wrap": {"open": "the mail it came with"},
    }
    ended = worked_off(shift, where, "malware-found", answers, watch_for="1s")
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert done(shift) == Counter(
        {
            "collect_evidence ws-0147": 2, "isolate_host ws-0147": 1, f"block_ip {C2_ADDRESS}": 1,
            "kill_process ws-0147": 1, "quarantine_file ws-0147": 1, "remove_persistence ws-0147": 1,
            "verify_clean ws-0147": 1, "release_host ws-0147": 1, "watch ws-0147": 1, "open_ticket desk": 1,
        }
    )  # fmt: skip
    assert order(shift, "collect_evidence", "isolate_host", "kill_process", "verify_clean", "release_host") == [
        "collect_evidence", "isolate_host", "kill_process", "verify_clean", "release_host",
    ]  # fmt: skip
    host = shift.shown()["hosts"]["ws-0147"]
    assert (host["isolated"], host["autostarts"]) == (None, [])
    assert shift.standing(where) == {f"block_ip {C2}": "active", "quarantine_file ws-0147": "active"}
    shift.close(where)


def test_a_host_that_is_not_clean_is_installed_anew_before_it_goes_back(shift: Shift) -> None:
    where = shift.incident(host=["ws-0147"])
    answers: dict[str, Said] = {
        "judge": {"spreading": True, "persistence": []}, "which": {"hosts": ["ws-0147"]}, "wrap": {"open": "nothing"}
    }  # fmt: skip
    ended = worked_off(shift, where, "malware-found", answers, watch_for="1s", denied=["kill_process"])
    assert (ended.status, ended.reason) == ("succeeded", "")
    calls = done(shift)
    assert (calls["kill_process ws-0147"], calls["rebuild_host ws-0147"], calls["release_host ws-0147"]) == (0, 1, 1)
    assert order(shift, "verify_clean", "rebuild_host", "release_host") == [
        "verify_clean", "rebuild_host", "release_host",
    ]  # fmt: skip
    assert shift.standing(where) == {}
    shift.close(where)


# --- a beacon --------------------------------------------------------------------------------------------


def test_a_channel_is_shut_on_both_ends_and_another_host_that_used_it_is_found(shift: Shift) -> None:
    where = shift.incident(C2, f"domain-name:{C2_DOMAIN}", host=["ws-0147", "dc-01"], account=["j.doe"])
    answers: dict[str, Said] = {
        "hunt": {"hosts": ["ws-0152"]},
        "which": {"hosts": ["ws-0152"]},
        "wrap": {"open": "first contact"},
    }
    run = shift.start(where, "command-and-control-beacon", hosts=["ws-0147", "dc-01"], watch_for="1s")
    ended = shift.work_off(run, answers)
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert done(shift) == Counter(
        {
            f"look_up {C2_DOMAIN}": 1, "collect_evidence ws-0147": 3,
            "collect_evidence dc-01": 3, "collect_evidence ws-0152": 1, f"block_ip {C2_ADDRESS}": 1,
            f"block_domain {C2_DOMAIN}": 1, "isolate_host ws-0147": 1, "isolate_host ws-0152": 1,
            "kill_process ws-0147": 1, "quarantine_file ws-0147": 1, "reset_password j.doe": 1,
            "revoke_sessions j.doe": 1, "verify_clean ws-0147": 1, "verify_clean dc-01": 1, "verify_clean ws-0152": 1,
            "rebuild_host ws-0152": 1, "release_host ws-0147": 1, "release_host ws-0152": 1, "watch ws-0147": 1,
            "watch dc-01": 1, "watch ws-0152": 1, "open_ticket desk": 1,
        }
    )  # fmt: skip
    isolated = {name: row.state.value for name, row in rows(shift.house, where, "isolate_host").items()}
    assert isolated == {"ws-0147": "reverted", "dc-01": "refused", "ws-0152": "reverted"}
    assert shift.standing(where) == {
        f"block_ip {C2}": "active", f"block_domain domain-name:{C2_DOMAIN}": "active",
        "quarantine_file ws-0147": "active",
    }  # fmt: skip
    shift.close(where)


# --- data that leaves -----------------------------------------------------------------------------------------


def test_a_flow_of_data_is_stopped_and_those_who_must_tell_others_are_told(shift: Shift) -> None:
    where = shift.incident(C2, host=["ws-0152"], account=["m.ruiz"])
    answers: dict[str, Said] = {
        "keep": {"kept": "proxy logs on log-02"},
        "assess": {"benign": False, "personal_data": True, "what": "4 GB of customer files"},
        "duty": {"tell": True, "ground": "risk to customers"},
        "told": {"receipt": "DPA-17"},
        "wrap": {"open": "claims"},
    }
    ended = worked_off(shift, where, "data-exfiltration", answers, watch_for="1s")
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert done(shift) == Counter(
        {
            f"block_ip {C2_ADDRESS}": 1, "isolate_host ws-0152": 1, "disable_account m.ruiz": 1,
            "revoke_sessions m.ruiz": 1, "collect_evidence ws-0152": 2, "notify privacy": 1, "notify legal": 1,
            "notify management": 1, "open_ticket privacy": 1, "kill_process ws-0152": 1, "quarantine_file ws-0152": 1,
            "reset_password m.ruiz": 1, "enable_account m.ruiz": 1, "verify_clean ws-0152": 1,
            "release_host ws-0152": 1, "watch ws-0152": 1, "open_ticket legal": 1,
        }
    )  # fmt: skip
    assert order(shift, "isolate_host", "collect_evidence", "kill_process") == [
        "isolate_host", "collect_evidence", "kill_process",
    ]  # fmt: skip
    assert shift.standing(where) == {f"block_ip {C2}": "active", "quarantine_file ws-0152": "active"}
    shift.close(where)


def test_a_wanted_transfer_goes_on_and_nothing_is_left_behind(shift: Shift) -> None:
    where = shift.incident(C2, host=["ws-0160"], account=["k.lind"])
    answers: dict[str, Said] = {
        "keep": {"kept": "proxy logs"}, "assess": {"benign": True, "personal_data": False, "what": "the nightly copy"}
    }  # fmt: skip
    ended = worked_off(shift, where, "data-exfiltration", answers)
    assert (ended.status, ended.reason) == ("succeeded", "")
    calls = done(shift)
    for both in (("isolate_host ws-0160", "release_host ws-0160"), ("disable_account k.lind", "enable_account k.lind"),
                 (f"block_ip {C2_ADDRESS}", f"unblock_ip {C2_ADDRESS}")):  # fmt: skip
        assert [calls[each] for each in both] == [1, 1]
    assert shift.standing(where) == {}
    shift.close(where)


# --- a web server that was broken into ----------------------------------------------------------------------


def test_a_web_shell_is_removed_its_hole_closed_and_what_the_portal_knew_is_worth_nothing(shift: Shift) -> None:
    where = shift.incident(C2, host=["srv-web-02"], account=["svc-portal"], key=[PORTAL_KEY])
    answers: dict[str, Said] = {
        "hole": {"change": "uploads off", "update": "portal 4.2"},
        "content": {"altered": True, "backup": "portal-0412", "personal_data": True},
        "wrap": {"works": True, "open": "a review of the upload"},
    }
    ended = worked_off(shift, where, "web-application-attack", answers, watch_for="1s")
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert done(shift) == Counter(
        {
            "apply_workaround srv-web-02": 1, f"block_ip {C2_ADDRESS}": 1, "collect_evidence srv-web-02": 2,
            "notify application-owners": 1, "isolate_host srv-web-02": 1, "kill_process srv-web-02": 1,
            "quarantine_file srv-web-02": 1, f"revoke_credential {PORTAL_KEY}": 1, "reset_password svc-portal": 1,
            "revoke_sessions svc-portal": 1, "patch srv-web-02": 1, "restore_backup srv-web-02": 1,
            "notify privacy": 1, "verify_clean srv-web-02": 1, "release_host srv-web-02": 1, "watch srv-web-02": 1,
            "open_ticket application-owners": 1,
        }
    )  # fmt: skip
    server = shift.shown()["hosts"]["srv-web-02"]
    assert (server["workarounds"], server["updates"], server["isolated"]) == (["uploads off"], ["portal 4.2"], None)
    assert [file["path"] for file in server["files"] if file["quarantined"]] == [SHELL]
    assert shift.standing(where) == {
        f"block_ip {C2}": "active", "quarantine_file srv-web-02": "active", f"revoke_credential {PORTAL_KEY}": "active"
    }  # fmt: skip
    shift.close(where)


# --- a flood ----------------------------------------------------------------------------------------------


FLOOD: dict[str, Said] = {
    "attack": {"attack": True, "kind": "volume"},
    "provider": {"ticket": "P-88", "limits": "2 Gbit/s"},
    "beneath": {"other_attack": False},
    "quiet": {"quiet": True},
    "limits_off": {"gone": True},
    "wrap": {"open": "a second line"},
}


def test_a_service_under_a_flood_moves_to_its_second_site_and_back(shift: Shift) -> None:
    where = shift.incident(C2, service=["freight-portal"])
    ended = worked_off(shift, where, "denial-of-service", FLOOD)
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert done(shift) == Counter(
        {
            "notify service-desk": 1, "fail_over freight-portal": 1, f"block_ip {C2_ADDRESS}": 1,
            "notify management": 1, "fail_back freight-portal": 1, "open_ticket service-desk": 1,
        }
    )  # fmt: skip
    assert shift.shown()["services"]["freight-portal"]["failed_over"] is None
    assert shift.standing(where) == {f"block_ip {C2}": "active"}
    shift.close(where)


def test_a_service_that_stays_at_its_second_site_is_handed_over(shift: Shift) -> None:
    where = shift.incident(service=["freight-portal"])
    ended = worked_off(shift, where, "denial-of-service", {**FLOOD, "quiet": {"quiet": False}})
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert (done(shift)[f"request_change {where}"], done(shift)["fail_back freight-portal"]) == (1, 0)
    assert shift.standing(where) == {"fail_over freight-portal": "active"}
    shift.close(where)


def test_a_service_that_is_only_popular_is_left_alone(shift: Shift) -> None:
    where = shift.incident(service=["freight-portal"])
    ended = worked_off(shift, where, "denial-of-service", {"attack": {"attack": False, "kind": "a campaign"}})
    assert ended.status == "succeeded"
    assert done(shift) == Counter({"notify service-desk": 1, "open_ticket service-desk": 1})
