"""What a block would cut: networks and names, read strictly from the text that names them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from soar.guards import addresses
from soar.guards.addresses import Network

_LONGEST = 2048
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_DEVIATION = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")
_BLANK = re.compile(r"[\x00-\x20\x7f\\]")
_LABELS = re.compile(r"[a-z0-9_.-]+")
_SCHEMELESS = re.compile(r"[^:/?#@]+(?::[0-9]+)?(?:[/?#]|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """`whole`: all of the host or domain, not one page or mailbox. `children`: names below it too."""

    text: str
    network: Network | None = None
    name: str = ""
    whole: bool = True
    children: bool = False


def plain(text: str) -> str:
    """One spelling for comparison: compatibility forms folded, upper and lower case one, no blanks around."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def domain(text: str) -> str:
    """A domain name in A-labels and lower case, without the root's dot; empty for what is none.

    Sharp s, final sigma and joiners name two domains (UTS 46, deviations): they must come as A-labels.
    A name whose last label is a number is an address in disguise (WHATWG URL, host parser) and is none.
    """
    if len(text) > 253 or _DEVIATION.search(text):
        return ""
    try:
        name = plain(text).rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""
    return name if _LABELS.fullmatch(name) and not _NUMBER.match(name.split(".")[-1]) else ""


def read(what: str, text: str) -> Reach | None:
    """What blocking `text` as a `what` (ip, domain, url, hash, sender) cuts; None when it cannot be read."""
    if len(text) > _LONGEST:
        return None
    readers = {"ip": _ip, "domain": _domain, "url": _url, "sender": _sender, "hash": _hash}
    return readers[what](text.strip()) if what in readers else None


def below(name: str, parent: str) -> bool:
    """True for the parent itself and every name under it."""
    return name == parent or name.endswith("." + parent)


def same(one: str, other: str) -> bool:
    """Two texts that name one thing: equal networks, else equal spelling."""
    first, second = addresses.read(one), addresses.read(other)
    return first == second if first is not None and second is not None else plain(one) == plain(other)


def _ip(text: str) -> Reach | None:
    network = addresses.read(text)
    return None if network is None else Reach(text=text, network=network)


def _domain(text: str) -> Reach | None:
    if (network := addresses.read(text)) is not None:
        return Reach(text=text, network=network)
    name = domain(text.removeprefix("*").removeprefix("."))
    return Reach(text=text, name=name, children=True) if name else None


def _url(text: str) -> Reach | None:
    if _BLANK.search(text):
        return None
    try:
        parts = urlsplit(f"//{text}" if _SCHEMELESS.match(text) else text)
        host = parts.hostname or ""
    except ValueError:
        return None
    whole = parts.path in ("", "/") and not parts.query
    if (network := addresses.read(host)) is not None:
        return Reach(text=text, network=network, whole=whole)
    name = domain(host)
    return Reach(text=text, name=name, whole=whole) if name else None


def _sender(text: str) -> Reach | None:
    mailbox, at, host = text.rpartition("@")
    name = domain(host)
    if not name or _BLANK.search(text):
        return None
    return Reach(text=text, name=name, whole=not (at and mailbox))


def _hash(text: str) -> Reach | None:
    """Hex digits, with the algorithm's STIX name in front or without."""
    return Reach(text=text) if re.fullmatch(r"(?:[A-Z0-9-]{2,12}:)?[0-9A-Fa-f]{32,128}", text) else None
