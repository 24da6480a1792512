"""A sample of rows that depends on the rows and the seed alone: those with the lowest ranks (bottom-k sampling).

    rank(row) = mix(sha256(url), seed)        kept: the `size` lowest so far

Whoever reads the same rows, in files, row groups and batches of whatever size, has the same sample; a sample of a
larger size holds every smaller one of the same seed. Memory is bounded by the sample's size, not by the rows.
"""

import numpy as np
import numpy.typing as npt

from stages.randomness import random_for
from stages.sources.index.identities import UInt8Matrix

Ranks = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

SLACK_ROWS = 1 << 20
"""Rows beyond the sample that are gathered before the highest ranks are thrown out."""
MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
LAST_SHIFT = np.uint64(31)


def rank(digests: UInt8Matrix, seed: int) -> Ranks:
    """Rank rows by their digests, (rows, 32): 64 bits each, uniform and independent of another seed's.

    The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a bijection that spreads every bit to all, over
    the digest's first 64 bits and a word drawn from the seed.
    """
    word = random_for(seed, "sample", "").integers(0, 2**64, dtype=np.uint64)
    ranks: Ranks = np.ascontiguousarray(digests[:, :8]).view("<u8")[:, 0] ^ word
    for shift, multiplier in MIX:
        ranks = (ranks ^ (ranks >> shift)) * multiplier
    return ranks ^ (ranks >> LAST_SHIFT)


class RandomRows:
    """The `size` rows with the lowest ranks among those added; of equal ranks the earlier row."""

    def __init__(self, size: int, slack_rows: int = SLACK_ROWS) -> None:
        """Gather `slack_rows`, or `size` if that is more, beyond the sample before rows are thrown out."""
        self._size = size
        self._most = size + max(size, slack_rows)
        self._ranks: list[Ranks] = []
        self._numbers: list[Numbers] = []
        self._gathered = 0

    def add(self, ranks: Ranks, numbers: Numbers) -> None:
        """Add rows; `numbers` ascend from call to call."""
        self._ranks.append(ranks)
        self._numbers.append(numbers)
        self._gathered += len(numbers)
        if self._gathered > self._most:
            self._throw_out()

    def numbers(self) -> Numbers:
        """Return the numbers of the sample's rows, ascending."""
        self._throw_out()
        return self._numbers[0]

    def _throw_out(self) -> None:
        ranks = np.concatenate([np.zeros(0, np.uint64), *self._ranks])
        numbers = np.concatenate([np.zeros(0, np.int64), *self._numbers])
        if len(ranks) > self._size:
            highest = np.partition(ranks, self._size - 1)[self._size - 1]
            kept = ranks < highest
            kept[np.flatnonzero(ranks == highest)[: self._size - np.count_nonzero(kept)]] = True
            ranks, numbers = ranks[kept], numbers[kept]
        self._ranks, self._numbers, self._gathered = [ranks], [numbers], len(numbers)
