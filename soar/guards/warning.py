"""Warning lists: values that are well known and hardly ever an attacker's, in the form that MISP shares them.

A list is matched by what a block would reach, not by its text: an address by every network that holds it
or lies in it, in whatever wrapping; a name by itself and by what stands above or below it. The five types
are those of MISP's warning lists (`string`, `hostname`, `cidr`, `substring`, `regex`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from soar.errors import Invalid, Problem
from soar.guards import addresses, reach
from soar.guards.addresses import Network
from soar.guards.reach import Reach

Type = Literal["string", "hostname", "cidr", "substring", "regex"]


@dataclass(frozen=True, slots=True)
class WarningList:
    """One list as it was read."""

    name: str
    type: Type
    entries: tuple[str, ...]


class WarningLists:
    """Many lists in one index, made once. What is asked is answered without going through the lists."""

    def __init__(self, lists: Iterable[WarningList] = ()) -> None:
        self._lists: list[str] = []
        self._networks: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
        self._starts: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        self._texts: dict[str, int] = {}
        self._hosts: dict[str, int] = {}
        self._parts: list[tuple[str, int]] = []
        self._patterns: list[tuple[Any, int]] = []
        for number, each in enumerate(lists):
            self._lists.append(each.name)
            self._take(each, 1 << number)
        for starts in self._starts.values():
            starts.sort()
        self._below = sorted((_reversed(name), bits) for name, bits in self._hosts.items())
        self.touching = lru_cache(maxsize=4096)(self._touching)

    def __len__(self) -> int:
        return len(self._lists)

    def _take(self, given: WarningList, bit: int) -> None:
        for entry in given.entries:
            match given.type:
                case "substring":
                    self._parts.append((reach.plain(entry), bit))
                case "regex":
                    self._patterns.append((_compiled(given.name, entry), bit))
                case "hostname":
                    name = reach.domain(entry.removeprefix("*").removeprefix("."))
                    self._hosts[name] = self._hosts.get(name, 0) | bit
                case _ if (network := addresses.read(entry)) is not None:
                    self._network(network, bit)
                case _:
                    text = reach.domain(entry) or reach.plain(entry)
                    self._texts[text] = self._texts.get(text, 0) | bit

    def _network(self, network: Network, bit: int) -> None:
        start, known = int(network.network_address), self._networks[network.version, network.prefixlen]
        known[start] = known.get(start, 0) | bit
        self._starts[network.version].append((start, bit))

    def _touching(self, cut: Reach) -> tuple[str, ...]:
        """The names of the lists that hold something which a block of this would reach."""
        bits = 0
        if cut.network is not None:
            for form in addresses.forms(cut.network):
                bits |= self._addresses(form)
        spellings = {reach.plain(cut.text), cut.name} - {""}
        for text in spellings:
            bits |= self._texts.get(text, 0)
            bits |= _any(bit for part, bit in self._parts if part in text)
            bits |= _any(bit for pattern, bit in self._patterns if pattern.search(text))
        for name in _upwards(cut.name):
            bits |= self._hosts.get(name, 0)
        if cut.children:
            bits |= self._under(cut.name)
        return tuple(name for number, name in enumerate(self._lists) if bits >> number & 1)

    def _addresses(self, network: Network) -> int:
        """Listed networks around this one, and those that lie in it."""
        bits, start = 0, int(network.network_address)
        for (version, length), known in self._networks.items():
            if version == network.version and length <= network.prefixlen:
                rest = network.max_prefixlen - length
                bits |= known.get(start >> rest << rest, 0)
        starts = self._starts[network.version]
        if network.prefixlen < network.max_prefixlen:
            last = int(network.broadcast_address)
            for at in range(bisect_left(starts, (start, 0)), len(starts)):
                if starts[at][0] > last:
                    break
                bits |= starts[at][1]
        return bits

    def _under(self, parent: str) -> int:
        """Listed hosts below a name that is cut with all its children."""
        prefix, bits = _reversed(parent) + ".", self._texts.get(parent, 0)
        for at in range(bisect_left(self._below, (prefix, 0)), len(self._below)):
            if not self._below[at][0].startswith(prefix):
                break
            bits |= self._below[at][1]
        return bits


NO_LISTS = WarningLists()


def _reversed(name: str) -> str:
    return ".".join(reversed(name.split(".")))


def _upwards(name: str) -> Iterator[str]:
    """A name and everything above it."""
    while name:
        yield name
        name = name.partition(".")[2]


def _any(bits: Iterable[int]) -> int:
    found = 0
    for each in bits:
        found |= each
    return found


def _compiled(name: str, entry: str) -> Any:
    """A regular expression as MISP writes it, `/…/flags`, for RE2: it cannot take more than linear time."""
    import re2

    text, flags = entry, ""
    if entry.startswith("/") and (end := entry.rfind("/")) > 0:
        text, flags = entry[1:end], entry[end + 1 :]
    options = re2.Options()
    options.case_sensitive, options.log_errors = "i" not in flags, False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        message = f"the warning list {name} holds {entry[:80]!r}, which is no regular expression of RE2"
        raise Invalid(message, [Problem(code="bad_expression", message=message)]) from error
