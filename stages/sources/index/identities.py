"""Which of millions of names came before: 128-bit identities of names, and a set of them that takes whole arrays.

    keys, URLs ──> identities, two words of 64 bits each ──IdentitySet.add──> True where the same came before

A Python set of ten million strings takes over a gigabyte; this one takes 16 bytes a slot. The invariant: only equal
names have equal identities. Short keys and keys of 20 hex digits are packed without loss; every other name is its
sha256, of which 120 bits or more are kept (among 10^10 names two share them with a chance of 10^-16).
"""

import hashlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

UInt8Matrix: TypeAlias = npt.NDArray[np.uint8]
Identities: TypeAlias = npt.NDArray[np.uint64]
"""(names, 2), C-contiguous; the second word is not 0."""
Flags: TypeAlias = npt.NDArray[np.bool_]

FEWEST_SLOTS = 1 << 16
MOST_FULL = 0.7
"""The table doubles above this share of full slots: a new identity then looks at three or four of them."""
MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93], np.uint64)
"""Odd, with well-spread bits; the first is 2^64 divided by the golden ratio (Knuth's multiplicative hashing)."""

PACKED_BYTES = 15
HEX_DIGITS = 20
HEX_TAG, HASH_TAG = 0x80, 0xFF
NO_DIGIT = 0x10


class IdentitySet:
    """A hash table with open addressing that grows with what is in it.

    It takes 16 bytes a slot and has 1.4 to 2.9 slots for each identity; while it doubles, the old table is there too.
    """

    def __init__(self, fewest_slots: int = FEWEST_SLOTS) -> None:
        """Start with so many slots, a power of two."""
        # numpy's one native type of 16 bytes: indexing moves both words of an identity at once, and only moves them.
        self._table = np.zeros(fewest_slots, np.complex128)
        self._fewest_slots = fewest_slots
        self._count = 0

    def add(self, identities: Identities) -> Flags:
        """Add identities, in order; returns True for each that was added before, in this call or an earlier one."""
        again = repeated(identities)
        first = np.flatnonzero(~again)
        new = identities if len(first) == len(again) else identities[first]
        self._reserve(len(new))
        known = self._insert(new)
        self._count += len(new) - int(np.count_nonzero(known))
        again[first] = known
        return again

    def _reserve(self, more: int) -> None:
        """Double the table until it has room for `more` identities."""
        old, slots = self._table, len(self._table)
        while self._count + more > MOST_FULL * slots:
            slots *= 2
        if slots > len(old):
            self._table = np.zeros(slots, np.complex128)
            for start in range(0, len(old), self._fewest_slots):
                words = _words(old[start : start + self._fewest_slots])
                self._insert(words[words[:, 1] != 0])

    def _insert(self, identities: Identities) -> Flags:
        """Insert identities that differ from each other; returns True for each that was there already."""
        known = np.zeros(len(identities), np.bool_)
        shift = np.uint64(65 - len(self._table).bit_length())
        rows, slots, step = np.arange(len(identities)), (_mixed(identities) >> shift).view(np.int64), 0
        items = identities.view(np.complex128)[:, 0]
        while len(rows):
            there = self._table[slots]
            left = ~_equal(there, items)
            known[rows] = ~left
            empty = np.flatnonzero(_words(there)[:, 1] == 0)
            claimed, claimants = slots[empty], items[empty]
            self._table[claimed] = claimants  # of several that claim one slot the last one gets it
            left[empty] = ~_equal(self._table[claimed], claimants)
            others = np.flatnonzero(left)
            step += 1
            # Steps of 1, 2, 3, ... visit every slot of a table whose size is a power of two.
            slots = (slots[others] + step) & (len(self._table) - 1)
            rows, items = rows[others], items[others]
        return known


def _words(items: npt.NDArray[np.complex128]) -> Identities:
    return items.view(np.uint64).reshape(-1, 2)


