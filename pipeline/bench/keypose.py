"""`condset bench keypose`: RTMO as mmpose's inferencer runs it, and as condset does.

RTMO looks at 640 x 640 pixels whatever the size of the image. Random weights would find hundreds of persons or none:
they are made such that a few candidates of each scene pass the threshold. Ours also draws the skeletons; mmpose's does
not. RTMPose and HRNet are not compared: mmpose's inferencer finds their persons with mmdet, which needs compiled mmcv.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from pipeline.bench.limit import multiplied_dtype
from pipeline.bench.measure import Say, Table
from pipeline.bench.networks import SEED, Contender, Run, Timing, as_worker, compare, scenes
from pipeline.bench.weights import BenchWeights, find_or_make
from stages.annotators.keypose.annotator import POSE_MODELS, KeyposeConfig
from stages.hardware.warning_filters import Ignored, warnings_ignored
from stages.settings import changed
from stages.weights.store import WeightsFile

if TYPE_CHECKING:
    from torch import Tensor

OneStageModel: TypeAlias = Literal["rtmo-s", "rtmo-m", "rtmo-l"]
"""What needs no detector of persons."""

BATCH_SIZE = 8
"""Of the contender on a CPU that takes several images at once, as on a GPU; a worker takes them one by one."""
MOST_CANDIDATES = 12
"""Of two scenes together, that random weights take for persons."""
BOX_STRENGTH = 0.2
"""Sizes of boxes are exponentials, which would overflow with random weights in full strength."""


def bench_keypose(model: OneStageModel, timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare mmpose's inferencer and condset: on a CPU image by image and in batches, on a GPU in both dtypes.

    Weights that are not on this machine are random.
    """
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights, device = rtmo_weights(model, timing.size_pixels, weights_dir, Path(scratch)), timing.device
        config = KeyposeConfig(model=model, weights=str(weights.path))
        build = partial(build_reference, config, weights.path, device)
        reference = Contender("mmpose MMPoseInferencer", build, multiplied_dtype("float32", device))
        if device == "cpu":
            batch_size = min(BATCH_SIZE, timing.images)
            other = as_worker(f"condset float32, batches of {batch_size}", config, device, batch_size)
        else:
            other = as_worker("condset bfloat16", changed(config, dtype="bfloat16"), device)
        return compare(weights, [reference, other, as_worker("condset float32", config, device)], config, timing, say)


def rtmo_weights(model: OneStageModel, size_pixels: int, weights_dir: Path | None, scratch: Path) -> BenchWeights:
    """Find RTMO's weights, or make random ones in `scratch` for scenes of this size."""
    make = partial(random_rtmo, model, size_pixels)
    return find_or_make(model.upper(), POSE_MODELS[model].weights, weights_dir, make, scratch)


@contextmanager
def build_reference(config: KeyposeConfig, weights: Path, device: str) -> Iterator[Run]:
    """Build the inferencer as mmpose's users do, with our thresholds; it takes BGR images and looks at one at a time.

    Of warnings nothing is shown while the block runs: mmengine has several to say of random weights.
    """
    with warnings_ignored(Ignored()), log_disabled():
        inferencer, thresholds = _inferencer(config, weights, device)
        yield lambda images_hwc: list(
            inferencer([np.ascontiguousarray(image_hwc[..., ::-1]) for image_hwc in images_hwc], **thresholds)
        )


@contextmanager
def log_disabled() -> Iterator[None]:
    """Let nothing that is logged below an error be shown while the block runs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _inferencer(config: KeyposeConfig, weights: Path, device: str) -> tuple[Callable[..., Any], dict[str, float]]:
    """Build mmpose's inferencer, and name the thresholds that it is to be called with."""
    from stages.reference.mmpose_networks import config_file, placeholders
    from stages.weights.state_dicts import load_state_dict

    with placeholders():
        from mmpose.apis import MMPoseInferencer

        inferencer = MMPoseInferencer(str(config_file(POSE_MODELS[config.model].config)), device=device)
    # The inferencer's own loading would refuse the arrays that published checkpoints hold beside the weights. As it
    # does, constants that mmpose computes need not be in the file.
    network = inferencer.inferencer.model
    network.load_state_dict(load_state_dict(WeightsFile(weights, "")), strict=False)
    # Its default for overlapping persons is not that of the network's config, which is ours.
    return inferencer, {"bbox_thr": config.person_threshold, "nms_thr": network.test_cfg["nms_thr"]}


def random_rtmo(model: OneStageModel, size_pixels: int, path: Path) -> Path:
    """Save random weights that find a few persons in the scenes: batch norms know them, the threshold is among them."""
    import torch

    from stages.annotators.keypose.network import warped
    from stages.annotators.keypose.one_stage import PADDING
    from stages.reference.mmpose_networks import build_estimator, deprecations_ignored

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        estimator = build_estimator(POSE_MODELS[model].config)
    size, network = (estimator.input_width, estimator.input_height), estimator.network
    # Just as the estimator sees them: flat areas score alike, and a threshold among them would let hundreds pass.
    centre, sides = np.full(2, size_pixels / 2, np.float32), np.full(2, size_pixels, np.float32)
    inputs = [warped(image_hwc, centre, sides, size, PADDING) for image_hwc in scenes(size_pixels, 2)]
    inputs_bchw = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).float()
    inputs_bchw = inputs_bchw if estimator.takes_rgb else inputs_bchw.flip(1)
    with deprecations_ignored(), torch.no_grad():
        _learn_statistics(network, inputs_bchw)
        for layer in network.head.head_module.out_bbox:
            layer.weight *= BOX_STRENGTH
        logits = torch.cat([scores.flatten() for scores in network.head(network.extract_feat(inputs_bchw))[0]])
        best = logits.topk(MOST_CANDIDATES + 1).values
        last = int((best[:-1] - best[1:]).argmax())
        threshold = torch.tensor(KeyposeConfig().person_threshold)
        for layer in network.head.head_module.out_cls:
            layer.bias += threshold.logit() - (best[last] + best[last + 1]) / 2
    torch.save({"state_dict": network.state_dict()}, path)
    return path


def _learn_statistics(network: Any, inputs_bchw: "Tensor") -> None:
    from stages.reference.mmpose_networks import batch_norms

    for layer in batch_norms(network):
        layer.momentum = None
        layer.reset_running_stats()
    network.train()
    network.head(network.extract_feat(inputs_bchw))
    network.eval()
