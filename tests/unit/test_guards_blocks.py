"""Stories of blocks: what is never cut, in whatever spelling, and what may be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.guards import addresses
from soar.guards.case import ApprovalFacts, Vote
from soar.guards.judge import judge
from soar.guards.reach import Reach
from soar.guards.warning import WarningList, WarningLists
from soar.model import Observable, Verdict
from tests.unit.guard_cases import POLICY, block_case, stops, wide

OFF_LIMITS = {
    "ip": [
        "127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "fe80::1%eth0", "ff02::1",
        "::", "192.168.1.1", "10.1.2.3", "100.64.0.1", "172.31.0.9", "fd00::1", "fec0::1",
        "192.0.2.9", "192.0.0.0/8", "0.0.0.0/0", "::/0", "9.9.9.9", "9.9.9.0/24",
        "::ffff:192.168.1.1", "64:ff9b::192.168.1.1", "64:ff9b:1::c0a8:101", "2002:c0a8:0101::1", "::192.168.1.1",
        "2001:0:4136:e378:8000:63bf:3f57:fefe", "64:ff9b::/96", "2002::/16", "::ffff:0:0/96", "::ffff:0:192.168.1.1",
        "11.0.0.0/8", "2400::/12", "10.66.0.0/15", "not an address", "0x7f000001", "2130706433", "127.1", "0177.0.0.1",
        "203.0.113.66", "203.0.113.0/24", "2001:db8:f::1",
    ],
    "domain": [
        "corp.example", "mail.corp.example", "CORP.example.", "*.corp.example", "example", "com", "co.uk", "github.io",
        "partner.example", "192.168.1.1", f"{wide('corp')}.example", "corp。example", "a..b", "", "b c.example",
        "straße.example", "victim.bank.test", "bank.test", "shop.test",
    ],
    "url": [
        "https://corp.example", "https://evil@corp.example/", "https://[::1]/x", "http://2130706433/", "http://0x7f.1/",
        "http://127.0.0.1/a", "https://github.io/", "https://corp.example\\@evil.test/", "http:/evil.test/x",
        "javascript:1", "http://exa%6dple.test/", "https://victim.bank.test/x",
    ],
    "sender": ["boss@corp.example", "@corp.example", "corp.example", "ceo@bank.test", "x", "a b@evil.test", "@gmail"],
    "hash": [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "D41D8CD98F00B204E9800998ECF8427E", "zz",
        "../x",
    ],
}  # fmt: skip
VICTIMS = frozenset({"203.0.113.66", "2001:db8:f::/64", "victim.bank.test", "ceo@bank.test", "www.shop.test"})


@pytest.mark.parametrize(("what", "value"), [(what, value) for what, values in OFF_LIMITS.items() for value in values])
def test_what_must_not_be_blocked_is_refused_in_every_spelling(what: str, value: str) -> None:
    judgement = judge(block_case(value, what=what, victim_addresses=VICTIMS), POLICY)
    assert ("never_block", "refuse") in stops(judgement), judgement.as_plain()


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("ip", "203.0.113.9"), ("ip", "45.33.32.0/24"), ("ip", "10.66.4.4"), ("ip", "2a00:1450::66"),
        ("ip", "64:ff9b::45.33.32.156"), ("domain", "evil.test"), ("domain", "corp.example.evil.test"),
        ("domain", "evilcorp.example"), ("domain", "bücher.test"), ("domain", "a.github.io"),
        ("url", "http://evil.test/a?b={c}|d"), ("url", "evil.test/a"), ("url", "https://s3.amazonaws.com/evil/x"),
        ("url", "https://203.0.113.9:8443/"), ("sender", "evil@gmail.com"), ("sender", "other@bank.test"),
        ("hash", "44d88612fea8a8f36de82e1278abb02f"),
    ],
)  # fmt: skip
def test_an_attackers_value_may_be_blocked(what: str, value: str) -> None:
    assert judge(block_case(value, what=what, victim_addresses=VICTIMS), POLICY).allowed


def test_a_network_listed_in_its_wrapped_form_is_met_plainly() -> None:
    listed = replace(POLICY, never_block_networks=(ip_network("64:ff9b::505:500/120"),))
    assert stops(judge(block_case("5.5.5.9"), listed)) == [("never_block", "refuse")]
    assert judge(block_case("5.5.6.9"), listed).allowed


def test_never_block_yields_to_break_glass_but_loopback_does_not() -> None:
    assert judge(block_case("mail.corp.example", what="domain", break_glass=True), POLICY).allowed
    assert judge(block_case("192.168.1.1", break_glass=True), POLICY).allowed
    assert judge(block_case("127.0.0.1", break_glass=True), POLICY).refused


def test_one_page_on_a_never_block_domain_is_a_matter_for_a_person() -> None:
    page = block_case("https://docs.corp.example/forms/evil", what="url", action_digest="d")
    assert stops(judge(page, POLICY)) == [("never_block", "ask")]
    vote = Vote(person_id="ann", decision="approve", digest="d")
    assert judge(replace(page, approval=ApprovalFacts(digest="d", voters=(vote,))), POLICY).allowed


LISTS = WarningLists(
    [
        WarningList("rfc1918", "cidr", ("192.168.0.0/16",)),
        WarningList("cloud", "cidr", ("45.33.0.0/16", "2001:db8:1::/48")),
        WarningList("resolvers", "string", ("9.9.9.9",)),
        WarningList("top sites", "string", ("popular.test",)),
        WarningList("crl", "hostname", ("crl.vendor.test",)),
        WarningList("abuse desks", "regex", ("/^(abuse|noc)\\@.*$/i",)),
        WarningList("empty files", "string", ("d41d8cd98f00b204e9800998ecf8427e",)),
        WarningList("simulators", "substring", ("phishing-drill",)),
    ]
)
WARY = replace(POLICY, warning_lists=LISTS)


@pytest.mark.parametrize(
    ("what", "value", "named"),
    [
        ("ip", "192.168.1.1", "rfc1918"), ("ip", "64:ff9b::45.33.32.156", "cloud"), ("ip", "45.32.0.0/15", "cloud"),
        ("ip", "::ffff:9.9.9.9", "resolvers"), ("ip", "9.9.9.0/24", "resolvers"), ("ip", "2001:db8:1::7", "cloud"),
        ("domain", "POPULAR.test.", "top sites"), ("domain", "crl.vendor.test", "crl"),
        ("domain", "a.crl.vendor.test", "crl"), ("domain", "vendor.test", "crl"),
        ("domain", "login.phishing-drill.test", "simulators"), ("sender", "NOC@elsewhere.test", "abuse desks"),
        ("hash", "D41D8CD98F00B204E9800998ECF8427E", "empty files"), ("url", "https://crl.vendor.test/", "crl"),
    ],
)  # fmt: skip
def test_a_warning_list_meets_whatever_a_block_would_reach(what: str, value: str, named: str) -> None:
    judgement = judge(block_case(value, what=what), WARY)
    assert not judgement.allowed
    assert any(f"warning list {named}" in reason for reason in judgement.reasons), judgement.reasons


@pytest.mark.parametrize(
    ("what", "value"),
    [("ip", "45.34.0.1"), ("ip", "9.9.9.10"), ("domain", "unpopular.test"), ("domain", "a.popular.test"),
     ("domain", "crl.vendor.test.evil.test"), ("sender", "a@b.test")],
)  # fmt: skip
def test_a_warning_list_meets_nothing_else(what: str, value: str) -> None:
    assert judge(block_case(value, what=what), WARY).allowed


def test_a_page_on_a_listed_site_is_a_matter_for_a_person() -> None:
    assert stops(judge(block_case("https://popular.test/evil", what="url", action_digest="d"), WARY)) == [
        ("never_block", "ask")
    ]


NETWORK = st.tuples(st.ip_addresses(v=4), st.integers(8, 32)).map(
    lambda pair: ip_network(f"{pair[0]}/{pair[1]}", strict=False)
)


@given(st.lists(NETWORK.map(str), max_size=30), NETWORK)
def test_the_index_finds_what_going_through_the_lists_finds(listed: list[str], asked: Any) -> None:
    index = WarningLists(WarningList(text, "cidr", (text,)) for text in listed)
    cut = Reach(text=str(asked), network=asked)
    assert list(index.touching(cut)) == [text for text in listed if ip_network(text).overlaps(asked)]


@pytest.mark.parametrize(
    ("verdict", "confidence", "allowed"),
    [
        (Verdict.MALICIOUS, 80, True), (Verdict.MALICIOUS, 79, False), (Verdict.SUSPICIOUS, 100, False),
        (Verdict.UNKNOWN, 100, False), (Verdict.BENIGN, 100, False),
    ],
)  # fmt: skip
def test_only_what_is_surely_malicious_is_blocked(verdict: Verdict, confidence: int, allowed: bool) -> None:
    seen = Observable(type="ipv4-addr", value="203.0.113.9", verdict=verdict, confidence=confidence)
    judgement = judge(block_case("203.0.113.9", observable=seen, break_glass=True), POLICY)
    assert judgement.allowed is allowed
    assert stops(judgement) == ([] if allowed else [("verdict", "refuse")])


def test_what_nobody_judged_is_not_blocked() -> None:
    assert stops(judge(block_case("203.0.113.9", observable=None), POLICY)) == [("verdict", "refuse")]


def test_a_verdict_of_one_address_does_not_block_another() -> None:
    assert stops(judge(block_case("203.0.113.9", params={"ip": "203.0.113.10"}), POLICY)) == [("verdict", "refuse")]
    assert ("never_block", "refuse") in stops(judge(block_case("203.0.113.9", params={"ip": "192.0.2.1"}), POLICY))


def test_addresses_are_read_strictly() -> None:
    assert addresses.read(" [fe80::1%eth0] ") == ip_network("fe80::1/128")
    assert addresses.read("10.1.2.3/8") == ip_network("10.0.0.0/8")
    assert [addresses.read(text) for text in ("010.0.0.1", "1", "", "\uff11.2.3.4", "1.2.3.4/33")] == [None] * 5
