"""Top-down pose estimation: RTMPose (arXiv 2303.07399) or HRNet (arXiv 1902.09212) on the box of each person.

    images ──detector──> boxes ──x 1.25, made 3:4, warped to 192 x 256──> crops of all images, 64 in a batch
                                                                                     │ RTMPose or HRNet
    (persons, 17, 3) each <─────────────────back to the image────────────────────────┘

Equal to mmpose.apis.inference_topdown of mmpose 1.3.2 box by box; only the batches are ours.
"""

from collections.abc import Callable, Sequence

import numpy as np

from stages.annotators.keypose.network import PoseNetwork, in_image, warped
from stages.annotators.keypose.skeleton import KEYPOINTS
from stages.records import Float32Array, UInt8Array

BOX_PADDING = 1.25
"""How much larger than the box the crop is (GetBBoxCenterScale of mmpose)."""

BLACK = (0, 0, 0)
"""What a crop shows outside of its image (TopdownAffine of mmpose)."""

CROPS_PER_PASS = 64
"""Bounds the memory that a crowd takes: 30 persons in each of 16 images are 480 crops. As mmpose's test batch."""


class TopDownEstimator:
    """Finds the keypoints of the persons that a detector finds."""

    def __init__(
        self,
        network: PoseNetwork,
        detector: Callable[[Sequence[UInt8Array]], list[Float32Array]],
        crops_per_pass: int = CROPS_PER_PASS,
    ) -> None:
        """Take a network of one of mmpose's top-down configs, and a detector such as PersonDetector."""
        self._network = network
        self._detector = detector
        self._crops_per_pass = crops_per_pass

    def __call__(self, images_hwc: Sequence[UInt8Array]) -> list[Float32Array]:
        """Estimate a batch of RGB images of one size; see PoseEstimator."""
        boxes = self._detector(images_hwc)
        crops = [
            (image, *self._rectangle(box)) for image, found in zip(images_hwc, boxes, strict=True) for box in found
        ]
        people = [np.zeros((0, KEYPOINTS, 3), np.float32)]
        for start in range(0, len(crops), self._crops_per_pass):
            people += self._estimate(crops[start : start + self._crops_per_pass])
        first_of_next = np.cumsum([len(found) for found in boxes])[:-1]
        return np.split(np.concatenate(people), first_of_next)

    def _estimate(self, crops: Sequence[tuple[UInt8Array, Float32Array, Float32Array]]) -> list[Float32Array]:
        """Return (1, 17, 3) for each (image, centre, sides)."""
        size = self._network.input_size
        inputs = [warped(image, centre, sides, size, BLACK) for image, centre, sides in crops]
        return [
            in_image(person, centre, sides, size)
            for person, (_, centre, sides) in zip(self._network(inputs), crops, strict=True)
        ]

    def _rectangle(self, box: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return centre and sides of the crop for one box: larger, and in the proportions of the network's input."""
        width, height = (box[2:] - box[:2]) * BOX_PADDING
        proportion = self._network.input_size[0] / self._network.input_size[1]
        sides = (width, width / proportion) if width > height * proportion else (height * proportion, height)
        return (box[:2] + box[2:]) * 0.5, np.array(sides, np.float32)
