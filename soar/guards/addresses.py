"""Addresses and networks as guards read them: strictly, and with what hides inside unwrapped.

The tables are our own because `ipaddress.is_global` calls NAT64, 6to4 and multicast global, and
`is_private` counts the documentation networks in. Sources: RFC 6890 and its registries, RFC 4291
(mapped, compatible), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 6052 and RFC 8215 (NAT64), RFC 7915.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


SPECIAL = _networks(
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "::/128", "::1/128", "fe80::/10", "ff00::/8",
)  # fmt: skip
"""This host, loopback, link-local (with cloud metadata), multicast, broadcast: never an attacker's."""

PRIVATE = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "fc00::/7", "fec0::/10",
)  # fmt: skip
"""Private, shared and site-local space: ours or a neighbour's until it is declared blockable."""


class _Wrapper(NamedTuple):
    """An IPv6 range that carries an IPv4 address from bit `offset` on; Teredo carries it inverted."""

    network: IPv6Network
    offset: int
    inverted: bool = False


_WRAPPERS = (
    _Wrapper(IPv6Network("::/96"), 96),
    _Wrapper(IPv6Network("::ffff:0:0/96"), 96),
    _Wrapper(IPv6Network("::ffff:0:0:0/96"), 96),
    _Wrapper(IPv6Network("64:ff9b::/96"), 96),
    _Wrapper(IPv6Network("64:ff9b:1::/48"), 96),
    _Wrapper(IPv6Network("2002::/16"), 16),
    _Wrapper(IPv6Network("2001::/32"), 96, inverted=True),
)


@lru_cache(maxsize=4096)
def read(text: str) -> Network | None:
    """An address or network in its plain form, host bits and zone dropped; None for anything else."""
    address, slash, length = text.strip().removeprefix("[").removesuffix("]").partition("/")
    try:
        return ip_network(address.partition("%")[0] + slash + length, strict=False)
    except ValueError:
        return None


def forms(network: Network) -> tuple[Network, ...]:
    """The network, and each IPv4 network that it carries; a wide one carries more rather than less."""
    if isinstance(network, IPv4Network):
        return (network,)
    carried = (_carried(network, wrapper) for wrapper in _WRAPPERS if network.overlaps(wrapper.network))
    return (network, *carried)


def hit(network: Network, listed: Iterable[Network]) -> Network | None:
    """The first listed network that this one touches: inside it, around it, or wrapped."""
    mine = forms(network)
    for one in listed:
        for known in _meant(one):
            if any(_overlap(form, known) for form in mine):
                return one
    return None


def within(network: Network, declared: Iterable[Network]) -> bool:
    """True when the whole network lies inside one declared network."""
    return any(
        network.subnet_of(one)  # type: ignore[arg-type]
        for one in declared
        if one.version == network.version
    )


def _carried(network: IPv6Network, wrapper: _Wrapper) -> IPv4Network:
    length = max(0, min(32, network.prefixlen - wrapper.offset))
    bits = (int(network.network_address) >> (96 - wrapper.offset)) & 0xFFFFFFFF
    return IPv4Network((bits ^ 0xFFFFFFFF if wrapper.inverted else bits, length), strict=False)


def _meant(listed: Network) -> tuple[Network, ...]:
    """A listed network and what it carries, where it was plainly written as a wrapped one."""
    if isinstance(listed, IPv4Network):
        return (listed,)
    carried = (
        _carried(listed, wrapper)
        for wrapper in _WRAPPERS
        if listed.prefixlen >= wrapper.offset and listed.subnet_of(wrapper.network)
    )
    return (listed, *carried)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
