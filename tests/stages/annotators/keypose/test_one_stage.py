"""RTMO in batches against mmpose.apis.inference_bottomup: same weights, same photographs, same keypoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stages.annotators.keypose.network import load_pose_network
from stages.annotators.keypose.one_stage import OneStageEstimator
from stages.hardware.precision import ResolvedDtype
from stages.hardware.process import torch_threads
from stages.records import Float32Array, UInt8Array
from stages.reference.mmpose_networks import batch_norms, config_file, deprecations_ignored, placeholders
from stages.weights.store import WeightsFile

CANDIDATES = 3
"""Scores of a random network mean nothing: the threshold lets so many candidates of each photograph pass, or more."""

POSITION_PIXELS = 0.01
SCORE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[UInt8Array]:
    """Five photographs of five sizes, RGB."""
    names = ("000000000785", "000000001268", "000000161044", "000000030213", "000000252332")
    images = [np.array(Image.open(shared / f"data/coco17/val2017/{name}.jpg")) for name in names]
    assert len({image.shape for image in images}) == 5
    return images


@dataclass(frozen=True)
class Reference:
    """A network as mmpose.apis.init_model builds it."""

    network: Any
    config_name: str
    checkpoint: WeightsFile
    person_score: float

    def keypoints(self, photograph_hwc: UInt8Array) -> Float32Array:
        """Return (persons, 17, 3) as mmpose.apis.inference_bottomup gives them."""
        from mmpose.apis import inference_bottomup

        with deprecations_ignored():
            (sample,) = inference_bottomup(self.network, np.ascontiguousarray(photograph_hwc[..., ::-1]))
        found = sample.pred_instances
        return np.concatenate([found.keypoints, found.keypoint_scores[..., None]], axis=-1, dtype=np.float32)

    def estimator(
        self, person_score: float | None = None, dtype: ResolvedDtype = "float32", device: str = "cpu"
    ) -> OneStageEstimator:
        """Return ours, with the same weights."""
        settings = {"score_thr": self.person_score if person_score is None else person_score}
        return OneStageEstimator(load_pose_network(self.config_name, self.checkpoint, device, dtype, settings))


def random_reference(config_name: str, photographs: Sequence[UInt8Array], directory: Path) -> Reference:
    """Build a network whose random weights behave on photographs: no overflow, small boxes, moderate scores."""
    torch.manual_seed(0)
    with placeholders():
        from mmengine.dataset import Compose
        from mmpose.apis import init_model

        network = init_model(config_file(config_name), device="cpu")
        prepare = Compose(network.cfg.test_dataloader.dataset.pipeline)
        inputs_bchw = torch.stack([prepare({"img": image[..., ::-1]})["inputs"] for image in photographs]).float()
        give_statistics(network, inputs_bchw)
        with torch.no_grad():
            logits = torch.cat([scores.flatten(1) for scores in network.head(network.extract_feat(inputs_bchw))[0]], 1)
    network.test_cfg.score_thr = float(logits.topk(CANDIDATES).values.min().sigmoid()) - 1e-4
    file = directory / "checkpoint.pth"
    torch.save({"meta": {"sigmas": np.ones(17, np.float32)}, "state_dict": network.state_dict()}, file)
    return Reference(network, config_name, WeightsFile(file, ""), network.test_cfg.score_thr)


def give_statistics(network: Any, inputs_bchw: torch.Tensor) -> None:
    """Let the batch norms see photographs, and tame what follows them: exp() of a box, softmax of 256 bins."""
    for layer in batch_norms(network):
        layer.momentum = None
        layer.reset_running_stats()
    network.train()
    with torch.no_grad():
        network.head(network.extract_feat(inputs_bchw))
        scales = {"out_bbox": 0.2, "out_cls": 0.5, "out_kpt_vis": 0.3, "gau.o": 0.05, "x_fc": 0.1, "y_fc": 0.1}
        for name, parameter in network.head.named_parameters():
            for part, scale in scales.items():
                if part in name and name.endswith("weight"):
                    parameter *= scale
    network.eval()


@pytest.fixture(scope="module")
def reference(photographs: list[UInt8Array], tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The smallest RTMO, at 416 x 416."""
    config_name = "rtmo/body7/rtmo-t_8xb32-600e_body7-416x416"
    return random_reference(config_name, photographs, tmp_path_factory.mktemp("rtmo-t"))


