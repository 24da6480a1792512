"""Which measures a condition has, and which annotator extracts it again.

    TrainingSet ──> MeasuredData ──> Fidelity: the annotator's table, the measures, score(true members, found members)

A segmentation has no annotator, since its label maps are the source's: the drawn scenes' own palette labels their
pictures, and a network that was trained on COCO labels photographs. A keypose from annotations is extracted by the pose
network of its settings.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from stages.annotators.keypose.annotator import NUMBERS
from stages.annotators.keypose.skeleton import KEYPOINTS
from stages.errors import ConfigError
from stages.hardware.precision import resolve_device
from stages.image.arrays import read_npy
from stages.image.decode import decode_stored
from stages.records import Condition, Float32Array, UInt8Array
from stages.weights.store import WeightsStore
from train.data.conditions import ConditionsConfig, binarise, decode_condition
from train.data.training_set import TrainingSet
from train.fidelity.measures.colors import palette_difference
from train.fidelity.measures.depth import invariant_error, rank_correlation, read_depth
from train.fidelity.measures.edges import BoolArray, edge_f1
from train.fidelity.measures.keypoints import pose_fidelity
from train.fidelity.measures.panoptic_classes import NOT_COMPARED, panoptic_classes
from train.fidelity.measures.segmentation import classes_of_labels, classes_of_scene, mean_iou

Members: TypeAlias = Mapping[str, bytes]
"""Extension to content, of one sample."""
Scores: TypeAlias = tuple[float, ...] | None
"""In the order of the measures; None if the true sample has nothing to measure, such as a person."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one number says."""

    name: str
    ideal: float
    """Of a picture that has the very condition: 1 for a share, 0 for an error."""


MEASURES: Mapping[Condition, tuple[Measure, ...]] = {
    Condition.SKETCH: (Measure("edge F1 within 2 px", 1),),
    Condition.CANNY: (Measure("edge F1 within 2 px", 1),),
    Condition.DEPTH: (Measure("scale-and-shift-invariant RMSE", 0), Measure("rank correlation", 1)),
    Condition.KEYPOSE: (Measure("PCK within 0.1 of the box", 1), Measure("OKS", 1)),
    Condition.SEGMENTATION: (Measure("mIoU", 1),),
    Condition.COLOR: (Measure("CIEDE2000", 0),),
}


@dataclass(frozen=True, slots=True)
class MeasuredData:
    """What of a data set decides how its condition is extracted and compared."""

    location: str
    condition: Condition
    settings: Mapping[str, Any]
    """The table of `[[annotators]]` that made the condition."""
    source_kind: str
    labels: Mapping[str, str]
    """Category id, in decimal, to name."""
    image_extension: str

    @classmethod
    def of(cls, data: TrainingSet) -> "MeasuredData":
        """Take it from an opened data set."""
        manifest, condition = data.manifest, Condition(data.condition.name)
        settings, kind = data.settings, manifest.source.kind
        return cls(str(data.directory), condition, settings, kind, manifest.labels, data.image_extension)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How one data set's condition is extracted from pictures, and compared."""

    annotator: dict[str, Any]
    """One table of `[[annotators]]`."""
    measures: tuple[Measure, ...]
    score: Callable[[Members, Members], Scores]
    """Takes the members of the true sample and of the one that was extracted."""


def fidelity_of(
    data: MeasuredData,
    conditions: ConditionsConfig,
    weights: WeightsStore,
    device: str,
    labeller_config: Any = None,
) -> Fidelity:
    """Choose extraction and measures; `weights` and `device` are those of a network that scores in this process.

    `labeller_config`, a MaskFormerConfig of transformers, describes another such network than the published one.
    Raises ConfigError if nothing can extract this condition of this data set, WeightsError without that network's.
    """
    condition, annotator = data.condition, dict(data.settings)
    score: Callable[[Members, Members], Scores]
    match condition:
        case Condition.SKETCH | Condition.CANNY:
            annotator |= {"min_edges": 0}
            score = _edge_score(f"{condition}.png", conditions.sketch_threshold)
        case Condition.DEPTH:
            annotator |= {"min_range": 0}
            score = _depth_score
        case Condition.KEYPOSE:
            annotator |= {"from": "model", "min_persons": 0}
            score = _pose_score
        case Condition.COLOR:
            score = _color_score(int(annotator["square_pixels"]))
        case _:
            annotator = {"kind": "color"}
            is_drawn = data.source_kind == "synthetic"
            score = (
                _scene_score(data.image_extension)
                if is_drawn
                else _photograph_score(data, weights, device, labeller_config)
            )
    return Fidelity(annotator, MEASURES[condition], score)


def _edge_score(member: str, threshold: float) -> Callable[[Members, Members], Scores]:
    def edges(members: Members) -> BoolArray:
        return binarise(decode_condition(members[member], member), threshold) > 0

    return lambda truth, found: (edge_f1(edges(truth), edges(found)),)


def _depth_score(truth: Members, found: Members) -> Scores:
    true_hw, found_hw = read_depth(truth["depth.png"]), read_depth(found["depth.png"])
    return invariant_error(true_hw, found_hw), rank_correlation(true_hw, found_hw)


def _pose_score(truth: Members, found: Members) -> Scores:
    fidelity = pose_fidelity(_persons(truth), _persons(found))
    return None if fidelity is None else (fidelity.pck, fidelity.oks)


def _persons(members: Members) -> Float32Array:
    numbers: Float32Array = read_npy(members[NUMBERS])
    return numbers.reshape(-1, KEYPOINTS, 3)


def _color_score(square_pixels: int) -> Callable[[Members, Members], Scores]:
    def score(truth: Members, found: Members) -> Scores:
        true_hwc, found_hwc = (decode_condition(members["color.png"], "color.png") for members in (truth, found))
        return (palette_difference(true_hwc, found_hwc, square_pixels),)

    return score


def _scene_score(extension: str) -> Callable[[Members, Members], Scores]:
    def score(truth: Members, found: Members) -> Scores:
        labels_hw = _category_ids(truth["segmentation.png"])
        return (mean_iou(classes_of_labels(labels_hw), classes_of_scene(decode_stored(found[extension]))),)

    return score


def _photograph_score(
    data: MeasuredData, weights: WeightsStore, device: str, labeller_config: Any
) -> Callable[[Members, Members], Scores]:
    """Compare the label maps of photographs in the classes that COCO-Stuff and COCO panoptic both know."""
    from train.fidelity.measures.panoptic import MODEL, iou_of_labels, open_labeller

    classes = panoptic_classes({int(number): name for number, name in data.labels.items()})
    if (classes == NOT_COMPARED).all():
        got = ", ".join(list(data.labels.values())[:3]) or "no names"
        raise ConfigError(
            f"--data {data.location} must name its labels as COCO-Stuff does to measure segmentation, got {got}; take "
            "a data set of COCO-Stuff or of drawn scenes"
        )
    labeller = open_labeller(weights.resolve(MODEL), resolve_device(device), labeller_config)
    extension = data.image_extension

    def score(truth: Members, found: Members) -> Scores:
        truth_hw = classes[_category_ids(truth["segmentation.png"])]
        iou = iou_of_labels(truth_hw, decode_stored(found[extension]), labeller)
        return None if iou is None else (iou,)

    return score


def _category_ids(content: bytes) -> UInt8Array:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        return np.asarray(image, np.uint8)
