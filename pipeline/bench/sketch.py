"""`condset bench sketch`: seconds per image on this machine, beside the reference implementation's on the same images.

    reference, ours, reference, ours, ...   each in a fresh process, so that neither inherits the other's allocator,
                                            threads or caches; the medians are compared

Images are drawn scenes: a convolution takes the same time over any pixels. Weights are random unless they are on this
machine. "Not the network" is what preparing a data set takes beyond the network, in steady state: the first
shard, which pays for warming up, does not count.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.bench.measure import fresh
from pipeline.config import PrepareConfig, check_config
from pipeline.executor import InlineExecutor
from pipeline.index import write_index
from pipeline.origin import FromIndex
from pipeline.plan import plan_shards
from pipeline.storage import Directory
from pipeline.work import Work
from stages.annotators.protocol import Annotator
from stages.annotators.sketch import SketchConfig
from stages.records import ConditionMembers, LoadedSample, Rejection, UInt8Array
from stages.weights import WeightsFile, WeightsStore

SEED = 0
WARM_UP_IMAGES = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """One contender's median over the rounds."""

    name: str
    seconds_per_image: float
    speedup: float
    """Over the reference, from the same rounds."""


@dataclass(frozen=True, slots=True)
class SketchBench:
    """The result of `bench_sketch`."""

    size_pixels: int
    images: int
    rounds: int
    threads: int
    real_weights: bool
    timings: tuple[Timing, ...]
    other_share: float
    """Of the wall time of a run in steady state: what is not the network."""


def bench_sketch(size_pixels: int, images: int, rounds: int, weights_dir: Path | None) -> SketchBench:
    """Time PiDiNet as controlnet_aux runs it and as condset does, and a run of `prepare` around it."""
    import torch

    store = WeightsStore(weights_dir, allow_network=False)
    with tempfile.TemporaryDirectory() as scratch:
        found = store.find("pidinet")
        weights = found or _random_pidinet(Path(scratch) / "random_pidinet.pth")
        contenders: dict[str, Callable[[], list[float]]] = {
            "controlnet_aux PidiNetDetector": lambda: fresh(_time_reference, size_pixels, images, weights),
            "condset float32": lambda: fresh(_time_ours, size_pixels, images, weights, "float32"),
            "condset bfloat16": lambda: fresh(_time_ours, size_pixels, images, weights, "bfloat16"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, run in contenders.items():
                seconds[name] += run()
        other_share = fresh(_measure_other_share, size_pixels, images, weights)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    reference = medians["controlnet_aux PidiNetDetector"]
    timings = tuple(Timing(name, median, reference / median) for name, median in medians.items())
    return SketchBench(size_pixels, images, rounds, torch.get_num_threads(), found is not None, timings, other_share)


def _random_pidinet(path: Path) -> Path:
    """Random weights in the published layout: good for timing."""
    import torch

    from stages.reference_modules import controlnet_aux_module

    torch.manual_seed(SEED)
    torch.save({"state_dict": controlnet_aux_module("pidi.model").pidinet().state_dict()}, path)
    return path


def _scenes(size_pixels: int, images: int) -> list[UInt8Array]:
    from stages.sources.scenes import draw_scene

    return [draw_scene(SEED, index, size_pixels, size_pixels).image_hwc for index in range(images + WARM_UP_IMAGES)]


def _time_each(run: Callable[[UInt8Array], object], scenes: Sequence[UInt8Array]) -> list[float]:
    """Time each image after the warm-up ones."""
    seconds = []
    for image_hwc in scenes:
        started = time.perf_counter()
        run(image_hwc)
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_UP_IMAGES:]


def _time_reference(size_pixels: int, images: int, weights: Path) -> list[float]:
    """The detector as its users call it: one image at a time, weights as published."""
    import warnings

    warnings.simplefilter("ignore")
    from controlnet_aux.pidi import PidiNetDetector

    detector = PidiNetDetector.from_pretrained(str(weights.parent), weights.name)
    return _time_each(
        lambda image_hwc: detector(image_hwc, detect_resolution=size_pixels, image_resolution=size_pixels),
        _scenes(size_pixels, images),
    )


def _time_ours(size_pixels: int, images: int, weights: Path, dtype: str) -> list[float]:
    """The network of the sketch annotator, alone, as a worker runs it."""
    import torch

    from stages.allocator import keep_large_blocks
    from stages.annotators.pidinet import load_pidinet
    from stages.precision import resolve_dtype

    keep_large_blocks()
    file = WeightsFile(weights, "")
    network = load_pidinet(file, "cpu", resolve_dtype("float32" if dtype == "float32" else "bfloat16", "cpu"))

    def run(image_hwc: UInt8Array) -> object:
        with torch.inference_mode():
            image_bchw = torch.from_numpy(image_hwc.copy())[None].permute(0, 3, 1, 2).float() / 255
            return (network(image_bchw) * 255).round().to(torch.uint8).numpy()

    return _time_each(run, _scenes(size_pixels, images))


class _TimedSketch(SketchConfig):
    """The sketch annotator, noting how long each call took."""

    def build(self, device: str, weights: WeightsStore) -> Annotator:  # type: ignore[override]
        annotator = super().build(device, weights)

        def timed(samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
            started = time.perf_counter()
            results = annotator(samples)
            _NETWORK_SECONDS.append(time.perf_counter() - started)
            return results

        return timed


_NETWORK_SECONDS: list[float] = []
"""In the fresh process of one measurement."""


def _measure_other_share(size_pixels: int, images: int, weights: Path) -> float:
    """Run three shards inline and time, from the second on, the calls of the network and everything."""
    tables = {
        "name": "bench",
        "samples_per_shard": images,
        "source": {"kind": "synthetic", "count": 3 * images, "width_pixels": size_pixels, "height_pixels": size_pixels},
        "image": {"size_pixels": size_pixels},
        "annotators": [{"kind": "sketch"}],
    }
    config = check_config(tables, "bench", PrepareConfig)
    store = WeightsStore(allow_network=False)
    executor = InlineExecutor()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Directory(scratch)
        (directory / "shards").make()
        write_index(directory, config.source, 0)
        work = Work(
            shards=directory / "shards",
            origin=FromIndex(directory, config),
            annotators=(_TimedSketch(weights=str(weights)),),
            fingerprint="bench",
            numerics=executor.numerics(config),
            weights=store,
        )
        started = 0.0
        for record in executor.run(plan_shards(3 * images, images), work, lambda samples: None):
            if record.start == 0:
                _NETWORK_SECONDS.clear()
                started = time.perf_counter()
        wall = time.perf_counter() - started
    return 1 - sum(_NETWORK_SECONDS) / wall
