"""The person detector against torchvision's own network, assembled as torchvision does for its published weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from stages.annotators.keypose.person_detector import PersonDetector, faster_rcnn, load_person_detector
from stages.errors import WeightsError
from stages.hardware.process import torch_threads
from stages.records import Float32Array, UInt8Array
from stages.weights.store import WeightsFile

THRESHOLD = 0.2
SHORT_SIDE_PIXELS = 128
"""The network's own is 800, which takes seconds on a CPU."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """Torchvision's network with random weights that take a good part of the image for persons."""
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d)
    network = FasterRCNN(backbone, num_classes=91)
    for layer in network.modules():
        if isinstance(layer, FrozenBatchNorm2d):
            layer.eps = 0.0  # as torchvision sets it for these weights
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.uniform_(0.5, 1.0)
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[1] += 5
        network.roi_heads.box_predictor.cls_score.weight *= 3
    network.transform.min_size = (SHORT_SIDE_PIXELS,)
    evaluated: torch.nn.Module = network.eval()
    return evaluated


@pytest.fixture(scope="module")
def network(reference: torch.nn.Module) -> torch.nn.Module:
    built = faster_rcnn(dict(reference.state_dict()))
    built.transform.min_size = (SHORT_SIDE_PIXELS,)  # type: ignore[union-attr]
    return built


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[UInt8Array]:
    """Photographs of one size, RGB."""
    names = ("000000000785", "000000001268", "000000161044")
    images = [Image.open(shared / f"data/coco17/val2017/{name}.jpg") for name in names]
    return [np.array(image.resize((256, 192))) for image in images]


def boxes_by_torchvision(reference: torch.nn.Module, image_hwc: UInt8Array) -> Float32Array:
    with torch.no_grad():
        found = reference([torch.from_numpy(image_hwc.copy()).permute(2, 0, 1).float() / 255])[0]
    kept = (found["labels"] == 1) & (found["scores"] > THRESHOLD)
    return np.asarray(found["boxes"][kept].numpy(), np.float32)


def test_a_batch_gives_the_boxes_that_torchvision_gives_each_image(
    reference: torch.nn.Module, network: torch.nn.Module, photographs: list[UInt8Array]
) -> None:
    boxes = PersonDetector(network, "cpu", THRESHOLD)(photographs)
    for photograph, found in zip(photographs, boxes, strict=True):
        expected = boxes_by_torchvision(reference, photograph)
        assert len(expected) > 10
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_nobody_scores_above_a_high_threshold(network: torch.nn.Module, photographs: list[UInt8Array]) -> None:
    (boxes,) = PersonDetector(network, "cpu", 0.99)(photographs[:1])
    assert boxes.shape == (0, 4)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match=r"detector_weights .*other\.pth must hold the weights of torchvision's"):
        load_person_detector(WeightsFile(file, ""), "cpu", THRESHOLD)
