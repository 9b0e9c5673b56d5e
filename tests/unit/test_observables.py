"""One spelling for each observable, and what may never be blocked."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.model import Observable
from soar.observables import address, blockable, is_internal, observable, printable
from soar.verbs import BLOCK_VERB

SHA256 = hashlib.sha256(b"malware").hexdigest()
KINDS = sorted(BLOCK_VERB)


def spelled(kind: str, raw: str) -> str | None:
    found = observable(kind, raw)
    return None if found is None else found.id


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("ipv4-addr", " 203.0.113.66 ", "ipv4-addr:203.0.113.66"),
        ("ipv4-addr", "203[.]0[.]113[.]66", "ipv4-addr:203.0.113.66"),
        ("ipv6-addr", "::ffff:203.0.113.66", "ipv4-addr:203.0.113.66"),
        ("ipv4-addr", "2001:0DB8:0::0001", "ipv6-addr:2001:db8::1"),
        ("domain-name", "CDN-Update.Example.", "domain-name:cdn-update.example"),
        ("domain-name", "evil[.]example(.)com", "domain-name:evil.example.com"),
        ("domain-name", "bücher.example", "domain-name:xn--bcher-kva.example"),
        ("domain-name", "straße.example", "domain-name:xn--strae-oqa.example"),
        ("domain-name", "\uff45vil\u3002example", "domain-name:evil.example"),
        ("domain-name", "_dmarc.example.com", "domain-name:_dmarc.example.com"),
        ("url", "hXXps://Evil[.]Example/Path?Q=A#F", "url:https://evil.example/Path?Q=A#F"),
        ("url", "hxxp[://]evil[.]example/a[.]b", "url:http://evil.example/a[.]b"),
        ("url", "http[:]//evil.example", "url:http://evil.example"),
        ("url", "http://User@EVIL.example:8080/", "url:http://User@evil.example:8080/"),
        ("url", "http://[2001:DB8:0::1]:80/x", "url:http://[2001:db8::1]:80/x"),
        ("url", "http://[::ffff:203.0.113.66]/", "url:http://203.0.113.66/"),
        ("file", SHA256.upper(), f"file:SHA-256:{SHA256}"),
        ("file", f"sha256:{SHA256}", f"file:SHA-256:{SHA256}"),
        ("file", "d" * 32, f"file:MD5:{'d' * 32}"),
        ("file", "sha-1:" + "d" * 40, f"file:SHA-1:{'d' * 40}"),
        ("file", "d" * 128, f"file:SHA-512:{'d' * 128}"),
        ("email-addr", "Bad.Guy[@]EVIL[.]Example", "email-addr:Bad.Guy@evil.example"),
    ],
)
def test_every_way_to_write_a_value_becomes_one(kind: str, raw: str, expected: str) -> None:
    assert spelled(kind, raw) == expected


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("ipv4-addr", "203.0.113.066"),
        ("ipv4-addr", "203.0.113.0/24"),
        ("ipv4-addr", "2130706433"),
        ("ipv6-addr", "fe80::1%eth0"),
        ("domain-name", "1.2.3.4"),
        ("domain-name", "1.2.3.0x4"),
        ("domain-name", "*.evil.example"),
        ("domain-name", "-evil.example"),
        ("domain-name", "a..example"),
        ("domain-name", "evil.example:443"),
        ("domain-name", "a" * 64 + ".example"),
        ("domain-name", ".".join(["abcdefg"] * 32)),
        ("domain-name", "evil\u202e.example"),
        ("url", "evil.example/path"),
        ("url", "http://"),
        ("url", "http://good.example\\@evil.example/"),
        ("url", "http://evil.example/a b"),
        ("url", "http://evil.example:99999/"),
        ("url", "http://evil.example:x/"),
        ("url", "http://[2001:db8::1"),
        ("url", "http://evil.example/" + "a" * 2048),
        ("file", "d" * 33),
        ("file", "g" * 64),
        ("file", f"md5:{SHA256}"),
        ("email-addr", "evil.example"),
        ("email-addr", "@evil.example"),
        ("email-addr", "a@b@evil.example"),
        ("email-addr", "a b@evil.example"),
        ("email-addr", "x" * 65 + "@evil.example"),
        ("domain-name", "evil\x00.example"),
        ("domain-name", ""),
        ("mutex", "anything"),
    ],
)
def test_what_has_no_possible_reading_is_no_observable(kind: str, raw: str) -> None:
    assert observable(kind, raw) is None


TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="aA1.:/[]@()-_%\\ü。xhtp?#", max_size=40),
    st.ip_addresses().map(str),
    st.from_regex(r"(hxxps?|http|ftp)(\[:\]|:)//[a-zA-Zß.\[\]:0-9@]{1,20}/[a-z\[.\]]*", fullmatch=True),
)


@given(st.sampled_from(KINDS), TEXTS)
def test_a_canonical_value_stays_as_it_is(kind: str, raw: str) -> None:
    found = observable(kind, raw)
    if found is not None:
        assert observable(found.type, found.value) == found
        assert printable(found.value)
        assert found.type in BLOCK_VERB


@given(st.sampled_from([*KINDS, "other"]), TEXTS)
def test_blockable_answers_for_any_text(kind: str, raw: str) -> None:
    assert blockable(Observable(type=kind, value=raw)) in (True, False)


@pytest.mark.parametrize(
    "ip",
    [
        "203.0.113.66", "198.51.100.7", "192.0.2.1", "8.8.8.8", "1.0.0.1", "2001:db8::66", "3fff::1",
        "2606:4700::1111", "2a00:1450::1", "64:ff9b::203.0.113.66", "2002:cb00:7142::1",
    ],
)  # fmt: skip
def test_an_outside_address_may_be_blocked(ip: str) -> None:
    assert blockable(Observable(type="ipv4-addr", value=ip))


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0", "10.20.1.47", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.0.1", "192.0.0.8",
        "192.88.99.1", "192.168.1.1", "198.19.0.1", "224.0.0.251", "239.1.2.3", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::1.2.3.4", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.20.1.47",
        "64:ff9b:1::1", "2002:7f00:1::1", "2002:0a14:012f::1", "2001::1", "2001:10::1", "fe80::1", "fec0::1",
        "fd00::8", "ff02::1", "100::1", "5f00::1", "4000::1",
    ],
)  # fmt: skip
def test_an_address_that_is_no_outside_host_is_never_blocked(ip: str) -> None:
    assert ip_address(ip)
    assert not blockable(Observable(type="ipv4-addr", value=ip))
    assert not blockable(Observable(type="url", value=f"http://[{ip}]/" if ":" in ip else f"http://{ip}/"))


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("cdn-update.example", True),
        ("evil.co.uk", True),
        ("evil.github.io", True),
        ("xn--bcher-kva.example", True),
        ("com", False),
        ("co.uk", False),
        ("github.io", False),
        ("ws-0147", False),
        ("localhost", False),
        ("files.local", False),
        ("dc.corp.internal", False),
        ("66.113.0.203.in-addr.arpa", False),
    ],
)
def test_a_domain_may_be_blocked_if_it_is_one_owners_outside_name(name: str, may: bool) -> None:
    assert blockable(Observable(type="domain-name", value=name)) is may
    assert blockable(Observable(type="url", value=f"https://{name}/x")) is may


def test_a_file_may_be_blocked_but_not_the_empty_one() -> None:
    assert blockable(Observable(type="file", value=f"SHA-256:{SHA256}"))
    for name, known in (("MD5", hashlib.md5), ("SHA-1", hashlib.sha1), ("SHA-256", hashlib.sha256)):
        assert not blockable(Observable(type="file", value=f"{name}:{known(b'').hexdigest()}"))


def test_a_sender_may_be_blocked() -> None:
    assert blockable(Observable(type="email-addr", value="bad@evil.example"))


def test_internal_is_what_lies_in_the_given_networks() -> None:
    assert is_internal("10.20.1.47")
    assert is_internal("::ffff:10.20.1.47")
    assert is_internal("fd12::1")
    assert not is_internal("203.0.113.66")
    assert not is_internal("ws-0147")
    assert is_internal("203.0.113.66", [ip_network("203.0.113.0/24")])
    assert not is_internal("10.20.1.47", [ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")])


def test_an_address_with_a_zone_is_none() -> None:
    assert address("fe80::1%25eth0") is None
