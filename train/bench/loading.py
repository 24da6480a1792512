"""`condset bench load`: shards to training batches, with images and with cached latents, beside webdataset's loader.

    drawn scenes ──prepare──> data set ──encode──> latents     once, with the tiny base model's random VAE
    webdataset, images, latents, webdataset, ...               each in a fresh process; the medians are compared

Nothing trains: what is measured is the most that a device can be fed. The files were just written and lie in the
system's page cache. The invariant: every contender gives batches of image, or latents, and condition of the same
samples, decoded and shuffled; ours also checks each sample's crc32 and draws its caption, time step and noise. The
limit is that of decoding alone: the pictures of a sample, on all cores.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.bench.limit import Bottleneck, Limit
from pipeline.bench.measure import Say, Table, fresh, rows_of
from pipeline.execution.resources import this_machine
from train.config import TrainConfig

if TYPE_CHECKING:
    from train.data.batch import VisitReader

CONDITION = "color"
"""Needs no weights."""
SHARDS = 4
WARM_UP_BATCHES = 8
"""More than any contender reads ahead."""
SHUFFLED_SAMPLES = 1000
"""By webdataset, as its documentation shows it."""


class LoaderName(StrEnum):
    """A way to read batches."""

    WEBDATASET = "webdataset"
    WORKERS = "webdataset, worker processes"
    IMAGES = "condset, images"
    LATENTS = "condset, cached latents"


@dataclass(frozen=True, slots=True)
class LoadingSetting:
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
class LoadBench:
    """The result of `bench_load`."""

    setting: LoadingSetting
    table: Table
    stored_bytes_per_second: Mapping[str, float]
    """Of the shards, and of the layer for latents: what the storage has to give each contender."""

    def lines(self, images: int) -> list[str]:
        """Say it to people, with how long reading `images` images takes with the last contender."""
        rates = "; ".join(f"{name} {rate / 1e6:.1f}" for name, rate in self.stored_bytes_per_second.items())
        return [*self.table.lines(images), f"  MB a second of the storage: {rates}"]

    def for_machines(self, images: int) -> dict[str, object]:
        """Return the same as plain values: the table's, and the fields of this class."""
        stored = {"stored_bytes_per_second": dict(self.stored_bytes_per_second)}
        return self.table.for_machines(images) | {"setting": asdict(self.setting)} | stored


