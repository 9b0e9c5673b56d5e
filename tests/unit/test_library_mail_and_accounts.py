"""Which alerts propose the playbooks about mail, accounts and people."""

from __future__ import annotations

from typing import Any

import pytest

from soar.expressions import parse
from soar.playbook.yaml.yaml_form import load
from tests.conftest import ROOT


def proposed(name: str, alert: dict[str, Any]) -> bool:
    """Whether a playbook of the library is proposed for an alert; none of them ever starts by itself."""
    playbook = load((ROOT / "playbooks" / "library" / f"{name}.yaml").read_bytes())
    assert {trigger.start for trigger in playbook.triggers} == {"propose"}
    return any(parse(trigger.when).evaluate({"alert": alert}) for trigger in playbook.triggers)


@pytest.mark.parametrize(
    ("name", "alert"),
    [
        ("phishing-reported", {"techniques": ["T1566.002"], "severity_id": 2}),
        ("phishing-reported", {"rule_name": "User reported phishing mail"}),
        ("account-takeover", {"techniques": ["T1539"], "severity_id": 3}),
        ("business-email-compromise", {"techniques": ["T1114.003"]}),
        ("business-email-compromise", {"rule_name": "New inbox rule forwards to outside"}),
        ("insider-misuse", {"techniques": ["T1052.001"]}),
        ("lateral-movement", {"techniques": ["T1003", "T1021.002"], "severity_id": 4}),
    ],
)
def test_it_is_proposed_where_it_fits(name: str, alert: dict[str, Any]) -> None:
    assert proposed(name, alert)
    assert not proposed(name, {"techniques": ["T1498"], "severity_id": 5, "rule_name": "Denial of service"})


def test_a_weak_sign_proposes_no_harsh_measure() -> None:
    assert not proposed("account-takeover", {"techniques": ["T1539"], "severity_id": 2})
    assert not proposed("lateral-movement", {"techniques": ["T1021.002"], "severity_id": 3})
