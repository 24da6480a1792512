"""Depth: how near each pixel is, relative to the rest of its image; near is bright.

    (H, W, 3) RGB ──/ 127.5 - 1──> MiDaS dpt_hybrid ──> map ──min-max of the image──> [0, 1] ──> 8 or 16 bits of grey

The network sees the stored image at its own size, as in T2I-Adapter (SD:ldm/modules/extra_condition/midas/api.py:124),
unless `resolution_pixels` says otherwise. Invariant: the scale of a map depends on its own image alone, as in CoAdapter
(SD:adapters/coadapters.py:71-74), so the batch does not show in it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.annotators.condition import NETWORK_TOLERANCE, PLAIN_MIRROR, ConditionSpec, Encoding, Resize, picture_member
from stages.errors import WorkerError
from stages.hardware.precision import Dtype, ResolvedDtype, resolve_dtype
from stages.hardware.transfer import to_device
from stages.records import Condition, ConditionMembers, ImageMember, LoadedSample, Reason, Rejection, UInt8Array
from stages.settings import Mark, Settings
from stages.weights.store import WeightsStore

if TYPE_CHECKING:
    from torch import Tensor

    from stages.annotators.depth.midas import DepthNetwork

PICTURE = "depth.png"
MODEL = "dpt_hybrid"
SIZE_MULTIPLE_PIXELS = 32
"""Of both sides of what the network sees: its coarsest features have stride 32."""


class DepthConfig(Settings):
    """Settings of the depth annotator."""

    condition: ClassVar[Condition] = Condition.DEPTH
    algorithm_version: ClassVar[int] = 2

    kind: Literal["depth"] = "depth"
    dtype: Annotated[Dtype, Mark.MANNER] = "auto"
    """Precision of convolutions and matrix products; norms, the last convolution and the scaling stay in float32."""
    weights: Annotated[str | None, Mark.PLACE] = None
    """The user's own dpt_hybrid checkpoint, in place of the published one."""
    resolution_pixels: int | None = Field(default=None, ge=SIZE_MULTIPLE_PIXELS, multiple_of=SIZE_MULTIPLE_PIXELS)
    """The shorter side of what the network sees; the map is resized back. MiDaS was trained at 384; without it the
    stored image's own size, as T2I-Adapter does."""
    bits: Literal[8, 16] = 8
    """Bits of the grey picture. T2I-Adapter reads 8; 16 keeps what the network resolves within a narrow range."""
    min_range: float = Field(default=0, ge=0, lt=1)
    """Reject an image whose map spans less than this share of its own maximum, before it is scaled: of a flat surface
    scaling makes a picture of noise. The network's values are inverse depths, 0 and more."""
    compile: Annotated[bool, Mark.MANNER] = False
    """Have torch.compile fuse the network. Costs minutes in each worker before the first map and needs a C++ compiler;
    on a CPU it gains 1 % (measured at 256 x 256)."""

    @property
    def spec(self) -> ConditionSpec:
        title = f"relative depth, {self.bits}-bit grey: near is bright, each image has its own scale"
        return ConditionSpec(
            name=self.condition,
            title="relative depth",
            members=(picture_member(PICTURE, Encoding.PNG_GREY, title, dtype=f"uint{self.bits}"),),
            shown=PICTURE,
            channels=3,
            mirror=PLAIN_MIRROR,
            resize=Resize.AREA,
            tolerance=NETWORK_TOLERANCE,
            statistics="depth",
            measure="depth",
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        return ((MODEL, self.weights),)

    def resolved_dtype(self, device: str) -> ResolvedDtype:
        return resolve_dtype(self.dtype, device)

    def build(self, device: str, weights: WeightsStore) -> "DepthAnnotator":
        from stages.annotators.depth.midas import load_depth_network

        dtype = self.resolved_dtype(device)
        return DepthAnnotator(
            self, load_depth_network(weights.resolve(MODEL, self.weights), device, dtype), device, dtype
        )


class DepthAnnotator:
    """Makes `<key>.depth.png`."""

    def __init__(self, config: DepthConfig, network: "DepthNetwork", device: str, dtype: ResolvedDtype) -> None:
        """Take a loaded network that is on `device`."""
        import torch

        self._config = config
        self._network = network
        self._forward = torch.compile(network) if config.compile else network
        self._device = device
        self._dtype = dtype
        # One entry: the images of a data set have one size.
        self._positions: tuple[tuple[int, int], Tensor] | None = None

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        """Annotate images of one size; raises WorkerError if the network gives anything but numbers."""
        depth_bhw = self.estimate(np.stack([sample.image_hwc for sample in samples]))
        for sample, is_finite in zip(samples, depth_bhw.isfinite().all(dim=(1, 2)).tolist(), strict=True):
            if not is_finite:
                raise WorkerError(
                    f"depth of {sample.key} must be finite, got inf or nan from the network in {self._dtype}; "
                    + ('use dtype = "auto"' if self._dtype == "float16" else "check the weights file")
                )
        pictures, least = quantised(scaled(depth_bhw), self._config.bits), self._config.min_range
        return [
            (ImageMember(PICTURE, picture),) if share >= least else flat_depth(sample.key, least, share)
            for sample, picture, share in zip(samples, pictures, ranges(depth_bhw), strict=True)
        ]

    def estimate(self, images_bhwc: UInt8Array) -> "Tensor":
        """Return the network's map of each RGB image, before scaling: (batch, height, width) float32 on the device."""
        import torch
        from torch.nn import functional

        _, height, width, _ = images_bhwc.shape
        size, seen = (height, width), seen_size(height, width, self._config.resolution_pixels)
        with torch.inference_mode():
            images_bchw = to_device(images_bhwc, self._device) / 127.5 - 1
            if seen != size:
                images_bchw = functional.interpolate(images_bchw, seen, mode="bicubic", antialias=True)
            with torch.autocast(self._device, getattr(torch, self._dtype), enabled=self._dtype != "float32"):
                depth_bhw: Tensor = self._forward(images_bchw, self._positions_of(seen))
            if seen != size:
                # MiDaS' run.py resizes the prediction bicubically too.
                resized = functional.interpolate(depth_bhw[:, None], size, mode="bicubic", antialias=True)
                depth_bhw = resized.squeeze(1)
        return depth_bhw

    def _positions_of(self, size: tuple[int, int]) -> "Tensor":
        if self._positions is None or self._positions[0] != size:
            self._positions = (size, self._network.positions(*size))
        return self._positions[1]


def seen_size(height: int, width: int, resolution_pixels: int | None) -> tuple[int, int]:
    """Return the (height, width) at which the network sees an image: the nearest multiples of 32.

    `resolution_pixels` is the length of the shorter side; None keeps the image's own size.
    """
    scale = 1.0 if resolution_pixels is None else resolution_pixels / min(height, width)

    def nearest(side_pixels: int) -> int:
        return max(1, round(side_pixels * scale / SIZE_MULTIPLE_PIXELS)) * SIZE_MULTIPLE_PIXELS

    return nearest(height), nearest(width)


def scaled(depth_bhw: "Tensor") -> "Tensor":
    """Map each finite (height, width) map to [0, 1], its own minimum to 0 and its maximum to 1; a constant map to 0."""
    low = depth_bhw.amin(dim=(1, 2), keepdim=True)
    extent = depth_bhw.amax(dim=(1, 2), keepdim=True) - low
    return (depth_bhw - low) / extent.where(extent > 0, 1.0)


def ranges(depth_bhw: "Tensor") -> list[float]:
    """Return how much of its own maximum each map spans, 0 to 1; 0 for a constant one."""
    high = depth_bhw.amax(dim=(1, 2))
    spans: list[float] = ((high - depth_bhw.amin(dim=(1, 2))) / high.where(high > 0, 1.0)).tolist()
    return spans


def flat_depth(key: str, least: float, share: float) -> Rejection:
    """Say that a map spans too little."""
    detail = f"min_range wants the depths to span {least:g} of their maximum, got {share:.2g}"
    return Rejection(key, Reason.FLAT_DEPTH, detail)


def quantised(scaled_bhw: "Tensor", bits: Literal[8, 16]) -> npt.NDArray[Any]:
    """Round maps in [0, 1] to the nearest of 256 levels as uint8, or of 65,536 as uint16, on the CPU."""
    import torch

    levels = (scaled_bhw * (2**bits - 1)).round().to(torch.uint8 if bits == 8 else torch.int32)
    pictures_bhw: npt.NDArray[Any] = levels.cpu().numpy().astype(f"uint{bits}", copy=False)
    return pictures_bhw
