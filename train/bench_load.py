"""`condset bench load`: shards to training batches, with images and with cached latents, beside webdataset's loader.

    drawn scenes ──prepare──> data set ──encode──> latents     once, with the tiny base model's VAE
    webdataset, images, latents, webdataset, ...               each in a fresh process; the medians are compared

Nothing trains: what is measured is the most that a device can be fed. The files were just written and lie in the
system's page cache. The invariant: every contender gives batches of image, or latents, and condition of the same
samples, decoded and shuffled; ours also checks each sample's crc32 and draws its caption, time step and noise.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.bench.measure import Say, fresh, in_turn
from train.config import TrainConfig

if TYPE_CHECKING:
    from train.batch import VisitReader

CONDITION = "color"
"""Needs no weights."""
SHARDS = 4
WARM_UP_BATCHES = 8
"""More than any contender reads ahead."""
SHUFFLED_SAMPLES = 1000
"""By webdataset, as its documentation shows it."""


class Contender(StrEnum):
    """A way to read batches."""

    WEBDATASET = "webdataset"
    WORKERS = "webdataset, worker processes"
    IMAGES = "condset, images"
    LATENTS = "condset, cached latents"


@dataclass(frozen=True, slots=True)
class Setting:
    """What all contenders have in common."""

    size_pixels: int
    batch_size: int
    batches: int
    """That are timed, in each round."""
    samples: int
    """Of the data set; they are read again and again."""
    workers: int
    """Threads that condset reads with, and processes that webdataset may read with."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One contender's figures."""

    name: Contender
    images_per_second: float
    """From the median of the rounds."""
    ratio: float
    """Over webdataset in one process."""
    batches_per_second: float
    stored_bytes_per_second: float
    """Of the shards, and of the layer for latents: what the storage has to give."""


@dataclass(frozen=True, slots=True)
class LoadBench:
    """The result of `bench_load`."""

    setting: Setting
    rounds: int
    figures: tuple[Figure, ...]


def bench_load(setting: Setting, rounds: int, say: Say) -> LoadBench:
    """Time the contenders on one data set."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        scratch = Path(name)
        say("making the data set")
        fresh(make_data, setting, scratch)
        seconds: dict[Contender, list[float]] = {contender: [] for contender in Contender}
        for contender in in_turn(Contender, rounds, say):
            seconds[contender].append(fresh(batch_seconds, setting, scratch, contender))
        stored = {contender: stored_bytes(scratch / "data", contender) / setting.samples for contender in Contender}
    return LoadBench(setting, rounds, figures_of(seconds, stored, setting.batch_size))


def figures_of(
    seconds: Mapping[Contender, Sequence[float]], stored: Mapping[Contender, float], batch_size: int
) -> tuple[Figure, ...]:
    """Reduce the rounds' seconds per batch to their medians; `stored` is the bytes of a sample."""
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return tuple(
        Figure(
            name=name,
            images_per_second=batch_size / median,
            ratio=medians[Contender.WEBDATASET] / median,
            batches_per_second=1 / median,
            stored_bytes_per_second=stored[name] * batch_size / median,
        )
        for name, median in medians.items()
    )


def make_data(setting: Setting, scratch: Path) -> None:
    """Save the base model, prepare scenes with a condition, and encode them."""
    from pipeline.config import PrepareConfig, check_config
    from pipeline.executor import InlineExecutor
    from pipeline.layer import prepare_layer
    from pipeline.run import prepare
    from pipeline.storage import Directory
    from stages.annotators.latents import LatentsConfig
    from stages.settings import changed
    from stages.weights import WeightsStore
    from train.bench_models import ModelName, bench_parts, save_parts

    save_parts(bench_parts(ModelName.TINY), scratch / "model")
    size = {"width_pixels": setting.size_pixels, "height_pixels": setting.size_pixels}
    tables = {
        "name": "bench",
        "samples_per_shard": -(-setting.samples // SHARDS),
        "source": {"kind": "synthetic", "count": setting.samples, **size},
        "image": {"size_pixels": setting.size_pixels},
        "annotators": [{"kind": CONDITION}],
        "execution": {"device": "cpu"},
    }
    config = check_config(tables, "bench", PrepareConfig)
    data, executor, weights = Directory(str(scratch / "data")), InlineExecutor(), WeightsStore(allow_network=False)
    prepare(config, data, executor, weights, lambda sentence: None)
    latents = changed(config, annotators=(LatentsConfig(model=str(scratch / "model")),))
    prepare_layer(latents, data, executor, weights, lambda sentence: None)


def stored_bytes(data: Path, contender: Contender) -> int:
    """Sum up the tars that a contender reads."""
    tars = [*data.glob("shards/*.tar")]
    if contender is Contender.LATENTS:
        tars += data.glob("layers/latents/shards/*.tar")
    return sum(tar.stat().st_size for tar in tars)


def batch_seconds(setting: Setting, scratch: Path, contender: Contender) -> float:
    """Read batches with one contender; return the mean seconds of a timed one. Wants a process of its own."""
    if contender in (Contender.WEBDATASET, Contender.WORKERS):
        processes = setting.workers if contender is Contender.WORKERS else 0
        return _timed(webdataset_batches(setting, scratch / "data", processes), setting.batches)
    from train.loader import loading

    config = _config(setting, scratch, contender)
    ranges = (range(start, start + setting.batch_size) for start in itertools.count(step=setting.batch_size))
    with loading(open_reader(config, scratch / "data"), ranges, config.loader, pin=False) as batches:
        return _timed(batches, setting.batches)


def webdataset_batches(setting: Setting, data: Path, processes: int) -> Iterator[object]:
    """Read batches without end as webdataset's documentation shows it; with 0 processes in this one."""
    import webdataset

    tars = sorted(str(tar) for tar in data.glob("shards/*.tar"))
    window = min(SHUFFLED_SAMPLES, setting.samples)
    samples = webdataset.WebDataset(tars, resampled=True, shardshuffle=False).shuffle(window, initial=window)
    batches = samples.decode("rgb8").to_tuple("jpg", f"{CONDITION}.png", "txt").batched(setting.batch_size)
    return iter(webdataset.WebLoader(batches, batch_size=None, num_workers=processes) if processes else batches)


def open_reader(config: TrainConfig, data: Path) -> "VisitReader":
    """Open a data set as `condset train` does."""
    from train.preparation import prepare_run

    return prepare_run(config, [str(data)], None).read


def _config(setting: Setting, scratch: Path, contender: Contender) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "name": "bench",
            "condition": CONDITION,
            "diffusion": {"kind": "stable_diffusion", "model": str(scratch / "model")},
            "loader": {"workers": setting.workers},
            "loop": {
                "max_steps": setting.batches,
                "batch_size": setting.batch_size,
                "device": "cpu",
                "latents": "auto" if contender is Contender.LATENTS else "never",
            },
        }
    )


def _timed(batches: Iterator[object], timed: int) -> float:
    for _ in itertools.islice(batches, WARM_UP_BATCHES):
        pass
    started = time.perf_counter()
    count = sum(1 for _ in itertools.islice(batches, timed))
    assert count == timed, "the loaders are endless"
    return (time.perf_counter() - started) / timed
