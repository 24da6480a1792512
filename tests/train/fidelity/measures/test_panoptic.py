"""The labels of photographs, on a random MaskFormer: the plumbing is what is proven."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.train.fidelity.disturbances import scene
from tests.train.fidelity.tiny_networks import tiny_maskformer
from train.fidelity.measures.panoptic import Labeller, iou_of_labels, swin_b
from train.fidelity.measures.panoptic_classes import CLASSES, NOT_COMPARED
from train.fidelity.measures.segmentation import mean_iou

PICTURE = scene(3, 80)[:56]


@pytest.fixture(scope="module")
def labeller() -> Labeller:
    from transformers import MaskFormerImageProcessor

    return Labeller(tiny_maskformer(), MaskFormerImageProcessor(size={"shortest_edge": 64, "longest_edge": 128}))


def test_the_labels_are_the_papers_semantic_inference(labeller: Labeller) -> None:
    """Section 3.4: the class that has most of sum over queries of class probability x mask probability."""
    inputs = labeller.image_processor([PICTURE], return_tensors="pt")
    with torch.inference_mode():
        outputs = labeller.network(**inputs)
    of_classes = outputs.class_queries_logits[0].double().softmax(dim=-1)[:, : len(CLASSES)].numpy()
    of_masks = 1 / (1 + np.exp(-outputs.masks_queries_logits[0].double().numpy()))
    scores_chw = torch.from_numpy(np.tensordot(of_classes.T, of_masks, 1))
    resized_chw = functional.interpolate(scores_chw[None], PICTURE.shape[:2], mode="bilinear")[0].numpy()
    found_hw = labeller.label(PICTURE)
    assert found_hw.shape == PICTURE.shape[:2]
    assert found_hw.dtype == np.uint8
    assert len(np.unique(found_hw)) > 2
    assert (found_hw == resized_chw.argmax(axis=0)).mean() > 0.99
    chosen_hw = np.take_along_axis(resized_chw, found_hw[None].astype(int), axis=0)[0]
    assert (resized_chw.max(axis=0) - chosen_hw).max() < 1e-5  # what float32 cannot tell apart


def test_the_labels_are_those_of_the_librarys_postprocessing(labeller: Labeller) -> None:
    inputs = labeller.image_processor(PICTURE, return_tensors="pt")
    with torch.inference_mode():
        outputs = labeller.network(pixel_values=inputs["pixel_values"], pixel_mask=inputs["pixel_mask"])
    (expected,) = labeller.image_processor.post_process_semantic_segmentation(outputs, [PICTURE.shape[:2]])
    assert np.array_equal(labeller.label(PICTURE), expected.numpy())


def test_only_pixels_that_have_a_class_are_compared(labeller: Labeller) -> None:
    labels_hw = labeller.label(PICTURE)
    assert iou_of_labels(labels_hw, PICTURE, labeller) == 1.0
    truth_hw = labels_hw.copy()
    truth_hw[:20] = NOT_COMPARED
    assert iou_of_labels(truth_hw, PICTURE, labeller) == 1.0
    truth_hw[20:30] = (labels_hw[20:30] + 1) % len(CLASSES)
    assert iou_of_labels(truth_hw, PICTURE, labeller) == mean_iou(truth_hw[20:], labels_hw[20:])
    assert iou_of_labels(truth_hw, PICTURE, labeller) != 1.0


def test_a_map_without_any_class_has_nothing_to_measure(labeller: Labeller) -> None:
    assert iou_of_labels(np.full(PICTURE.shape[:2], NOT_COMPARED, np.uint8), PICTURE, labeller) is None


def test_the_described_network_is_as_large_as_the_published_file() -> None:
    from transformers import MaskFormerForInstanceSegmentation

    with torch.device("meta"):
        network = MaskFormerForInstanceSegmentation(swin_b())
    size_bytes = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    assert 411_000_000 < size_bytes < 412_500_000  # the hub says 412 MB
