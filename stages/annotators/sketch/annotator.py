"""Sketch: the edges that PiDiNet sees in an image, white on black, as T2I-Adapter feeds them.

    stored RGB pixels / 255 ──PiDiNet──> probability p of an edge ──round(255 p)──> sketch.png

The channels are fed as RGB without mean and deviation (SD:ldm/data/dataset_coco.py:24-26); controlnet_aux's detector
feeds BGR, which flips 1.1 % of the pixels of T2I-Adapter's own example at threshold 0.5. Invariant: on a CPU a sketch
does not depend on the batch that its image was in.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from stages.annotators.condition import NETWORK_TOLERANCE, PLAIN_MIRROR, ConditionSpec, Encoding, Resize, picture_member
from stages.annotators.edges import edges_or_rejection
from stages.hardware.precision import Dtype, resolve_dtype
from stages.hardware.transfer import to_device
from stages.records import Condition, ConditionMembers, LoadedSample, Rejection, UInt8Array
from stages.settings import Mark, Settings
from stages.weights.store import WeightsStore

if TYPE_CHECKING:
    from torch import Tensor

PICTURE = "sketch.png"
NETWORK = "pidinet"


class SketchConfig(Settings):
    """Settings of the sketch annotator."""

    condition: ClassVar[Condition] = Condition.SKETCH
    algorithm_version: ClassVar[int] = 1

    kind: Literal["sketch"] = "sketch"
    dtype: Annotated[Dtype, Mark.MANNER] = "auto"
    """Precision of the network's layers but the first, which stays in float32."""
    weights: Annotated[str | None, Mark.PLACE] = None
    """The user's own state dict of PiDiNet carv4 with 60 channels, in place of the published one."""
    binarize: float | None = Field(default=None, gt=0, lt=1)
    """Store 255 where the probability is greater than this and 0 elsewhere, instead of the probability. T2I-Adapter
    binarises at 0.5, in training."""
    min_edges: float = Field(default=0, ge=0, lt=1)
    """Reject an image of whose pixels a smaller share is edge (probability over a half): a blank sketch teaches an
    adapter to ignore sketches. `condset inspect` counts how many that would be."""
    compile: Annotated[bool, Mark.MANNER] = False
    """Compile the network with torch.compile: a minute or two at the start of each worker, and no gain on a CPU."""

    @property
    def spec(self) -> ConditionSpec:
        title = "soft edges, 8-bit grey: white lines on black, 255 is certain"
        return ConditionSpec(
            name=self.condition,
            title="soft edges",
            members=(picture_member(PICTURE, Encoding.PNG_GREY, title),),
            shown=PICTURE,
            channels=1,
            mirror=PLAIN_MIRROR,
            resize=Resize.AREA,
            tolerance=NETWORK_TOLERANCE,
            statistics="edges",
            measure="edges",
            variations=("threshold",),
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        return ((NETWORK, self.weights),)

    def resolved_dtype(self, device: str) -> str:
        return resolve_dtype(self.dtype, device)

    def build(self, device: str, weights: WeightsStore) -> "SketchAnnotator":
        from stages.annotators.sketch.pidinet import load_pidinet

        file = weights.resolve(NETWORK, self.weights)
        network: Callable[[Tensor], Tensor] = load_pidinet(file, device, resolve_dtype(self.dtype, device))
        if self.compile:
            import torch

            # Freezing lets inductor lay the weights out once, for a CPU; on CUDA it has nothing to gain from it.
            network = torch.compile(network, options={"freezing": device == "cpu"})
        return SketchAnnotator(network, device, self.binarize, self.min_edges)


class SketchAnnotator:
    """Makes `<key>.sketch.png`."""

    def __init__(
        self, network: "Callable[[Tensor], Tensor]", device: str, binarize: float | None, min_edges: float = 0
    ) -> None:
        """Take a network on `device`: (batch, 3, height, width) RGB in [0, 1] to (batch, 1, height, width)."""
        self._network = network
        self._device = device
        self._binarize = binarize
        self._min_edges = min_edges

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        images = [sample.image_hwc for sample in samples]
        # A CPU is fastest one image at a time, while the activations still fit its caches.
        batches = [[image] for image in images] if self._device == "cpu" else [images]
        sketches = (sketch for batch in batches if batch for sketch in self._sketches(batch))
        return [
            edges_or_rejection(sample.key, PICTURE, sketch, self._min_edges)
            for sample, sketch in zip(samples, sketches, strict=True)
        ]

    def _sketches(self, images_hwc: Sequence[UInt8Array]) -> UInt8Array:
        """Map RGB images of one size to their (batch, height, width) sketches."""
        import torch

        with torch.inference_mode():
            images_bchw = to_device(np.stack(images_hwc), self._device)
            edges_bhw = self._network(images_bchw.float() / 255)[:, 0]
            shares = edges_bhw if self._binarize is None else (edges_bhw > self._binarize).float()
            sketches: UInt8Array = (shares * 255).round().to(torch.uint8).cpu().numpy()
        return sketches
