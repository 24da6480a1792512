"""The order in which training visits samples: a pure function of the global sample index.

    global index g ──> epoch g // n ──shuffle shards──> one long row ──shuffle in windows──> (shard, position)

Nothing is kept between visits, so the position of a run is one number, and a resumed run goes on with the very next
sample. The invariant: every epoch visits every sample exactly once, whatever the number of workers.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from stages.randomness import random_for

RECENT = 4
"""Permutations that are kept: neighbouring samples share an epoch and a window."""


class SampleOrder:
    """Where sample g of an endless run lies; safe to use from several threads."""

    def __init__(self, samples_of_shards: Sequence[int], window: int | None, seed: int) -> None:
        """Take the number of samples in each shard; `window` samples of neighbouring shards are shuffled together.

        Without a window nothing is shuffled.
        """
        self._sizes = np.asarray(samples_of_shards, np.int64)
        self.samples = int(self._sizes.sum())
        self.shards = len(self._sizes)
        self._window = window
        self._seed = seed
        self._shards = lru_cache(RECENT)(self._shuffled_shards)
        self._in_window = lru_cache(RECENT)(self._shuffled_window)

    def locate(self, index: int) -> tuple[int, int]:
        """Return the shard's number and the position in it of global sample `index`."""
        epoch, place = divmod(index, self.samples)
        if self._window is not None:
            number, offset = divmod(place, self._window)
            place = number * self._window + int(self._in_window(epoch, number, self._window)[offset])
        shards, ends = self._shards(epoch)
        rank = bisect_right(ends, place)
        shard = int(shards[rank])
        return shard, place - (ends[rank] - int(self._sizes[shard]))

    def _shuffled_shards(self, epoch: int) -> tuple[npt.NDArray[np.int64], list[int]]:
        """The shards of an epoch in their order, and where each one's samples end in the long row."""
        shards = np.arange(len(self._sizes))
        if self._window is not None:
            shards = random_for(self._seed, "shards", epoch).permutation(shards)
        return shards, list(accumulate(int(size) for size in self._sizes[shards]))

    def _shuffled_window(self, epoch: int, number: int, window: int) -> npt.NDArray[np.int64]:
        size = min(window, self.samples - number * window)
        return random_for(self._seed, f"window {number}", epoch).permutation(size)


def batch_indices(step: int, part: int, rank: int, batch_size: int, accumulation: int, workers: int) -> range:
    """Return the global sample indices of one worker's part (micro-batch) of a step.

    Step s takes batch_size x accumulation x workers indices in a row; a part gives each worker batch_size of them. So
    2 workers take in one part what 1 worker takes in two.
    """
    start = ((step * accumulation + part) * workers + rank) * batch_size
    return range(start, start + batch_size)