def bench_load(setting: LoadingSetting, rounds: int, say: Say) -> LoadBench:
    """Time the contenders on one data set."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        scratch = Path(name)
        say("making the data set")
        fresh(make_data, setting, scratch)
        say("what this machine can do at most")
        limits = fresh(decoding_limits, setting, scratch)
        contenders = {each: partial(fresh, seconds_per_image, setting, scratch, each) for each in LoaderName}
        rows = rows_of(contenders, rounds, say, limits)
        stored = {each: stored_bytes(scratch / "data", each) / setting.samples for each in LoaderName}
    size = f"{setting.size_pixels}x{setting.size_pixels}"
    return LoadBench(
        setting,
        Table(
            f"image and color of drawn scenes at {size}, batch {setting.batch_size}, {setting.workers} workers on "
            f"{this_machine().cpus:g} cores, {rounds} rounds of {setting.batches} batches, from the page cache",
            rows,
        ),
        {row.name: row.images_per_second * stored[LoaderName(row.name)] for row in rows},
    )


def make_data(setting: LoadingSetting, scratch: Path) -> None:
    """Save the base model, prepare scenes with a condition, and encode them."""
    from pipeline.config import PrepareConfig, check_config
    from pipeline.dataset.storage import Directory
    from pipeline.environment import Environment
    from pipeline.execution.inline import InlineExecutor
    from pipeline.layer import prepare_layer
    from pipeline.run import prepare
    from stages.annotators.latents import LatentsConfig
    from stages.settings import changed
    from stages.weights.store import WeightsStore
    from train.bench.models import ModelName, bench_parts, save_parts

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
    data, here = Directory(str(scratch / "data")), Environment(InlineExecutor(), WeightsStore(allow_network=False))
    prepare(config, data, here)
    latents = changed(config, annotators=(LatentsConfig(model=str(scratch / "model")),))
    prepare_layer(latents, data, here)


def stored_bytes(data: Path, contender: LoaderName) -> int:
    """Sum up the tars that a contender reads."""
    tars = [*data.glob("shards/*.tar")]
    if contender is LoaderName.LATENTS:
        tars += data.glob("layers/latents/shards/*.tar")
    return sum(tar.stat().st_size for tar in tars)


def decoding_limits(setting: LoadingSetting, scratch: Path) -> dict[LoaderName, Limit]:
    """Measure what decoding the stored pictures takes on all cores, with nothing read, drawn or stacked.

    Latents are numbers that need no decoding, but their condition is a picture too.
    """
    from stages.image.decode import decode_stored
    from train.data.conditions import decode_condition

    reader = open_reader(_config(setting, scratch, LoaderName.IMAGES), scratch / "data")
    places = [(shard.name, position) for shard in reader.shards for position in range(shard.samples)]
    samples = [reader.sets[0].read(*place)[1] for place in places]
    image = _seconds_on_all_cores(decode_stored, [each["jpg"] for each in samples])
    decode_picture = partial(decode_condition, where="the data of the bench")
    condition = _seconds_on_all_cores(decode_picture, [each[f"{CONDITION}.png"] for each in samples])
    of_both, of_one = (Limit(seconds, Bottleneck.DECODING) for seconds in (image + condition, condition))
    return dict.fromkeys(LoaderName, of_both) | {LoaderName.LATENTS: of_one}


def _seconds_on_all_cores(decode: Callable[[bytes], object], files: Sequence[bytes]) -> float:
    """Seconds per file, after one that warms up."""
    decode(files[0])
    with ThreadPoolExecutor(int(this_machine().cpus)) as cores:
        started = time.perf_counter()
        for _ in cores.map(decode, files):
            pass
        return (time.perf_counter() - started) / len(files)


def seconds_per_image(setting: LoadingSetting, scratch: Path, contender: LoaderName) -> float:
    """Read batches with one contender; return the mean seconds of an image. Wants a process of its own."""
    if contender in (LoaderName.WEBDATASET, LoaderName.WORKERS):
        processes = setting.workers if contender is LoaderName.WORKERS else 0
        return _timed(webdataset_batches(setting, scratch / "data", processes), setting)
    from train.data.loader import loading

    config = _config(setting, scratch, contender)
    ranges = (range(start, start + setting.batch_size) for start in itertools.count(step=setting.batch_size))
    with loading(open_reader(config, scratch / "data"), ranges, config.loader, pin=False) as batches:
        return _timed(batches, setting)


def webdataset_batches(setting: LoadingSetting, data: Path, processes: int) -> Iterator[object]:
    """Read batches without end as webdataset's documentation shows it; with 0 processes in this one."""
    import webdataset

    tars = sorted(str(tar) for tar in data.glob("shards/*.tar"))
    window = min(SHUFFLED_SAMPLES, setting.samples)
    samples = webdataset.WebDataset(tars, resampled=True, shardshuffle=False).shuffle(window, initial=window)
    batches = samples.decode("rgb8").to_tuple("jpg", f"{CONDITION}.png", "txt").batched(setting.batch_size)
    return iter(webdataset.WebLoader(batches, batch_size=None, num_workers=processes) if processes else batches)


def open_reader(config: TrainConfig, data: Path) -> "VisitReader":
    """Open a data set as `condset train` does."""
    from train.loop.preparation import prepare_run

    return prepare_run(config, [str(data)], None).read


def _config(setting: LoadingSetting, scratch: Path, contender: LoaderName) -> TrainConfig:
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
                "latents": "auto" if contender is LoaderName.LATENTS else "never",
            },
        }
    )


def _timed(batches: Iterator[object], setting: LoadingSetting) -> float:
    for _ in itertools.islice(batches, WARM_UP_BATCHES):
        pass
    started = time.perf_counter()
    count = sum(1 for _ in itertools.islice(batches, setting.batches))
    assert count == setting.batches, "the loaders are endless"
    return (time.perf_counter() - started) / (setting.batches * setting.batch_size)
