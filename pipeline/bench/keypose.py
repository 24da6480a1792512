"""`condset bench keypose`: RTMO as mmpose's inference_bottomup runs it, and as condset does.

RTMO looks at 640 x 640 pixels whatever the size of the image. Random weights would find hundreds of persons or none:
they are made such that a few candidates of each scene pass the threshold. Ours also draws the skeletons; mmpose does
not.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from pipeline.bench.measure import Say, Table, fresh
from pipeline.bench.networks import SEED, Contender, Run, Timing, build_annotator, compare, one_by_one, scenes
from stages.annotators.keypose import POSE_MODELS, KeyposeConfig
from stages.weights import WeightsFile, WeightsStore

if TYPE_CHECKING:
    from torch import Tensor

OneStageModel: TypeAlias = Literal["rtmo-s", "rtmo-m", "rtmo-l"]
"""What needs no detector of persons."""

BATCH_SIZE = 8
"""Of the contender that takes several images at once, as on a GPU; on a CPU each core takes them one by one."""
MOST_CANDIDATES = 12
"""Of two scenes together, that random weights take for persons."""
BOX_STRENGTH = 0.2
"""Sizes of boxes are exponentials, which would overflow with random weights in full strength."""


def bench_keypose(model: OneStageModel, timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare mmpose's inference_bottomup and condset, with a batch on each core and with an image on each.

    Weights that are not on this machine are random.
    """
    found = WeightsStore(weights_dir, allow_network=False).find(POSE_MODELS[model].weights)
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights = found or fresh(random_rtmo, model, timing.size_pixels, Path(scratch) / "random_rtmo.pth")
        config = KeyposeConfig(model=model, weights=str(weights))
        ours, size = partial(build_annotator, config), min(BATCH_SIZE, timing.images)
        contenders = [
            Contender("mmpose inference_bottomup", partial(build_reference, config, weights), "float32"),
            Contender(f"condset float32, batches of {size}", ours, "float32", size, batch_per_core=True),
            Contender("condset float32", ours, "float32", batch_per_core=True),
        ]
        return compare(model.upper(), found is None, contenders, config, timing, say)


def build_reference(config: KeyposeConfig, weights: Path) -> Run:
    """Build the network as mmpose's users do, with our threshold; it takes BGR images, one at a time."""
    import warnings

    from stages.openmmlab import placeholders
    from stages.weights import load_state_dict

    warnings.simplefilter("ignore")
    with placeholders():
        import mmpose
        from mmpose.apis import inference_bottomup, init_model

        configs = Path(mmpose.__file__).parent / ".mim" / "configs" / "body_2d_keypoint"
        network = init_model(configs / f"{POSE_MODELS[config.model].config}.py", device="cpu")
    # As mmengine loads checkpoints: constants that mmpose computes need not be in the file.
    network.load_state_dict(load_state_dict(WeightsFile(weights, "")), strict=False)
    network.test_cfg.score_thr = config.person_threshold
    return one_by_one(lambda image_hwc: inference_bottomup(network, np.ascontiguousarray(image_hwc[..., ::-1])))


def random_rtmo(model: OneStageModel, size_pixels: int, path: Path) -> Path:
    """Save random weights that find a few persons in the scenes: batch norms know them, the threshold is among them."""
    import torch

    from stages.annotators.pose_network import warped
    from stages.annotators.pose_onestage import PADDING
    from stages.openmmlab import build_estimator, ignore_deprecations

    torch.manual_seed(SEED)
    ignore_deprecations()
    estimator = build_estimator(POSE_MODELS[model].config)
    size, network = (estimator.input_width, estimator.input_height), estimator.network
    # Just as the estimator sees them: flat areas score alike, and a threshold among them would let hundreds pass.
    centre, sides = np.full(2, size_pixels / 2, np.float32), np.full(2, size_pixels, np.float32)
    inputs = [warped(image_hwc, centre, sides, size, PADDING) for image_hwc in scenes(size_pixels, 2)]
    inputs_bchw = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).float()
    inputs_bchw = inputs_bchw if estimator.takes_rgb else inputs_bchw.flip(1)
    with torch.no_grad():
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
    import torch

    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = None
            layer.reset_running_stats()
    network.train()
    network.head(network.extract_feat(inputs_bchw))
    network.eval()
