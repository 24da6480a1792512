"""The classes of COCO's panoptic task, and which of COCO-Stuff's categories each is made of.

    COCO-Stuff's name ──its own, or what it was merged into──> one of 133 classes │ none: removed, or unlabelled

Sources: the classes in their order, panoptic_coco_categories.json of cocodataset/panopticapi; what was merged and what
was removed, cocodataset.org/#panoptic-eval. A network that was trained on COCO panoptic numbers its classes from 0 in
that order (label-files/coco-panoptic-id2label.json of Hugging Face).
"""

from collections.abc import Mapping

import numpy as np

from stages.records import UInt8Array

THINGS = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)
STUFF = (
    *("banner", "blanket", "bridge", "cardboard", "counter", "curtain", "door-stuff", "floor-wood", "flower", "fruit"),
    *("gravel", "house", "light", "mirror-stuff", "net", "pillow", "platform", "playingfield", "railroad", "river"),
    *("road", "roof", "sand", "sea", "shelf", "snow", "stairs", "tent", "towel", "wall-brick", "wall-stone"),
    *("wall-tile", "wall-wood", "water-other", "window-blind", "window-other"),
)
MERGED = {
    "tree-merged": ("branch", "tree", "bush", "leaves"),
    "fence-merged": ("cage", "fence", "railing"),
    "ceiling-merged": ("ceiling-tile", "ceiling-other"),
    "sky-other-merged": ("clouds", "sky-other", "fog"),
    "cabinet-merged": ("cupboard", "cabinet"),
    "table-merged": ("desk-stuff", "table"),
    "floor-other-merged": ("floor-marble", "floor-other", "floor-tile"),
    "pavement-merged": ("floor-stone", "pavement"),
    "mountain-merged": ("hill", "mountain"),
    "grass-merged": ("moss", "grass", "straw"),
    "dirt-merged": ("mud", "dirt"),
    "paper-merged": ("napkin", "paper"),
    "food-other-merged": ("salad", "vegetable", "food-other"),
    "building-other-merged": ("skyscraper", "building-other"),
    "rock-merged": ("stone", "rock"),
    "wall-other-merged": ("wall-other", "wall-concrete", "wall-panel"),
    "rug-merged": ("mat", "rug", "carpet"),
}
REMOVED = frozenset(
    (
        *("furniture-other", "metal", "plastic", "solid-other", "structural-other", "waterdrops", "textile-other"),
        *("cloth", "clothes", "plant-other", "wood", "ground-other"),
    )
)
"""Categories of COCO-Stuff that no panoptic class stands for: their pixels are not compared."""

CLASSES = (*THINGS, *STUFF, *MERGED)
NOT_COMPARED = 255
"""In place of a class: unlabelled, removed, or a category that COCO does not have."""


def panoptic_classes(names: Mapping[int, str]) -> UInt8Array:
    """Tell the class of each category id, as an array of 256, from the names of a label map's categories."""
    class_of = {name: number for number, name in enumerate(CLASSES)}
    class_of |= {part: class_of[whole] for whole, parts in MERGED.items() for part in parts}
    return np.array([class_of.get(names.get(number, ""), NOT_COMPARED) for number in range(256)], np.uint8)
