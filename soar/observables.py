"""Observables: one spelling for each value, and which of them may be blocked at all.

Types are STIX 2.1 SCO names (section 6). Input is hostile text from alerts, mails and people, often
defanged; what has no possible reading gives None, so that nobody looks up or blocks a guess.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import idna

from soar.model import Observable

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST = 2048

HOME_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""Private addresses (RFC 1918) and unique local ones (RFC 4193)."""

# IANA special-purpose registries (RFC 6890), read 2026, but for the documentation ranges: laboratories
# live there, and no real host does. Written out because `is_global` changes between Python releases
# and calls NAT64, 6to4 and multicast global.
_NO_HOST_V4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "192.175.48.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_V6 = IPv6Network("2000::/3")
_NO_HOST_V6 = tuple(IPv6Network(each) for each in ("2001::/23", "2620:4f:8000::/48"))
_NAT64 = IPv6Network("64:ff9b::/96")
# Names that mean something on the own network or machine only (RFC 6761, 6762; ICANN 2024 for .internal).
_OWN_NAMES = frozenset({"localhost", "local", "internal", "arpa"})

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)(://|\[:\]//|\[://\]|:\[//\])", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+")
_ALGORITHMS = {32: "MD5", 40: "SHA-1", 64: "SHA-256", 128: "SHA-512"}
_DEFANGED = {"[.]": ".", "(.)": ".", "{.}": ".", "[dot]": ".", "(dot)": ".", "[@]": "@", "[at]": "@", "[:]": ":"}
_REFANG = re.compile("|".join(map(re.escape, _DEFANGED)), re.IGNORECASE)
# The digest of no bytes at all: blocking it would hit every empty file.
_EMPTY = frozenset(hashlib.new(name, usedforsecurity=False).hexdigest() for name in ("md5", "sha1", "sha256", "sha512"))


def observable(kind: str, raw: str) -> Observable | None:
    """The canonical observable of a STIX type, or None where the text has no possible reading.

    Either address type may be named: the value decides (an IPv4-mapped IPv6 address is IPv4). Files
    are named `<STIX hash algorithm>:<lower hex>`, the algorithm told by the length.
    """
    text = raw.strip()
    reader = _READERS.get(kind)
    if reader is None or not text or len(text) > LONGEST or not printable(text):
        return None
    found = reader(text)
    # In octets: PostgreSQL indexes no value of more than 2,704.
    return found if found is not None and len(found.value.encode()) <= LONGEST else None


def printable(text: str) -> bool:
    """False for text with control, format (such as text direction), surrogate or unassigned characters."""
    return (text.isascii() and text.isprintable()) or not any(_odd(each) for each in text)


def address(text: str) -> Address | None:
    """An address without zone, an IPv4-mapped one unwrapped; None for anything else."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        return found.ipv4_mapped or found
    return found


def is_internal(ip: str, networks: Iterable[Network] = HOME_NETWORKS) -> bool:
    """Does the address lie in one of these networks? False for what is no address."""
    found = address(ip)
    return found is not None and any(found.version == each.version and found in each for each in networks)


def blockable(item: Observable) -> bool:
    """May this ever be blocked: a value that names one outside thing, never us, a whole suffix or nothing.

    Documentation ranges (RFC 5737, RFC 3849, RFC 9637) count as outside. Own public addresses and
    warning lists are known to the guards, not here.
    """
    plain = observable(item.type, item.value)
    if plain is None:
        return False
    match plain.type:
        case "file":
            return plain.value.partition(":")[2] not in _EMPTY
        case "email-addr":
            return True
        case "url":
            host = urlsplit(plain.value).hostname or ""
        case _:
            host = plain.value
    found = address(host)
    return _outside(found) if found is not None else _outside_name(host)


def _outside(found: Address) -> bool:
    if isinstance(found, IPv4Address):
        return not any(found in each for each in _NO_HOST_V4)
    if found in _NAT64:
        return _outside(IPv4Address(found.packed[-4:]))
    if found.sixtofour is not None:
        return _outside(found.sixtofour)
    return found in _GLOBAL_V6 and not any(found in each for each in _NO_HOST_V6)


def _outside_name(name: str) -> bool:
    labels = name.split(".")
    return len(labels) > 1 and labels[-1] not in _OWN_NAMES and not bool(_suffixes().is_public(name))


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def _odd(char: str) -> bool:
    category = unicodedata.category(char)
    return category.startswith("C") or category in ("Zl", "Zp")


def _refang(text: str) -> str:
    """`evil[.]example` -> `evil.example`; repeated, so that the result holds nothing defanged."""
    while (plain := _REFANG.sub(lambda found: _DEFANGED[found[0].lower()], text)) != text:
        text = plain
    return text


def _ip(text: str) -> Observable | None:
    found = address(_refang(text))
    return None if found is None else Observable(type=f"ipv{found.version}-addr", value=str(found))


def _domain_text(text: str) -> str | None:
    """The A-label form (IDNA 2008 with UTS 46 mapping), lower case, without the root's dot."""
    if len(text) > 254:
        return None
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except UnicodeError:
            return None
    text = text.lower().removesuffix(".")
    labels = text.split(".")
    # A last label of digits, or of 0x and digits, makes the name an IPv4 address to a browser (WHATWG URL).
    numeric = labels[-1].isdigit() or labels[-1].startswith("0x")
    if len(text) > 253 or numeric or not all(_LABEL.fullmatch(each) for each in labels):
        return None
    return text


def _domain(text: str) -> Observable | None:
    name = _domain_text(_refang(text))
    return None if name is None else Observable(type="domain-name", value=name)


def _url(text: str) -> Observable | None:
    found = _SCHEME.match(text)
    if found is None or any(each.isspace() for each in text):
        return None
    scheme = found[1].lower()
    scheme = {"hxxp": "http", "hxxps": "https", "fxp": "ftp"}.get(scheme, scheme)
    rest = text[found.end() :]
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority = _authority(_refang(rest[:end]))
    return None if authority is None else Observable(type="url", value=f"{scheme}://{authority}{rest[end:]}")


def _authority(text: str) -> str | None:
    """`user@HOST:port` with the host in its one spelling; a backslash ends the host in browsers alone, so no."""
    userinfo, at, hostport = text.rpartition("@")
    if hostport.startswith("["):
        host, closed, tail = hostport[1:].partition("]")
        found = address(host)
        plain = None if found is None or not closed or tail[:1] not in ("", ":") else _bracketed(found)
        colon, port = tail[:1], tail[1:]
    else:
        host, colon, port = hostport.partition(":")
        found = address(host)
        plain = str(found) if found is not None else _domain_text(host)
    odd = "\\" in text or not userinfo.isascii() or any(each in "@[]" for each in userinfo)
    if plain is None or odd or (port and not (port.isascii() and port.isdigit() and int(port) < 65536)):
        return None
    return f"{userinfo}{at}{plain}{colon}{port}"


def _bracketed(found: Address) -> str:
    return f"[{found}]" if found.version == 6 else str(found)


def _file(text: str) -> Observable | None:
    named, _, digest = text.rpartition(":")
    digest = digest.strip().lower()
    algorithm = _ALGORITHMS.get(len(digest))
    if algorithm is None or not _HEX.fullmatch(digest):
        return None
    if named and named.strip().upper().replace("-", "") != algorithm.replace("-", ""):
        return None
    return Observable(type="file", value=f"{algorithm}:{digest}")


def _email(text: str) -> Observable | None:
    local, _, host = _refang(text).rpartition("@")
    domain = _domain_text(host)
    odd = not local or len(local) > 64 or any(each.isspace() or each in '@<>()[],;:"\\' for each in local)
    return None if odd or domain is None else Observable(type="email-addr", value=f"{local}@{domain}")


_READERS: dict[str, Callable[[str], Observable | None]] = {
    "ipv4-addr": _ip,
    "ipv6-addr": _ip,
    "domain-name": _domain,
    "url": _url,
    "file": _file,
    "email-addr": _email,
}
