"""Near-duplicates: samples whose images look the same though their bytes differ, within a data set and between two.

    images ──perceptual hash──> 64 bits each ──pairs within `distance` bits──> of each look the first is kept

Two hashes that differ in at most d bits agree in at least one of d + 1 bands of bits (the pigeonhole principle, as in
Manku et al., "Detecting Near-Duplicates for Web Crawling", 2007): only hashes that share a band are compared. Memory is
8 bytes a sample and a few for each pair.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import numpy as np
import numpy.typing as npt

from pipeline.dataset.reader import Dataset
from pipeline.dataset.sample import Sample
from pipeline.derive.choice import Choice
from pipeline.derive.select import chosen_keys
from stages.ahead import in_order
from stages.errors import ShardCorrupt
from stages.hardware.cores import usable_cores
from stages.image.perceptual import HASH_BITS, perceptual_hash

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_COMPARED_AT_ONCE = 1 << 24
"""Pairs: 128 MB of differences."""


def near_duplicates(
    dataset: Dataset,
    choice: Choice,
    others: Sequence[Dataset],
    within: bool,
    distance_bits: int,
    progress: Callable[[], None],
) -> frozenset[str]:
    """Find the keys of chosen samples that look like an image of `others` or, with `within`, like a chosen one before.

    `distance_bits` is 0 to 16; `progress` is called for each image. Raises ShardCorrupt if one cannot be read.
    """
    before = [hash_images(other, None, progress)[1] for other in others]
    keys, hashes = hash_images(dataset, frozenset(chosen_keys(dataset, choice)), progress)
    is_repeated = repeats(hashes, np.concatenate([np.zeros(0, np.uint64), *before]), distance_bits, within)
    return frozenset(keys[number] for number in np.flatnonzero(is_repeated))


def hash_images(
    dataset: Dataset, chosen: frozenset[str] | None, progress: Callable[[], None]
) -> tuple[list[str], Hashes]:
    """Hash the images of the chosen samples, of all for None; returns their keys and hashes, in order.

    Raises ShardCorrupt if one cannot be read.
    """
    keys: list[str] = []
    hashes: list[int] = []
    with ThreadPoolExecutor(usable_cores()) as cores:

        def begin(place: tuple[str, int]) -> "Future[tuple[str, int]]":
            return cores.submit(lambda: _look(dataset.read(*place)))

        with closing(in_order(begin, _places(dataset, chosen), 4 * usable_cores())) as looks:
            for key, look in looks:
                keys.append(key)
                hashes.append(look)
                progress()
    return keys, np.array(hashes, np.uint64)


def _places(dataset: Dataset, chosen: frozenset[str] | None) -> Iterator[tuple[str, int]]:
    """Yield a shard and the position of a sample in it, a shard at a time, so that its record is read once."""
    for shard in dataset.shards:
        for position, key in enumerate(dataset.keys(shard)):
            if chosen is None or key in chosen:
                yield shard, position


def _look(sample: Sample) -> tuple[str, int]:
    try:
        return sample.key, perceptual_hash(sample.files[sample.image_format])
    except OSError as error:
        raise ShardCorrupt(
            f"sample {sample.key} of shard {sample.shard} must have an image, got {error}; `condset verify` tells more"
        ) from error


def repeats(hashes: Hashes, before: Hashes, distance_bits: int, within: bool = True) -> npt.NDArray[np.bool_]:
    """Say of each hash whether one before it looks the same and is kept; those of `before` come first and are kept.

    Without `within`, only those of `before` count.
    """
    joined = np.concatenate([before, hashes])
    looks, first, look_of = np.unique(joined, return_index=True, return_inverse=True)
    dropped = np.zeros(len(looks), np.bool_)
    earlier, later = _ordered(*_pairs(looks, distance_bits), first)
    for one, other in zip(earlier.tolist(), later.tolist(), strict=True):
        counts = first[one] < len(before) or (within and not dropped[one])
        dropped[other] |= counts and first[other] >= len(before)
    mine = look_of[len(before) :]
    is_repeated = first[mine] < len(before)
    if within:
        is_repeated |= first[mine] != np.arange(len(before), len(joined))
    return np.asarray(is_repeated | dropped[mine])


def _ordered(one: Numbers, other: Numbers, first: Numbers) -> tuple[Numbers, Numbers]:
    """Put each pair, and all pairs by their later member, in the order of first appearance."""
    swap = first[one] > first[other]
    earlier, later = np.where(swap, other, one), np.where(swap, one, other)
    order = np.argsort(first[later], kind="stable")
    return earlier[order], later[order]


def _pairs(looks: Hashes, distance_bits: int) -> tuple[Numbers, Numbers]:
    """Find the pairs of distinct hashes within a distance; a pair may come several times."""
    found = [np.zeros((2, 0), np.int64)]
    for band in _bands(looks, distance_bits + 1):
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(np.diff(band[order])) + 1
        for group in np.split(order, edges):
            if len(group) > 1:
                found += _within(looks, group, distance_bits)
    one, other = np.concatenate(found, axis=1)
    return one, other


def _bands(looks: Hashes, count: int) -> Iterator[Hashes]:
    """Cut the bits of all hashes into so many bands, nearly equally wide."""
    edges = [HASH_BITS * number // count for number in range(count + 1)]
    for low, high in itertools.pairwise(edges):
        yield (looks >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)


def _within(looks: Hashes, group: Numbers, distance_bits: int) -> Sequence[Numbers]:
    rows = max(1, _COMPARED_AT_ONCE // len(group))
    found = []
    for start in range(0, len(group), rows):
        some = group[start : start + rows]
        near = np.bitwise_count(looks[some][:, None] ^ looks[group][None, :]) <= distance_bits
        one, other = np.nonzero(near & (some[:, None] < group[None, :]))
        found.append(np.stack([some[one], group[other]]))
    return found
