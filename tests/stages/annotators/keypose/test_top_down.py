"""RTMPose and HRNet in batches of crops against mmpose.apis.inference_topdown: same weights, same boxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stages.annotators.keypose.network import PoseNetwork, load_pose_network
from stages.annotators.keypose.top_down import CROPS_PER_PASS, TopDownEstimator
from stages.hardware.process import torch_threads
from stages.records import Float32Array, UInt8Array
from stages.reference.mmpose_networks import batch_norms, config_file, deprecations_ignored, placeholders
from stages.weights.store import WeightsFile

BOXES: tuple[list[list[float]], ...] = (
    [[50.5, 60.25, 250.0, 400.0], [10.0, 5.0, 100.0, 30.0]],
    [[300.0, 20.0, 420.0, 390.0]],
    [],
    [[0.0, 0.0, 480.0, 640.0], [470.0, 600.0, 480.0, 640.0], [-20.0, -10.0, 60.0, 200.0]],
    [[200.0, 100.0, 201.5, 103.0]],
)
"""For five photographs: tall, wide, nobody, the whole image, one corner, over the border, a few pixels."""

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
    return [np.array(Image.open(shared / f"data/coco17/val2017/{name}.jpg")) for name in names]


@dataclass(frozen=True)
class Reference:
    """A network as mmpose.apis.init_model builds it, and ours with the same weights."""

    network: Any
    ours: PoseNetwork

    def keypoints(self, photograph_hwc: UInt8Array, boxes: Float32Array) -> Float32Array:
        """Return (persons, 17, 3) as mmpose.apis.inference_topdown gives them."""
        from mmpose.apis import inference_topdown

        with deprecations_ignored():
            samples = inference_topdown(self.network, np.ascontiguousarray(photograph_hwc[..., ::-1]), boxes)
        persons = [sample.pred_instances for sample in samples]
        positions = np.concatenate([person.keypoints for person in persons])
        scores = np.concatenate([person.keypoint_scores for person in persons])
        return np.concatenate([positions, scores[..., None]], axis=-1, dtype=np.float32)

    def estimator(self, boxes: Sequence[Float32Array], crops_per_pass: int = CROPS_PER_PASS) -> TopDownEstimator:
        """Return ours, with a detector that finds these boxes."""
        return TopDownEstimator(self.ours, lambda images: list(boxes[: len(images)]), crops_per_pass)


def random_reference(config_name: str, photographs: Sequence[UInt8Array], directory: Path) -> Reference:
    """Build a network whose random weights tell one photograph from another: its batch norms have seen some."""
    torch.manual_seed(0)
    with placeholders():
        from mmpose.apis import init_model

        network = init_model(config_file(config_name), device="cpu")
        for layer in batch_norms(network):
            layer.momentum = None
            layer.reset_running_stats()
        inputs = [np.array(Image.fromarray(image).resize((192, 256))) for image in photographs]
        inputs_bchw = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2)
        with torch.no_grad():
            network.train().extract_feat((inputs_bchw - 120.0) / 58.0)
            # Trained networks score 0 to 1, these up to 29.
            is_simcc = hasattr(network.head, "cls_x")
            for layer in (network.head.cls_x, network.head.cls_y) if is_simcc else (network.head.final_layer,):
                layer.weight *= 0.1
        network.eval()
    file = directory / "checkpoint.pth"
    torch.save({"state_dict": network.state_dict()}, file)
    return Reference(network, load_pose_network(config_name, WeightsFile(file, ""), "cpu", "float32"))


def as_boxes(boxes: Sequence[Sequence[float]]) -> Float32Array:
    return np.array(boxes, np.float32).reshape(-1, 4)


def assert_same(found: Float32Array, expected: Float32Array) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[..., :2], expected[..., :2], rtol=0, atol=POSITION_PIXELS)
    np.testing.assert_allclose(found[..., 2], expected[..., 2], rtol=0, atol=SCORE)


def assert_equals_mmpose(reference: Reference, photographs: Sequence[UInt8Array]) -> None:
    boxes = [as_boxes(found) for found in BOXES]
    batch = reference.estimator(boxes)(photographs)
    for photograph, given, found in zip(photographs, boxes, batch, strict=True):
        if len(given):
            assert_same(found, reference.keypoints(photograph, given))
        else:
            assert found.shape == (0, 17, 3)


@pytest.fixture(scope="module")
def reference(photographs: list[UInt8Array], tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The smallest RTMPose."""
    config_name = "rtmpose/body8/rtmpose-t_8xb256-420e_body8-256x192"
    return random_reference(config_name, photographs, tmp_path_factory.mktemp("rtmpose-t"))


def test_crops_of_several_photographs_in_one_batch_equal_mmpose_box_by_box(
    reference: Reference, photographs: list[UInt8Array]
) -> None:
    assert_equals_mmpose(reference, photographs)


def test_a_batch_equals_its_images_one_by_one(reference: Reference, photographs: list[UInt8Array]) -> None:
    boxes = [as_boxes(found) for found in BOXES]
    batch = reference.estimator(boxes)(photographs)
    for photograph, given, found in zip(photographs, boxes, batch, strict=True):
        assert_same(found, reference.estimator([given])([photograph])[0])


def test_a_crowd_that_takes_several_passes_equals_each_person_alone(
    reference: Reference, photographs: list[UInt8Array]
) -> None:
    crowd = as_boxes([[100.0, 80.0, 180.0, 260.0]]) + np.arange(5, dtype=np.float32)[:, None]
    (found,) = reference.estimator([crowd], crops_per_pass=2)(photographs[:1])
    assert found.shape == (5, 17, 3)
    for person in range(5):
        (alone,) = reference.estimator([crowd[person : person + 1]])(photographs[:1])
        assert_same(found[person : person + 1], alone)


def test_photographs_without_persons_have_no_keypoints(reference: Reference, photographs: list[UInt8Array]) -> None:
    found = reference.estimator([as_boxes([])] * 2)(photographs[:2])
    assert [keypoints.shape for keypoints in found] == [(0, 17, 3)] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "config_name",
    [
        "rtmpose/body8/rtmpose-m_8xb256-420e_body8-256x192",
        "topdown_heatmap/coco/td-hm_hrnet-w48_8xb32-210e_coco-256x192",
    ],
)
def test_every_top_down_network_that_the_configuration_offers_equals_mmpose(
    config_name: str, photographs: list[UInt8Array], tmp_path: Path
) -> None:
    assert_equals_mmpose(random_reference(config_name, photographs, tmp_path), photographs)
