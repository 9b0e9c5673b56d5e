"""The Merkle tree of RFC 6962 section 2.1 and RFC 9162 section 2.1, over SHA-256.

A leaf is hashed as SHA-256(0x00 || data), a node as SHA-256(0x01 || left || right); the empty tree
is SHA-256 of nothing. In our log the data of a leaf is the stored body of one event. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf, 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows at its right edge and keeps only the roots of its full subtrees.

    `size` and `frontier` (largest subtree first, one root for each bit set in the size) are all it
    needs to go on later: `Tree(size, frontier)`.
    """

    def __init__(self, size: int = 0, frontier: Iterable[bytes] = ()) -> None:
        self.size = size
        self._frontier = list(frontier)
        if size < 0 or len(self._frontier) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves cannot have {len(self._frontier)} full subtrees")

    @property
    def frontier(self) -> tuple[bytes, ...]:
        return tuple(self._frontier)

    def append(self, data: bytes) -> int:
        """Add a leaf; returns its index, counted from 0."""
        return self.append_hash(leaf_hash(data))

    def append_hash(self, leaf: bytes) -> int:
        """Add a leaf whose hash is known."""
        index, rest = self.size, self.size
        while rest & 1:
            leaf = node_hash(self._frontier.pop(), leaf)
            rest >>= 1
        self._frontier.append(leaf)
        self.size += 1
        return index

    def root(self) -> bytes:
        if not self._frontier:
            return EMPTY
        right = self._frontier[-1]
        for left in reversed(self._frontier[:-1]):
            right = node_hash(left, right)
        return right


class Levels:
    """All nodes of a tree of fixed size: many proofs for the price of hashing it once."""

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        self._levels = [list(leaf_hashes)]
        while len(below := self._levels[-1]) > 1:
            level = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            self._levels.append(level + below[len(below) & ~1 :])
        self.size = len(self._levels[0])

    def root(self) -> bytes:
        return self._levels[-1][0] if self.size else EMPTY

    def inclusion_proof(self, index: int) -> list[bytes]:
        """The audit path of a leaf, lowest neighbour first. Raises ValueError outside the tree."""
        if not 0 <= index < self.size:
            raise ValueError(f"leaf {index} is not in a tree of {self.size}")
        proof = []
        for level in self._levels[:-1]:
            if (index ^ 1) < len(level):
                proof.append(level[index ^ 1])
            index >>= 1
        return proof

    def consistency_proof(self, size1: int) -> list[bytes]:
        """Proof that the first `size1` leaves are the tree that once had that size."""
        if not 0 < size1 <= self.size:
            raise ValueError(f"no proof from size {size1} to size {self.size}")
        if size1 == self.size:
            return []
        index, depth = size1 - 1, 0
        while index & 1:
            index, depth = index >> 1, depth + 1
        proof = [self._levels[depth][index]] if index else []
        for level in self._levels[depth:-1]:
            if (index ^ 1) < len(level):
                proof.append(level[index ^ 1])
            index >>= 1
        return proof


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf data."""
    tree = Tree()
    for data in leaves:
        tree.append(data)
    return tree.root()


def inclusion_proof(leaves: Iterable[bytes], index: int) -> list[bytes]:
    """The audit path of one leaf, from leaf data (RFC 6962 section 2.1.1)."""
    return Levels(map(leaf_hash, leaves)).inclusion_proof(index)


def consistency_proof(leaves: Iterable[bytes], size1: int) -> list[bytes]:
    """The consistency proof from `size1` to all leaves (RFC 6962 section 2.1.2)."""
    return Levels(map(leaf_hash, leaves)).consistency_proof(size1)


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a leaf hash stands at `index` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for neighbour in proof:
        if last == 0 or len(neighbour) != 32:
            return False
        if node & 1 or node == last:
            found = node_hash(neighbour, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, neighbour)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(*, size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `size2` begins with the tree of `size1` (RFC 9162 section 2.1.4.2)."""
    if not 0 < size1 <= size2 or any(len(part) != 32 for part in proof):
        return False
    if size1 == size2:
        return not proof and root1 == root2
    path = [root1, *proof] if size1.bit_count() == 1 else list(proof)
    if not path:
        return False
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    older = newer = path[0]
    for neighbour in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            older, newer = node_hash(neighbour, older), node_hash(neighbour, newer)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            newer = node_hash(newer, neighbour)
        node, last = node >> 1, last >> 1
    return last == 0 and older == root1 and newer == root2
