"""Keypose: the skeletons of the persons in an image, as a picture and as numbers.

    model:        stored pixels ──RTMO, or detector + RTMPose / HRNet──┐
    annotations:  the collection's own keypoints, under the crop ──────┴─> keypose.png + keypoints.npy

A person is whoever has a keypoint that scores at least `score_threshold`; nobody else is drawn or stored. Invariant:
the picture is `draw_skeleton` of the stored numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field

from stages.annotators.condition import (
    NETWORK_TOLERANCE,
    ConditionSpec,
    Encoding,
    Exact,
    Member,
    Mirror,
    MirrorKind,
    Resize,
    picture_member,
)
from stages.annotators.keypose.network import PoseEstimator, load_pose_network
from stages.annotators.keypose.one_stage import OneStageEstimator
from stages.annotators.keypose.person_detector import load_person_detector
from stages.annotators.keypose.skeleton import SIDES, draw_skeleton, visible_persons
from stages.annotators.keypose.top_down import TopDownEstimator
from stages.extras import require
from stages.hardware.precision import Dtype, resolve_dtype
from stages.records import (
    ArrayMember,
    Condition,
    ConditionMembers,
    Float32Array,
    ImageMember,
    LoadedSample,
    Reason,
    Rejection,
)
from stages.settings import Mark, Settings
from stages.weights.store import WeightsStore

PICTURE = "keypose.png"
NUMBERS = "keypoints.npy"
DETECTOR = "faster_rcnn"

PoseModel: TypeAlias = Literal["rtmo-s", "rtmo-m", "rtmo-l", "rtmpose-m", "hrnet-w48"]


@dataclass(frozen=True, slots=True)
class Published:
    """What OpenMMLab publishes of a pose network."""

    weights: str
    """In stages.weights.catalogue.MODELS."""
    config: str
    """Of the run that gave these weights, in mmpose's configs/body_2d_keypoint."""
    is_top_down: bool
    """It needs the box of each person."""


POSE_MODELS: dict[PoseModel, Published] = {
    "rtmo-s": Published("rtmo_s", "rtmo/body7/rtmo-s_8xb32-600e_body7-640x640", is_top_down=False),
    "rtmo-m": Published("rtmo_m", "rtmo/body7/rtmo-m_16xb16-600e_body7-640x640", is_top_down=False),
    "rtmo-l": Published("rtmo_l", "rtmo/body7/rtmo-l_16xb16-600e_body7-640x640", is_top_down=False),
    "rtmpose-m": Published("rtmpose_m", "rtmpose/body8/rtmpose-m_8xb256-420e_body8-256x192", is_top_down=True),
    "hrnet-w48": Published(
        "hrnet_w48", "topdown_heatmap/coco/td-hm_hrnet-w48_8xb32-210e_coco-256x192", is_top_down=True
    ),
}


