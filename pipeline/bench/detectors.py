"""`condset bench sketch` and `depth`: a network as controlnet_aux's detector runs it, and as condset does.

Ours spends fewer FLOPs than the published form (see `stages.annotators`): each contender's limit is of its own. What
prepares a data set adds nothing to the network if the wall time of a run goes to it alone: see `shares`.
"""

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pipeline.bench.limit import multiplied_dtype
from pipeline.bench.measure import Say, Table
from pipeline.bench.networks import SEED, Contender, Run, Timing, compare, in_native_dtypes, one_by_one
from pipeline.bench.weights import BenchWeights, find_or_make
from stages.annotators.depth.annotator import MODEL, DepthConfig
from stages.annotators.sketch.annotator import NETWORK, SketchConfig
from stages.hardware.warning_filters import Ignored, warnings_ignored


def bench_sketch(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare controlnet_aux's PidiNetDetector and condset; weights that are not on this machine are random."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights = pidinet_weights(weights_dir, Path(scratch))
        return _compare("pidi", "PidiNetDetector", SketchConfig, weights, timing, say)


def bench_depth(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare controlnet_aux's MidasDetector and condset; weights that are not on this machine are random."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights = midas_weights(weights_dir, Path(scratch))
        return _compare("midas", "MidasDetector", DepthConfig, weights, timing, say)


def _compare(
    module: str,
    detector: str,
    config: type[SketchConfig | DepthConfig],
    weights: BenchWeights,
    timing: Timing,
    say: Say,
) -> Table:
    build, device = partial(build_detector, module, detector, weights.path, timing.device), timing.device
    reference = Contender(f"controlnet_aux {detector}", build, multiplied_dtype("float32", device))
    ours = in_native_dtypes(lambda dtype: config(dtype=dtype, weights=str(weights.path)), device)
    return compare(weights, [reference, *ours], config(weights=str(weights.path)), timing, say)


@contextmanager
def build_detector(module: str, detector: str, weights: Path, device: str) -> Iterator[Run]:
    """Build a detector of controlnet_aux as its users do: one image at a time, weights as published.

    No warning of the process is shown while the block runs.
    """
    with warnings_ignored(Ignored()):
        published = getattr(importlib.import_module(f"controlnet_aux.{module}"), detector)
        detect = published.from_pretrained(str(weights.parent), filename=weights.name).to(device)
        yield one_by_one(
            lambda image_hwc: detect(image_hwc, detect_resolution=len(image_hwc), image_resolution=len(image_hwc))
        )


def pidinet_weights(weights_dir: Path | None, scratch: Path) -> BenchWeights:
    """Find PiDiNet's weights, or make random ones in `scratch`."""
    return find_or_make("PiDiNet", NETWORK, weights_dir, random_pidinet, scratch)


def random_pidinet(path: Path) -> Path:
    """Save random weights in the published layout."""
    import torch

    from stages.reference.aux_modules import controlnet_aux_module

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = controlnet_aux_module("pidi.model").pidinet()
    torch.save({"state_dict": network.state_dict()}, path)
    return path


def midas_weights(weights_dir: Path | None, scratch: Path) -> BenchWeights:
    """Find MiDaS' weights, or make random ones in `scratch`."""
    return find_or_make("MiDaS dpt_hybrid", MODEL, weights_dir, random_midas, scratch)


def random_midas(path: Path) -> Path:
    """Save random weights in the published layout, a bare state dict under the published names.

    Norms are the identity, and products keep the size of numbers: nothing overflows on the way through the network.
    """
    import torch

    from stages.reference.dpt_layers import published_network

    generator = torch.Generator().manual_seed(SEED)
    weights = {}
    for name, published in published_network().state_dict().items():
        shape = published.shape
        is_scale = len(shape) == 1 and name.endswith("weight")
        noise = torch.empty(shape).normal_(generator=generator)
        weights[name] = noise / noise[0].numel() ** 0.5 if len(shape) > 1 else torch.full(shape, float(is_scale))
    torch.save(weights, path)
    return path
