"""Several data sets in fixed shares: `--data A=0.7 --data B=0.3`.

    global index g ──block of 1000──> how many of each set ──shuffle──> (set, its own index) ──> its order

A pure function of the global sample index, as the order of one data set is: a resumed run goes on with the next sample,
and two workers see what one sees. After every block the sets have been visited in their shares, to within one visit;
each set's own epochs follow each other as fast as its share lets them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.errors import ConfigError
from stages.randomness import random_for
from train.data.order import RECENT, SampleOrder

BLOCK_VISITS = 1000


@dataclass(frozen=True, slots=True)
class DataShare:
    """One data set of a training run."""

    location: str
    share: float | None
    """Of all visits; None takes data sets as they are, each sample as often as any other."""


class MixedOrder:
    """Where sample g of an endless run over several data sets lies; safe to use from several threads."""

    def __init__(self, orders: Sequence[SampleOrder], shares: Sequence[float], seed: int) -> None:
        """Mix orders, whose shards are numbered on from one to the next; the shares sum to 1."""
        self._orders = list(orders)
        self._first_shards = np.cumsum([0, *(order.shards for order in orders)]).tolist()
        self._stops = np.cumsum([0.0, *shares])
        self._stops[-1] = 1.0
        self._seed = seed
        self.samples = sum(order.samples for order in orders)
        self._in_block = lru_cache(RECENT)(self._shuffled_block)

    def locate(self, index: int) -> tuple[int, int]:
        """Return the shard's number and the position in it of global sample `index`."""
        block, offset = divmod(index, BLOCK_VISITS)
        number, own_index = self._in_block(block)[offset].tolist()
        shard, position = self._orders[number].locate(own_index)
        return self._first_shards[number] + shard, position

    def _shuffled_block(self, block: int) -> npt.NDArray[np.int64]:
        """The set and the index there of each visit of a block."""
        before, after = (self._visits(number * BLOCK_VISITS) for number in (block, block + 1))
        pairs = [
            (number, own_index)
            for number, (first, stop) in enumerate(zip(before, after, strict=True))
            for own_index in range(first, stop)
        ]
        visits = np.asarray(pairs, np.int64)
        return visits[random_for(self._seed, "mix", block).permutation(len(visits))]

    def _visits(self, index: int) -> list[int]:
        """How many of the first `index` visits are of each set: their rounded boundaries never drift apart."""
        return [stop - first for first, stop in pairwise(np.rint(self._stops * index).astype(int).tolist())]


def parse_data(options: Sequence[str]) -> list[DataShare]:
    """Read `--data` options: a location, or LOCATION=SHARE for all of them; shares are scaled to sum to 1.

    Raises ConfigError if some have a share and others none, or one is not above 0.
    """
    parsed = [_parse(option) for option in options]
    given = [each.share for each in parsed if each.share is not None]
    if not given:
        return parsed
    if len(given) != len(parsed):
        without = next(each.location for each in parsed if each.share is None)
        raise ConfigError(f"--data must have a share for each data set or for none, got none for {without}; add =SHARE")
    return [DataShare(each.location, (each.share or 0) / sum(given)) for each in parsed]


def _parse(option: str) -> DataShare:
    location, equals, text = option.rpartition("=")
    if not equals or Path(option).exists():
        return DataShare(option, None)
    try:
        share = float(text)
    except ValueError:
        return DataShare(option, None)  # a location with an equals sign in it
    if not 0 < share < float("inf"):
        raise ConfigError(f"--data {location} must have a share above 0, got {text}; leave the data set out")
    return DataShare(location, share)
