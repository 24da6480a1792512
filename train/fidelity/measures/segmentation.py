"""How well a layout is met: the mean intersection over union of the classes, and the labels of a drawn scene's picture.

    picture of a scene ──nearest colour of the scenes' palette──> sky, grass, sand, sea, snow or figure ──┐
    its label map ─────shapes and persons are figures─────────────────────────────────────────────────────┴──> mIoU

A colour of the drawn scenes tells the grounds apart, but not a circle from a square or from a shirt of the same red:
these are one class. Invariant: only the colours of the pixels decide, so the labeller needs no network. Photographs
need one: `train.fidelity.measures.panoptic`.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from stages.records import UInt8Array
from stages.sources.synthetic.composition import HAIRS, SKINS, TROUSERS
from stages.sources.synthetic.figures import INK, SHOES, Rgb
from stages.sources.synthetic.scenes import ZONE_CATEGORIES, ZONE_RGB
from stages.sources.synthetic.shapes import RGB

FIGURE = 1
"""The class of everything that stands on a ground: COCO's person, and the shapes with it."""


def mean_iou(truth_hw: UInt8Array, found_hw: UInt8Array) -> float:
    """Average the intersection over union of every class that the true label map, (height, width) or any pixels, has.

    A class that is there only by mistake takes from those it covers. It is no term of its own: the blended pixels along
    the edges of a drawn scene have the colour of some class or other.
    """
    classes = np.unique(truth_hw)
    return float(np.mean([_iou(truth_hw == each, found_hw == each) for each in classes]))


def classes_of_labels(labels_hw: UInt8Array) -> UInt8Array:
    """Merge the categories of a scene's label map that colours do not tell apart."""
    return np.where(np.isin(labels_hw, list(ZONE_CATEGORIES.values())), labels_hw, np.uint8(FIGURE))


def classes_of_scene(image_hwc: UInt8Array) -> UInt8Array:
    """Label each pixel of an RGB picture with the class of the nearest colour, (height, width)."""
    pixels = image_hwc.astype(np.int32)
    labels_hw = np.zeros(image_hwc.shape[:2], np.uint8)
    nearest_hw = np.full(image_hwc.shape[:2], np.iinfo(np.int32).max, np.int32)
    for rgb, label in _palette():
        distance_hw = ((pixels - np.array(rgb, np.int32)) ** 2).sum(axis=2, dtype=np.int32)
        is_nearer = distance_hw < nearest_hw
        labels_hw[is_nearer], nearest_hw[is_nearer] = label, distance_hw[is_nearer]
    return labels_hw


@cache
def _palette() -> tuple[tuple[Rgb, int], ...]:
    """The colours that scenes are drawn in, and the class of each."""
    grounds = [(rgb, ZONE_CATEGORIES[zone]) for zone, rgb in ZONE_RGB.items()]
    figures = [(rgb, FIGURE) for rgb in (*RGB.values(), *SKINS, *HAIRS, *TROUSERS, INK, SHOES)]
    return (*grounds, *figures)


def _iou(truth_hw: npt.NDArray[np.bool_], found_hw: npt.NDArray[np.bool_]) -> float:
    return int((truth_hw & found_hw).sum()) / int((truth_hw | found_hw).sum())
