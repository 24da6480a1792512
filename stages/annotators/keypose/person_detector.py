"""Where the persons are: torchvision's Faster R-CNN with ResNet-50 and FPN (arXiv 1506.01497), trained on COCO.

    images of one size ──one batch──> Faster R-CNN ──label person, score > 0.2──> (persons, 4) boxes each

T2I-Adapter's released code uses mmdet's network of the same design and threshold (SD:ldm/modules/extra_condition/
api.py:33-45, bbox_thr); mmdet needs compiled mmcv, so the detector here is torchvision's. It runs in float32 always: in
bfloat16 its boxes come on a grid of one pixel.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.errors import WeightsError
from stages.records import Float32Array, UInt8Array
from stages.reference.mmpose_networks import placeholders
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile

if TYPE_CHECKING:
    import torch

PERSON_LABEL = 1
"""Among COCO's category ids, which torchvision's detectors predict."""


class PersonDetector:
    """Finds the boxes of persons."""

    def __init__(self, network: "torch.nn.Module", device: str, person_threshold: float) -> None:
        """Take over a trained detector of torchvision; keep persons that score above `person_threshold`."""
        import torch

        self._network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self._device = device
        self._person_threshold = person_threshold

    def __call__(self, images_hwc: Sequence[UInt8Array]) -> list[Float32Array]:
        """Return for each RGB image (persons, 4): left, top, right, bottom in pixels, surest person first.

        Images of one size are resized and padded as each would be alone; images of several sizes share the largest
        one's padding, and their boxes depend on it.
        """
        import torch

        images_bchw = [
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(self._device).float() / 255
            for image in images_hwc
        ]
        with torch.inference_mode():
            detections = self._network(images_bchw)
        boxes = []
        for found in detections:
            is_person = (found["labels"] == PERSON_LABEL) & (found["scores"] > self._person_threshold)
            boxes.append(found["boxes"][is_person].cpu().numpy())
        return boxes


def load_person_detector(file: WeightsFile, device: str, person_threshold: float) -> PersonDetector:
    """Build the detector with the weights of `file`. Raises WeightsError if they are not of torchvision's network."""
    try:
        network = faster_rcnn(load_state_dict(file))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"detector_weights {file.path} must hold the weights of torchvision's fasterrcnn_resnet50_fpn, got "
            f"{reason}; give another file"
        ) from error
    return PersonDetector(network, device, person_threshold)


def faster_rcnn(state: "Mapping[str, torch.Tensor]") -> "torch.nn.Module":
    """Build torchvision's fasterrcnn_resnet50_fpn as it is for its weights COCO_V1, batch norms folded.

    Those weights want batch norms without epsilon, which torchvision sets when it downloads them itself
    (overwrite_eps in torchvision/models/detection). Raises RuntimeError if the tensors are not of this network.
    """
    import torch
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    with placeholders():
        from mmcv.cnn import fuse_conv_bn

    network: torch.nn.Module = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    network.load_state_dict(state)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 0.0
    fused: torch.nn.Module = fuse_conv_bn(network.eval())
    return fused
