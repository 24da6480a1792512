"""COCO's panoptic classes, and COCO-Stuff's categories in them."""

from pathlib import Path

import numpy as np

from stages.image.labels import decode_labels
from stages.sources.coco.stuff import read_labels
from train.fidelity.measures.panoptic_classes import (
    CLASSES,
    MERGED,
    NOT_COMPARED,
    REMOVED,
    STUFF,
    THINGS,
    panoptic_classes,
)

NEVER_ANNOTATED = {"street sign", "hat", "shoe", "eye glasses", "plate", "mirror", "window", "desk", "door", "blender"}
NEVER_ANNOTATED |= {"hair brush"}
"""Things that COCO numbers and has no picture of."""


def test_there_are_133_classes_in_the_order_of_the_published_networks() -> None:
    assert (len(THINGS), len(STUFF), len(MERGED)) == (80, 36, 17)
    assert len(set(CLASSES)) == len(CLASSES) == 133
    # Of label-files/coco-panoptic-id2label.json.
    told = {0: "person", 79: "toothbrush", 80: "banner", 105: "snow", 113: "water-other", 115: "window-other"}
    told |= {116: "tree-merged", 119: "sky-other-merged", 122: "floor-other-merged", 132: "rug-merged"}
    assert {number: CLASSES[number] for number in told} == told


def test_each_of_coco_stuffs_categories_has_a_class_or_was_removed(shared: Path) -> None:
    names = read_labels(shared / "data" / "coco17" / "stuffthingmaps" / "labels.txt")
    classes = panoptic_classes(names)
    annotated = {number: name for number, name in names.items() if name not in NEVER_ANNOTATED | {"unlabeled"}}
    assert len(annotated) == 171
    assert {name for number, name in annotated.items() if classes[number] == NOT_COMPARED} == REMOVED
    assert len(REMOVED) == 12
    assert set(classes) == {*range(133), NOT_COMPARED}
    others = [number for number in range(256) if number not in annotated]
    assert 0 in others
    assert (classes[others] == NOT_COMPARED).all()


def test_a_category_has_the_class_of_its_name_or_of_what_it_was_merged_into(shared: Path) -> None:
    names = read_labels(shared / "data" / "coco17" / "stuffthingmaps" / "labels.txt")
    classes = panoptic_classes(names)
    for number, name in names.items():
        if classes[number] != NOT_COMPARED:
            whole = CLASSES[classes[number]]
            assert name in MERGED.get(whole, (whole,))
    told = {
        1: "person",
        94: "tree-merged",
        106: "sky-other-merged",
        128: "house",
        149: "road",
        158: "building-other-merged",
    }
    assert {number: CLASSES[classes[number]] for number in told} == told


def test_real_label_maps_have_the_classes_of_their_photographs(shared: Path) -> None:
    stuff = shared / "data" / "coco17" / "stuffthingmaps"
    classes = panoptic_classes(read_labels(stuff / "labels.txt"))
    told = {785: {"person", "skis", "snow", "sky-other-merged"}, 1993: {"chair", "bed", "dining table"}}
    for number, expected in told.items():
        labels = decode_labels("key", (stuff / "val2017" / f"{number:012d}.png").read_bytes(), offset=1)
        assert isinstance(labels, np.ndarray)
        found_hw = classes[labels]
        assert expected <= {CLASSES[each] for each in np.unique(found_hw) if each != NOT_COMPARED}
        assert (found_hw != NOT_COMPARED).mean() > 0.98


def test_names_that_coco_does_not_have_are_not_compared() -> None:
    assert np.unique(panoptic_classes({1: "circle", 2: "square"})).tolist() == [NOT_COMPARED]