@pytest.fixture(scope="module")
def estimator(reference: Reference) -> OneStageEstimator:
    return reference.estimator()


@pytest.fixture(scope="module")
def batch(estimator: OneStageEstimator, photographs: list[UInt8Array]) -> list[Float32Array]:
    return estimator(photographs)


def assert_same(found: Float32Array, expected: Float32Array) -> None:
    """Compare person by person; those with scores equal to the last digit may have changed places."""
    assert len(expected) > 0
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    distances = np.abs(found[:, None, :, :2] - expected[None, :, :, :2]).max(axis=(2, 3))
    found = found[distances.argmin(axis=0)]
    np.testing.assert_allclose(found[..., :2], expected[..., :2], rtol=0, atol=POSITION_PIXELS)
    np.testing.assert_allclose(found[..., 2], expected[..., 2], rtol=0, atol=SCORE)


def test_a_batch_of_photographs_equals_mmpose_photograph_by_photograph(
    reference: Reference, photographs: list[UInt8Array], batch: list[Float32Array]
) -> None:
    for photograph, found in zip(photographs, batch, strict=True):
        assert_same(found, reference.keypoints(photograph))


def test_a_batch_equals_its_images_one_by_one(
    estimator: OneStageEstimator, photographs: list[UInt8Array], batch: list[Float32Array]
) -> None:
    for photograph, found in zip(photographs, batch, strict=True):
        assert_same(found, estimator([photograph])[0])


def test_nobody_scores_above_a_high_threshold(reference: Reference, photographs: list[UInt8Array]) -> None:
    (keypoints,) = reference.estimator(person_score=0.999)(photographs[2:3])
    assert keypoints.shape == (0, 17, 3)


def test_bfloat16_is_used_when_asked_for_and_the_keypoints_stay_float32(
    reference: Reference, photographs: list[UInt8Array], batch: list[Float32Array]
) -> None:
    (keypoints,) = reference.estimator(dtype="bfloat16")(photographs[:1])
    assert keypoints.dtype == np.float32
    assert np.isfinite(keypoints).all()
    assert keypoints.shape != batch[0].shape or not np.array_equal(keypoints, batch[0])


def test_a_keypoint_whose_box_overflows_is_one_that_is_not_seen(
    reference: Reference, photographs: list[UInt8Array], tmp_path: Path
) -> None:
    state = dict(reference.network.state_dict())
    for scale in (0, 1):
        state[f"head.head_module.out_bbox.{scale}.bias"] = torch.full((4,), 1e4)
    torch.save(state, tmp_path / "overflows.pth")
    overflowing = replace(reference, checkpoint=WeightsFile(tmp_path / "overflows.pth", ""))
    (keypoints,) = overflowing.estimator()(photographs[:1])
    assert len(keypoints) > 0
    assert np.isfinite(keypoints).all()
    assert not keypoints[..., 2].any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gpu_finds_persons_where_the_cpu_does(
    reference: Reference, photographs: list[UInt8Array], batch: list[Float32Array], dtype: ResolvedDtype
) -> None:
    with torch.backends.cudnn.flags(enabled=False):  # its convolutions round to TF32
        found = reference.estimator(dtype=dtype, device="cuda")(photographs)
    for keypoints, expected in zip(found, batch, strict=True):
        assert keypoints.dtype == np.float32
        if dtype == "float32":
            np.testing.assert_allclose(keypoints[0, :, :2], expected[0, :, :2], rtol=0, atol=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rtmo-s_8xb32-600e", "rtmo-m_16xb16-600e", "rtmo-l_16xb16-600e"])
def test_every_rtmo_that_the_configuration_offers_equals_mmpose(
    name: str, photographs: list[UInt8Array], tmp_path: Path
) -> None:
    reference = random_reference(f"rtmo/body7/{name}_body7-640x640", photographs, tmp_path)
    for photograph, found in zip(photographs, reference.estimator()(photographs), strict=True):
        assert_same(found, reference.keypoints(photograph))
