"""A pose network of mmpose, ready for inference: what the one-stage and the top-down estimator share.

    RGB inputs of the network's size ──one copy to the device──> backbone, neck ──float32──> the head's own decoding
                                                    └─ mirrored, if the config has a flip test ─┘

The batch norms are folded into their convolutions and the weights lie channels-last: the same result, sooner.
Invariant: decoding works on float32, whatever type the convolutions run in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stages.hardware.precision import ResolvedDtype
from stages.hardware.transfer import to_device
from stages.records import Float32Array, UInt8Array
from stages.reference.mmpose_networks import (
    Estimator,
    build_estimator,
    deprecations_ignored,
    load_estimator_weights,
    placeholders,
)
from stages.weights.store import WeightsFile

if TYPE_CHECKING:
    import torch

PoseEstimator: TypeAlias = Callable[[Sequence[UInt8Array]], list[Float32Array]]
"""Takes RGB images (height, width, 3); returns (persons, 17, 3) for each: x, y in pixels, score; surest one first."""

MIRRORED_KEYPOINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""Which keypoint each one is in the mirror: left becomes right."""

FARTHEST_PIXELS = 2.0**20
"""Beyond it a position is none: RTMO's boxes are exponentials, which overflow in badly trained networks."""


class PoseNetwork:
    """An estimator of mmpose on its device."""

    def __init__(
        self,
        estimator: Estimator,
        device: str,
        dtype: ResolvedDtype = "float32",
        test_settings: Mapping[str, float] | None = None,
    ) -> None:
        """Take over a trained estimator: its batch norms are folded in place.

        `test_settings` replaces entries of the config's `test_cfg`, such as `score_thr`.
        """
        import torch

        with placeholders():
            from mmcv.cnn import fuse_conv_bn

        network = fuse_conv_bn(estimator.network).requires_grad_(False)
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._test_settings = dict(network.test_cfg) | dict(test_settings or {})
        self.input_size = (estimator.input_width, estimator.input_height)
        self._takes_rgb = estimator.takes_rgb
        self._mean = torch.tensor(estimator.mean, dtype=torch.float32, device=device).view(3, 1, 1)
        self._std = torch.tensor(estimator.std, dtype=torch.float32, device=device).view(3, 1, 1)
        self._device = device
        self._dtype = dtype

    def __call__(self, inputs_hwc: Sequence[UInt8Array]) -> list[Float32Array]:
        """Estimate the poses in RGB images that have the network's input size.

        Returns for each (persons, 17, 3): x, y in pixels of the input, score. A top-down network finds one person.
        """
        import torch
        from mmpose.structures import PoseDataSample

        description = {"input_size": self.input_size, "flip_indices": MIRRORED_KEYPOINTS}
        samples = [PoseDataSample(metainfo=description) for _ in inputs_hwc]
        with deprecations_ignored(), torch.inference_mode():
            inputs_bchw = self._normalised(np.stack(inputs_hwc))
            features = self._features(inputs_bchw)
            # mmpose averages what it finds in the input and in its mirror image (flip_test).
            is_averaged = self._test_settings.get("flip_test", False)
            seen = [features, self._features(inputs_bchw.flip(-1))] if is_averaged else features
            found = self._network.head.predict(seen, samples, test_cfg=self._test_settings)
        return [_placed(persons.keypoints, persons.keypoint_scores) for persons in found]

    def _normalised(self, inputs_bhwc: UInt8Array) -> "torch.Tensor":
        inputs_bchw = to_device(inputs_bhwc, self._device)
        channels_in_order = inputs_bchw if self._takes_rgb else inputs_bchw.flip(1)
        return (channels_in_order.float() - self._mean) / self._std

    def _features(self, inputs_bchw: "torch.Tensor") -> "tuple[torch.Tensor, ...]":
        import torch

        with torch.autocast(self._device, getattr(torch, self._dtype), enabled=self._dtype != "float32"):
            maps = self._network.extract_feat(inputs_bchw.contiguous(memory_format=torch.channels_last))
        return tuple(feature_map.float() for feature_map in maps)


def _placed(positions: Float32Array, scores: Float32Array) -> Float32Array:
    """Join (persons, 17, 2) and (persons, 17); a keypoint that is nowhere near the image is one that is not seen."""
    keypoints = np.concatenate([positions, scores[..., None]], axis=-1, dtype=np.float32)
    is_placed = np.all(np.abs(positions) < FARTHEST_PIXELS, axis=-1, keepdims=True)
    return np.where(is_placed, keypoints, np.float32(0))


def load_pose_network(
    config_name: str,
    file: WeightsFile,
    device: str,
    dtype: ResolvedDtype,
    test_settings: Mapping[str, float] | None = None,
) -> PoseNetwork:
    """Build the network of an mmpose config with the weights of `file`. Raises WeightsError if they do not fit it."""
    estimator = build_estimator(config_name)
    load_estimator_weights(estimator, file)
    return PoseNetwork(estimator, device, dtype, test_settings)


def warped(
    image_hwc: UInt8Array, centre: Float32Array, sides: Float32Array, size: tuple[int, int], padding: tuple[int, ...]
) -> UInt8Array:
    """Warp a rectangle of an image to `size`, (width, height), as the transforms of mmpose do.

    `centre` and `sides` are in pixels of the image; what lies outside of it becomes `padding`, RGB.
    """
    import cv2
    from mmpose.structures.bbox import get_warp_matrix

    matrix = get_warp_matrix(centre, sides, rot=0, output_size=size)
    return np.asarray(cv2.warpAffine(image_hwc, matrix, size, flags=cv2.INTER_LINEAR, borderValue=padding), np.uint8)


def in_image(keypoints: Float32Array, centre: Float32Array, sides: Float32Array, size: tuple[int, int]) -> Float32Array:
    """Map (persons, 17, 3) from a warped rectangle back to its image; scores stay."""
    positions = keypoints[..., :2] / np.asarray(size) * sides + centre - 0.5 * sides
    return np.concatenate([positions, keypoints[..., 2:]], axis=-1, dtype=np.float32)
