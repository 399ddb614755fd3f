"""Where in the journal the last word on each item stands, in a few bytes an item. Pure.

A job may have a million items, and a dictionary of their keys alone would take 100 MB. So a place is a number: the offset of a
line in the file, which is read again when the item comes. Items that go by their index need eight bytes each; those that go by
a key sixteen or more, in a table of 64-bit digests (two keys of a million have the same one with a chance of 1 in 40 million;
the line itself tells them apart).
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final, Protocol

_SEEN: Final = 1
_FULL: Final = 0.6


class Places(Protocol):
    """A place for each item. Offsets are from 1 on; 0 means that the journal says nothing of it."""

    def put(self, key: str, offset: int) -> None:
        """The last word on the item stands at `offset`."""
        ...

    def get(self, key: str) -> int:
        """Where it stands."""
        ...

    def claim(self, key: str) -> bool:
        """The item has come; whether it had not come before."""
        ...


class IndexPlaces:
    """Of items that go by their index: a key is the index as text, and comes only once by itself."""

    __slots__ = ("_offsets",)

    def __init__(self) -> None:
        self._offsets = array("q")

    def put(self, key: str, offset: int) -> None:
        """Note a place."""
        index, offsets = int(key), self._offsets
        if index >= len(offsets):
            offsets.frombytes(bytes(8 * (index + 1 - len(offsets))))
        offsets[index] = offset

    def get(self, key: str) -> int:
        """Find a place."""
        index = int(key)
        return self._offsets[index] if index < len(self._offsets) else 0

    def claim(self, key: str) -> bool:  # noqa: ARG002 - the counting is the input's
        """Always the first time."""
        return True


class KeyPlaces:
    """Of items that go by a key: a table with open addressing, its lowest bit for what has come in this run."""

    __slots__ = ("_count", "_digests", "_values")

    def __init__(self, size: int = 1 << 10) -> None:
        """An empty table.

        Args:
            size: Slots at first, a power of two.
        """
        self._count = 0
        self._digests = array("Q", bytes(8 * size))
        self._values = array("Q", bytes(8 * size))

    def put(self, key: str, offset: int) -> None:
        """Note a place."""
        slot = self._slot(_digest(key))
        self._store(slot, _digest(key), offset << 1 | self._values[slot] & _SEEN)

    def get(self, key: str) -> int:
        """Find a place."""
        return self._values[self._slot(_digest(key))] >> 1

    def claim(self, key: str) -> bool:
        """Remember that it has come."""
        slot = self._slot(_digest(key))
        value = self._values[slot]
        if value & _SEEN:
            return False
        self._store(slot, _digest(key), value | _SEEN)
        return True

    def _store(self, slot: int, digest: int, value: int) -> None:
        if not self._digests[slot]:
            self._count += 1
            self._digests[slot] = digest
        self._values[slot] = value
        if self._count > len(self._digests) * _FULL:
            self._grow()

    def _slot(self, digest: int) -> int:
        digests, last = self._digests, len(self._digests) - 1
        slot = digest >> 1 & last
        while digests[slot] not in {0, digest}:
            slot = slot + 1 & last
        return slot

    def _grow(self) -> None:
        digests, values = self._digests, self._values
        self._digests = array("Q", bytes(16 * len(digests)))
        self._values = array("Q", bytes(16 * len(values)))
        for digest, value in zip(digests, values, strict=True):
            if digest:
                slot = self._slot(digest)
                self._digests[slot] = digest
                self._values[slot] = value


def _digest(key: str) -> int:
    """Never 0: the lowest bit is always set."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()) | 1