class KeyposeConfig(Settings):
    """Settings of the keypose annotator."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=True)

    condition: ClassVar[Condition] = Condition.KEYPOSE
    algorithm_version: ClassVar[int] = 1

    kind: Literal["keypose"] = "keypose"
    from_: Literal["model", "annotations"] = Field(default="model", validation_alias="from", serialization_alias="from")
    """In TOML `from`: find persons with a network, or take the ones that the collection annotates."""
    model: PoseModel = "rtmo-m"
    """The network: RTMO finds persons and keypoints in one pass; RTMPose and HRNet (T2I-Adapter's own choice) look at
    each person that Faster R-CNN finds."""
    weights: Annotated[str | None, Mark.PLACE] = None
    """The user's own checkpoint of that network, in place of the published one."""
    detector_weights: Annotated[str | None, Mark.PLACE] = None
    """The user's own state dict of torchvision's fasterrcnn_resnet50_fpn."""
    dtype: Annotated[Dtype, Mark.MANNER] = "float32"
    """Precision of the pose network's convolutions; the detector and all decoding stay in float32."""
    person_threshold: float = Field(default=0.2, ge=0, lt=1)
    """A detected person must score more than this (T2I-Adapter's bbox_thr)."""
    score_threshold: float = Field(default=0.1, gt=0, le=1)
    """A keypoint that scores less is not drawn (T2I-Adapter's kpt_score_thr)."""
    max_persons: int | None = Field(default=None, ge=1)
    """Draw the first persons only, surest first (2 in T2I-Adapter's released code); the numbers hold all."""
    min_persons: int = Field(default=0, ge=0)
    """Reject an image with fewer persons; with 0 an image without one gets a black picture and an empty array."""

    @property
    def spec(self) -> ConditionSpec:
        numbers = Member(
            extension=NUMBERS,
            encoding=Encoding.NPY,
            dtype="float32",
            shape=("persons*17*3",),
            value_range=None,
            title="the same persons as numbers: flat float32, persons x 17 x 3 (x and y in pixels of the image, "
            "score); empty without persons",
        )
        return ConditionSpec(
            name=self.condition,
            title="persons as skeletons",
            members=(numbers, picture_member(PICTURE, Encoding.PNG_RGB, "persons as coloured skeletons on black, RGB")),
            shown=PICTURE,
            channels=3,
            mirror=Mirror(MirrorKind.SWAP_PAIRS, SIDES),
            resize=Resize.AREA,
            tolerance=Exact() if self.from_ == "annotations" else NETWORK_TOLERANCE,
            statistics="persons",
            measure="keypoints",
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        if self.from_ == "annotations":
            return ()
        published = POSE_MODELS[self.model]
        detector = ((DETECTOR, self.detector_weights),) if published.is_top_down else ()
        return ((published.weights, self.weights), *detector)

    def resolved_dtype(self, device: str) -> str:
        if self.from_ == "annotations":
            return "none"
        require("keypose")
        return resolve_dtype(self.dtype, device)

    def build(self, device: str, weights: WeightsStore) -> "KeyposeAnnotator":
        if self.from_ == "annotations":
            return KeyposeAnnotator(self, annotated_keypoints)
        estimator = load_estimator(self, device, weights)
        return KeyposeAnnotator(self, lambda samples: estimator([sample.image_hwc for sample in samples]))


def annotated_keypoints(samples: Sequence[LoadedSample]) -> list[Float32Array]:
    """Return the (persons, 17, 3) that each sample's collection annotates."""
    return [sample.keypoints for sample in samples]


def load_estimator(config: KeyposeConfig, device: str, weights: WeightsStore) -> PoseEstimator:
    """Load the networks that the config names onto a device. Raises WeightsError."""
    published = POSE_MODELS[config.model]
    dtype = resolve_dtype(config.dtype, device)
    file = weights.resolve(published.weights, config.weights)
    if not published.is_top_down:
        settings = {"score_thr": config.person_threshold}
        return OneStageEstimator(load_pose_network(published.config, file, device, dtype, settings))
    detector_file = weights.resolve(DETECTOR, config.detector_weights)
    detector = load_person_detector(detector_file, device, config.person_threshold)
    return TopDownEstimator(load_pose_network(published.config, file, device, dtype), detector)


class KeyposeAnnotator:
    """Makes `<key>.keypose.png` and `<key>.keypoints.npy`."""

    def __init__(
        self, config: KeyposeConfig, keypoints_of: Callable[[Sequence[LoadedSample]], list[Float32Array]]
    ) -> None:
        """Take the source of the keypoints: (persons, 17, 3) for each sample."""
        self._config = config
        self._keypoints_of = keypoints_of

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        keypoints = self._keypoints_of(samples)
        return [self._members(sample, found) for sample, found in zip(samples, keypoints, strict=True)]

    def _members(self, sample: LoadedSample, found: Float32Array) -> ConditionMembers | Rejection:
        config = self._config
        persons = visible_persons(found, config.score_threshold)
        if len(persons) < config.min_persons:
            detail = (
                f"min_persons wants {config.min_persons} with a keypoint that scores {config.score_threshold} or more, "
                f"got {len(persons)}"
            )
            return Rejection(sample.key, Reason.NO_PERSON, detail)
        height, width = sample.image_hwc.shape[:2]
        picture = draw_skeleton(persons, width, height, config.score_threshold, config.max_persons)
        return (ArrayMember(NUMBERS, persons.reshape(-1)), ImageMember(PICTURE, picture))
