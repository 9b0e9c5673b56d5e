"""Playbooks about mail, accounts and people against the lab, from the start of a run to the closed incident."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from api.wiring import House
from tests.stage import Cast, Estate, one_database, rows
from tests.story.library.shift import Said, Shift

pytestmark = one_database
PHISH = "<7781@invoice-desk.example>"
PHISHER = "billing@invoice-desk.example"
BOX = "m.ruiz@meridian.example"
C2 = "203.0.113.66"
RUN_KEY = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run\Invoice"


@pytest.fixture
def shift(house: House, estate: Estate, cast: Cast) -> Shift:
    return Shift(house, estate, cast)


def told(estate: Estate) -> Counter[str]:
    """How often each team was told something, and had a ticket opened."""
    return Counter(
        call["target"].partition(":")[2] for call in estate.log(method="apply") if call["target"].startswith("team:")
    )


def mailbox(shift: Shift, owner: str) -> dict[str, Any]:
    found: dict[str, Any] = shift.shown()["mailboxes"][f"{owner}@meridian.example"]
    return found


# --- a reported mail -------------------------------------------------------------------------------


def test_a_reported_mail_is_pulled_from_every_mailbox_and_who_fell_for_it_is_helped(shift: Shift) -> None:
    where = shift.incident(f"email-addr:{PHISHER}", mailbox=[BOX], account=["m.ruiz"], host=["ws-0152"])
    run = shift.start(where, "phishing-reported", reported=[PHISH], reporter="m.ruiz")
    ended = shift.work_off(
        run,
        {
            "judge": {"malicious": True, "messages": [PHISH]},
            "reached": {"gave": ["m.ruiz"], "ran": ["ws-0152"]},
            "second_look": {"wrong": False},
        },
    )
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert shift.calls() == Counter(
        {
            "notify m.ruiz": 2, f"quarantine_email {PHISH}": 1, f"look_up {PHISHER}": 1, f"block_sender {PHISHER}": 1,
            "reset_password m.ruiz": 1, "revoke_sessions m.ruiz": 1, "collect_evidence ws-0152": 1, "notify on-call": 1,
            "open_ticket soc": 1,
        }
    )  # fmt: skip
    for owner in ("m.ruiz", "k.lind"):
        assert [message["quarantined"] is not None for message in mailbox(shift, owner)["messages"]] == [True]
    assert shift.standing(where) == {
        f"quarantine_email {PHISH}": "active", f"block_sender email-addr:{PHISHER}": "active"
    }  # fmt: skip
    shift.close(where)


def test_a_harmless_mail_is_given_back_and_the_reporter_is_told(shift: Shift) -> None:
    where = shift.incident(f"email-addr:{PHISHER}", mailbox=[BOX])
    run = shift.start(where, "phishing-reported", reported=[PHISH])
    assert shift.work_off(run, {"judge": {"malicious": False, "messages": []}}).status == "succeeded"
    assert shift.calls() == Counter(
        {
            "notify service-desk": 2, f"quarantine_email {PHISH}": 1, f"look_up {PHISHER}": 1,
            f"release_email {PHISH}": 1, "open_ticket soc": 1,
        }
    )  # fmt: skip
    assert mailbox(shift, "m.ruiz")["messages"][0]["quarantined"] is None
    assert shift.standing(where) == {}
    shift.close(where)


def test_a_wrong_verdict_gives_all_of_it_back(shift: Shift) -> None:
    where = shift.incident(f"email-addr:{PHISHER}", mailbox=[BOX])
    run = shift.start(where, "phishing-reported", reported=[PHISH])
    ended = shift.work_off(
        run,
        {
            "judge": {"malicious": True, "messages": [PHISH]}, "reached": {"gave": [], "ran": []},
            "second_look": {"wrong": True},
        },
    )  # fmt: skip
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert shift.standing(where) == {}
    assert mailbox(shift, "k.lind")["messages"][0]["quarantined"] is None


# --- a mailbox that diverts money ------------------------------------------------------------------


def test_a_compromised_mailbox_is_shut_cleaned_and_given_back_to_its_owner(shift: Shift) -> None:
    where = shift.incident(f"email-addr:{PHISHER}", mailbox=[BOX], account=["m.ruiz"])
    shift.work_off(shift.start(where, "triage-alert"), {})
    run = shift.start(where, "business-email-compromise")
    ended = shift.work_off(
        run,
        {
            "payments": {"paid": True},
            "recall": {"made": True},
            "examine": {
                "rules": [{"mailbox": BOX, "rule": "rule-1"}],
                "consents": [{"account": "m.ruiz", "app": "Calendar Sync Plus"}],
                "personal_data": True, "others_reached": True,
            },
            "prove": {"proven": True},
            "warn_partners": {"warned": True},
        },
    )  # fmt: skip
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert shift.calls() - Counter({f"look_up {PHISHER}": 1, "notify on-call": 1}) == Counter(
        {
            "notify finance": 1, "disable_account m.ruiz": 1, "revoke_sessions m.ruiz": 1,
            f"remove_inbox_rule {BOX}": 1, "revoke_consent m.ruiz": 1, f"block_sender {PHISHER}": 1,
            "reset_password m.ruiz": 1, "enable_account m.ruiz": 1, "notify management": 2,
            "notify privacy": 1, "open_ticket soc": 1,
        }
    )  # fmt: skip
    assert mailbox(shift, "m.ruiz")["rules"] == []
    account = shift.shown()["accounts"]["m.ruiz"]
    assert (account["enabled"], account["sessions"], account["consents"]) == (True, [], [])
    assert shift.standing(where) == {f"block_sender email-addr:{PHISHER}": "active"}
    shift.close(where)


# --- an account that somebody else uses -------------------------------------------------------------


def test_a_stolen_session_ends_with_its_account_and_the_owner_comes_back(shift: Shift) -> None:
    where = shift.incident(f"ipv4-addr:{C2}", account=["m.ruiz"], mailbox=[BOX])
    run = shift.start(where, "account-takeover")
    ended = shift.work_off(
        run,
        {
            "ask_owner": {
                "taken": True, "data_seen": False, "apps": [{"account": "m.ruiz", "app": "Calendar Sync Plus"}],
                "rules": [{"mailbox": BOX, "rule": "rule-1"}],
            },
            "prove": {"proven": True},
            "look_back": {"back": False},
        },
    )  # fmt: skip
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert shift.calls() == Counter(
        {
            "disable_account m.ruiz": 1, "revoke_sessions m.ruiz": 1, f"look_up {C2}": 1, f"block_ip {C2}": 1,
            "revoke_consent m.ruiz": 1, f"remove_inbox_rule {BOX}": 1, "reset_password m.ruiz": 1,
            "enable_account m.ruiz": 1, "open_ticket soc": 1,
        }
    )  # fmt: skip
    assert shift.standing(where) == {f"block_ip ipv4-addr:{C2}": "active"}
    shift.close(where)


def test_an_owner_who_is_not_proven_stays_locked_out_until_somebody_takes_the_hold_over(shift: Shift) -> None:
    where = shift.incident(account=["j.doe"])
    answers: dict[str, Said] = {
        "ask_owner": {"taken": True, "data_seen": True, "apps": [], "rules": []}, "prove": {"proven": False}
    }  # fmt: skip
    assert shift.work_off(shift.start(where, "account-takeover"), answers).status == "succeeded"
    assert shift.standing(where) == {"disable_account j.doe": "active"}
    assert told(shift.estate) == Counter({"privacy": 1, "identity": 1, "soc": 1})
    shift.close(where)


def test_a_protected_account_is_not_touched_and_people_hear_of_it(shift: Shift) -> None:
    where = shift.incident(account=["svc-backup"])
    answers: dict[str, Said] = {"ask_owner": {"taken": False, "data_seen": False, "apps": [], "rules": []}}
    assert shift.work_off(shift.start(where, "account-takeover"), answers).status == "succeeded"
    assert shift.calls() == Counter({"notify on-call": 1, "open_ticket soc": 1})


# --- somebody inside ------------------------------------------------------------------------------------


def test_access_of_an_insider_ends_after_evidence_and_two_voices_and_nobody_else_hears_of_it(shift: Shift) -> None:
    where = shift.incident(account=["k.lind"], host=["ws-0160"])
    run = shift.start(where, "insider-misuse")
    answers: dict[str, Said] = {
        "ground": {"may_look": True}, "decide": {"what": "restrict"}, "moment": {"now": True},
        "outcome": {"what": "leaves"},
    }  # fmt: skip
    ended = shift.work_off(run, answers)
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert shift.calls() == Counter(
        {
            "collect_evidence ws-0160": 1, "snapshot_host ws-0160": 1, "disable_account k.lind": 1,
            "disable_account k.lind@cloud": 1, "revoke_sessions k.lind": 1, "notify hr": 1, "open_ticket legal": 1,
        }
    )  # fmt: skip
    verbs = [call["verb"] for call in shift.estate.log(method="apply")]
    assert verbs.index("snapshot_host") < verbs.index("disable_account")
    assert shift.asked == ["ground", "decide", "moment", "outcome"]
    assert shift.standing(where) == {"disable_account k.lind": "active", "disable_account k.lind@cloud": "active"}
    shift.close(where)


def test_counsel_who_says_no_keeps_everything_closed_and_nobody_is_disabled(shift: Shift) -> None:
    where = shift.incident(account=["k.lind"], host=["ws-0160"])
    answers: dict[str, Said] = {"ground": {"may_look": True}, "decide": {"what": "unfounded"}}
    ended = shift.work_off(shift.start(where, "insider-misuse"), answers, denied=["collect_evidence"])
    assert ended.status == "succeeded"
    assert shift.calls() == Counter({"notify legal": 2, "open_ticket legal": 1})


# --- from host to host ------------------------------------------------------------------------------------


def test_lateral_movement_is_cut_off_in_one_stroke_hunted_cleaned_and_released(shift: Shift) -> None:
    where = shift.incident(
        f"ipv4-addr:{C2}", host=["ws-0147", "ws-0152", "dc-01", "ws-0160"], account=["j.doe", "m.ruiz"]
    )
    shift.work_off(shift.start(where, "triage-alert"), {})
    run = shift.start(where, "lateral-movement", hosts=["ws-0147", "dc-01"], accounts=["j.doe"], watch_for="1s")
    ended = shift.work_off(
        run,
        {
            "scope": {"hosts": ["ws-0147", "dc-01"], "segments": []},
            "uncut": {"more": True},
            "trail": [
                {"hosts": ["ws-0152"], "accounts": ["m.ruiz"], "more": True},
                {"hosts": ["ws-0160"], "accounts": [], "more": False},
            ],
            "clean": {
                "entries": [{"host": host, "entry": RUN_KEY} for host in ("ws-0147", "ws-0152")],
                "hosts": ["ws-0147", "ws-0152", "ws-0160"], "accounts": ["j.doe", "m.ruiz"],
            },
        },
    )  # fmt: skip
    assert (ended.status, ended.reason) == ("succeeded", "")
    isolated = {name: row.state.value for name, row in rows(shift.house, where, "isolate_host").items()}
    assert isolated == {"ws-0147": "reverted", "dc-01": "refused", "ws-0152": "reverted", "ws-0160": "reverted"}
    calls = shift.calls()
    for host in ("ws-0147", "ws-0152"):
        once = ("isolate_host", "kill_process", "quarantine_file", "remove_persistence", "release_host")
        assert [calls[f"{verb} {host}"] for verb in once] == [1] * len(once)
    assert {call for call in calls if call.endswith("dc-01")} == {"collect_evidence dc-01"}
    first = [call["verb"] for call in shift.estate.log(method="apply") if call["verb"] not in ("look_up", "notify")]
    assert set(first[:3]) == {"isolate_host", "disable_account", "revoke_sessions"}
    standing = shift.standing(where)
    assert {entry.partition(" ")[0] for entry in standing} == {"block_ip", "quarantine_file"}
    shift.close(where)


def test_a_segment_is_cut_off_whole_and_handed_over_to_be_joined_again(shift: Shift) -> None:
    where = shift.incident(host=["ws-0160"], account=["k.lind"])
    run = shift.start(where, "lateral-movement", watch_for="1s")
    ended = shift.work_off(
        run,
        {
            "scope": {"hosts": [], "segments": ["10.20.1.0/24"]},
            "uncut": {"more": False},
            "clean": {"entries": [], "hosts": ["ws-0160"], "accounts": ["k.lind", "k.lind@cloud"]},
        },
    )
    assert (ended.status, ended.reason) == ("succeeded", "")
    assert shift.standing(where) == {"segment_network 10.20.1.0/24": "active"}
    assert shift.calls()["request_change " + where] == 1
    shift.close(where)
