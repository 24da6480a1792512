"""How fast a data set is opened and read at random: `condset bench read`.

    shards.jsonl of 100,000 shards ──fresh process──> open_dataset ──> seconds, memory
    drawn scenes in shards ──┬── webdataset, in order ───────────────> image, condition and caption, decoded
                             └── condset, in random order, or in order ──> the same

Both readers decode the same files in one process and one thread; what they hand over is compared by a test.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.bench.measure import Say, Table, fresh, peak_memory_bytes, rows_of
from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.manifest import SHARDS_FILE, read_manifest, write_manifest
from pipeline.dataset.reader import open_dataset
from pipeline.dataset.storage import Directory
from pipeline.environment import Environment
from pipeline.execution.inline import InlineExecutor
from pipeline.run import prepare
from stages.weights.store import WeightsStore

CONDITION = "color"
SAMPLES_PER_SHARD = 64
OPENED_SHARDS, OPENED_SAMPLES_PER_SHARD = 100_000, 670
"""67 million samples."""

Decoded: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[Any], str]
"""Image, condition and caption."""


class ReaderName(StrEnum):
    """Who reads, and in which order."""

    WEBDATASET = "webdataset, in order"
    RANDOM = "condset, in random order"
    IN_ORDER = "condset, in order"


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening a large data set took."""

    shards: int
    samples: int
    seconds: float
    memory_bytes: int
    """The most that was needed besides the program itself."""


@dataclass(frozen=True, slots=True)
class ReadBench:
    """What opening and reading took."""

    opening: Opening
    reading: Table


def bench_read(samples: int, size_pixels: int, rounds: int, say: Say) -> ReadBench:
    """Open a large data set, and read a small one whole."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        data = Path(name) / "data"
        say("making the data set")
        fresh(make_data, data, samples, size_pixels)
        say(f"opening {OPENED_SHARDS:,} shards")
        opening = fresh(measure_opening, data, Path(name) / "large", OPENED_SHARDS, OPENED_SAMPLES_PER_SHARD)
        readers = {each: partial(fresh, seconds_per_sample, data, each) for each in ReaderName}
        rows = rows_of(readers, rounds, say, {})
    title = f"image and {CONDITION} of {samples} scenes at {size_pixels}x{size_pixels}, one thread, from the page cache"
    return ReadBench(opening, Table(f"{title}, {rounds} rounds", rows))


def make_data(data: Path, samples: int, size_pixels: int) -> None:
    """Prepare drawn scenes with a condition."""
    tables = {
        "name": "bench",
        "samples_per_shard": SAMPLES_PER_SHARD,
        "source": {"kind": "synthetic", "count": samples, "width_pixels": size_pixels, "height_pixels": size_pixels},
        "image": {"size_pixels": size_pixels},
        "annotators": [{"kind": CONDITION}],
        "execution": {"device": "cpu"},
    }
    config = check_config(tables, "bench", PrepareConfig)
    prepare(config, Directory(str(data)), Environment(InlineExecutor(), WeightsStore(allow_network=False)))


def measure_opening(data: Path, large: Path, shards: int, samples_per_shard: int) -> Opening:
    """Open what would be a data set of so many shards: its description is there, its shards are not."""
    large.mkdir()
    write_manifest(Directory(str(large)), read_manifest(Directory(str(data))))
    with (large / SHARDS_FILE).open("w") as file:
        for number in range(shards):
            name = f"{number:07d}"
            facts = {"name": name, "tar": f"{name}.tar", "samples": samples_per_shard, "rejected": 0}
            file.write(json.dumps(facts | {"bytes": 123_456_789, "sha256": "0" * 64}) + "\n")
    before, started = peak_memory_bytes(), time.perf_counter()
    opened = open_dataset(str(large))
    seconds = time.perf_counter() - started
    return Opening(len(opened.shards), len(opened), seconds, peak_memory_bytes() - before)


def seconds_per_sample(data: Path, reader: ReaderName) -> float:
    """Read the data set twice, and time the second time."""
    for _ in read_all(data, reader):
        pass
    started = time.perf_counter()
    count = sum(1 for _ in read_all(data, reader))
    return (time.perf_counter() - started) / count


def read_all(data: Path, reader: ReaderName) -> Iterator[Decoded]:
    """Read and decode every sample once."""
    if reader is ReaderName.WEBDATASET:
        import webdataset

        tars = sorted(str(tar) for tar in data.glob("shards/*.tar"))
        decoded = webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8")
        yield from decoded.to_tuple("jpg", f"{CONDITION}.png", "txt")
        return
    opened = open_dataset(str(data))
    numbers = np.arange(len(opened))
    if reader is ReaderName.RANDOM:
        np.random.default_rng(0).shuffle(numbers)
    for number in numbers.tolist():
        sample = opened[number]
        yield sample.image(), sample.condition(CONDITION), sample.caption
