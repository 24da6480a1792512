"""Segmentation: the source's own label map, cut with the image, as an indexed PNG.

One file is both: its pixels are category ids (0 = unlabelled) and its palette gives T2I-Adapter's colours. Ground truth
only, as in the paper; a source without label maps is a rejection of each sample, with the reason.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from stages.annotators.condition import PLAIN_MIRROR, ConditionSpec, Encoding, Exact, Resize, picture_member
from stages.annotators.segmentation.palette import palette
from stages.records import Condition, ConditionMembers, ImageMember, LoadedSample, Reason, Rejection
from stages.settings import Settings
from stages.weights.store import WeightsStore

PICTURE = "segmentation.png"


class SegmentationConfig(Settings):
    """Settings of the segmentation annotator: it has none, the label maps are the source's."""

    condition: ClassVar[Condition] = Condition.SEGMENTATION
    algorithm_version: ClassVar[int] = 1

    kind: Literal["segmentation"] = "segmentation"

    @property
    def spec(self) -> ConditionSpec:
        title = (
            "indexed PNG: each pixel is a category id (`numpy.asarray(Image.open(...))`), 0 is unlabelled; the palette "
            "gives its colour"
        )
        return ConditionSpec(
            name=self.condition,
            title="category labels",
            members=(picture_member(PICTURE, Encoding.PNG_INDEXED, title),),
            shown=PICTURE,
            channels=3,
            mirror=PLAIN_MIRROR,
            resize=Resize.NEAREST,
            tolerance=Exact(),
            statistics="labels",
            measure="segmentation",
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        return ()

    def resolved_dtype(self, device: str) -> str:
        return "none"

    def build(self, device: str, weights: WeightsStore) -> "SegmentationAnnotator":
        return SegmentationAnnotator()


class SegmentationAnnotator:
    """Makes `<key>.segmentation.png`."""

    def __init__(self) -> None:
        self._palette = palette()

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        return [self._annotate(sample) for sample in samples]

    def _annotate(self, sample: LoadedSample) -> ConditionMembers | Rejection:
        if sample.labels_hw is None:
            return Rejection(
                sample.key, Reason.MISSING_LABELS, "the source must have label maps for segmentation, got one without"
            )
        return (ImageMember(PICTURE, sample.labels_hw, self._palette),)
