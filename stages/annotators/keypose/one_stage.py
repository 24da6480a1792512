"""One-stage pose estimation: RTMO (arXiv 2312.07526) finds all persons and their keypoints in one pass.

    images ──each fitted into 640 x 640, padded──> one batch ──RTMO──> candidates ──score, NMS──> (persons, 17, 3) each

Equal to mmpose.apis.inference_bottomup of mmpose 1.3.2 image by image; only the batch is ours.
"""

from collections.abc import Sequence

import numpy as np

from stages.annotators.keypose.network import PoseNetwork, in_image, warped
from stages.records import Float32Array, UInt8Array

PADDING = (114, 114, 114)
"""The grey around an image that is not square (val_pipeline of RTMO's configs)."""


class OneStageEstimator:
    """Finds persons and their keypoints with one network."""

    def __init__(self, network: PoseNetwork) -> None:
        """Take a network of one of mmpose's RTMO configs; its `score_thr` is the score that a person must exceed."""
        self._network = network

    def __call__(self, images_hwc: Sequence[UInt8Array]) -> list[Float32Array]:
        """Estimate a batch of RGB images, of one size or several; see PoseEstimator."""
        size = self._network.input_size
        rectangles = [self._rectangle(image) for image in images_hwc]
        inputs = [
            warped(image, *rectangle, size, PADDING) for image, rectangle in zip(images_hwc, rectangles, strict=True)
        ]
        return [
            in_image(persons, *rectangle, size)
            for persons, rectangle in zip(self._network(inputs), rectangles, strict=True)
        ]

    def _rectangle(self, image_hwc: UInt8Array) -> tuple[Float32Array, Float32Array]:
        """Return centre and sides of what fills the network's input: the image and the padding at two of its sides."""
        height, width = image_hwc.shape[:2]
        input_width, input_height = self._network.input_size
        fitted_width = min(input_width, input_height * (width / height))
        fitted_height = min(input_height, input_width / (width / height))
        sides = (width * input_width / fitted_width, height * input_height / fitted_height)
        return np.array([width / 2, height / 2], np.float32), np.array(sides, np.float32)