def _equal(items: npt.NDArray[np.complex128], others: npt.NDArray[np.complex128]) -> Flags:
    """Compare the bits: as numbers, two NaN would differ."""
    left, right = _words(items), _words(others)
    equal: Flags = (left[:, 1] == right[:, 1]) & (left[:, 0] == right[:, 0])
    return equal


def _mixed(identities: Identities) -> npt.NDArray[np.uint64]:
    """One word of each identity's two, in whose first bits they all show."""
    mixed: npt.NDArray[np.uint64] = (identities[:, 0] * MULTIPLIERS[0] ^ identities[:, 1]) * MULTIPLIERS[1]
    return mixed


def repeated(identities: Identities) -> Flags:
    """True for each identity that stands earlier in the same array."""
    again = np.zeros(len(identities), np.bool_)
    mixed = _mixed(identities)
    ordered = np.sort(mixed)
    equal = ordered[1:] == ordered[:-1]
    if equal.any():
        suspects = np.flatnonzero(np.isin(mixed, ordered[1:][equal]))
        suspects = suspects[np.lexsort(identities[suspects].T)]  # stable: equal ones stay in order
        same = (identities[suspects[1:]] == identities[suspects[:-1]]).all(axis=1)
        again[suspects[1:][same]] = True
    return again


def sha256_digests(names: pa.Array) -> UInt8Matrix:
    """Hash strings or bytes without nulls; returns (names, 32), read-only."""
    contents = names.cast(pa.binary()).to_numpy(zero_copy_only=False).tolist()
    sha256 = hashlib.sha256
    return np.frombuffer(b"".join([sha256(content).digest() for content in contents]), np.uint8).reshape(-1, 32)


def digest_identities(digests: UInt8Matrix) -> Identities:
    """Take 127 bits of each digest, (names, 32), as its name's identity."""
    identities = digests[:, :16].copy().view(np.uint64)
    identities[:, 1] |= np.uint64(1)
    return identities


def key_identities(keys: pa.Array) -> Identities:
    """Return the identities of keys, an array of strings without nulls."""
    packed = np.zeros((len(keys), PACKED_BYTES + 1), np.uint8)
    offsets = np.frombuffer(keys.buffers()[1], np.int32)[keys.offset : keys.offset + len(keys) + 1]
    lengths = np.diff(offsets)
    hashed = lengths > PACKED_BYTES
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        if length <= PACKED_BYTES:
            packed[rows, :length] = _characters(keys, rows, length)
            packed[rows, PACKED_BYTES] = length + 1
        elif length == HEX_DIGITS:
            digits = _HEX_VALUES[_characters(keys, rows, length)]
            if (digits == NO_DIGIT).any():
                good = (digits != NO_DIGIT).all(axis=1)
                rows, digits = rows[good], digits[good]
            packed[rows, : HEX_DIGITS // 2] = digits[:, ::2] << 4 | digits[:, 1::2]
            packed[rows, PACKED_BYTES] = HEX_TAG
            hashed[rows] = False
    if hashed.any():
        packed[hashed] = sha256_digests(keys.filter(pa.array(hashed)))[:, : PACKED_BYTES + 1]
        packed[hashed, PACKED_BYTES] = HASH_TAG
    return packed.view(np.uint64)


def _characters(keys: pa.Array, rows: npt.NDArray[np.int64], length: int) -> UInt8Matrix:
    """The bytes of keys that all have one length: (rows, length)."""
    if length == 0:
        return np.zeros((len(rows), 0), np.uint8)
    some = keys if len(rows) == len(keys) else keys.take(pa.array(rows))
    start = np.frombuffer(some.buffers()[1], np.int32)[some.offset]
    content = np.frombuffer(some.buffers()[2], np.uint8, len(rows) * length, int(start))
    return content.reshape(len(rows), length)


def _hex_values() -> npt.NDArray[np.uint8]:
    """Character code to digit, `NO_DIGIT` for what is no lower-case hex digit."""
    values = np.full(256, NO_DIGIT, np.uint8)
    values[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
    return values


_HEX_VALUES = _hex_values()
