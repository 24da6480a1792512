"""Labels of photographs: MaskFormer, trained on COCO's panoptic task, used as a semantic segmentation.

    (H, W, 3) RGB ──shorter side 800──> MaskFormer Swin-B ──> 100 queries: class probabilities, masks
                                  sum over queries of class x mask ──to (H, W)──> the likeliest of 133 classes

facebook/maskformer-swin-base-coco (arXiv 2107.06278), by transformers: PQ 51.8 on COCO val2017. Invariant: a picture's
labels depend on that picture alone.
"""

from dataclasses import dataclass
from typing import Any

import torch

from stages.records import UInt8Array
from stages.weights.store import WeightsFile
from train.fidelity.measures.panoptic_classes import CLASSES, NOT_COMPARED
from train.fidelity.measures.segmentation import mean_iou
from train.fidelity.networks.pretrained import pretrained

MODEL = "maskformer_swin_b"


@dataclass(frozen=True, slots=True)
class Labeller:
    """A MaskFormer of transformers, with what prepares its inputs and reads its outputs."""

    network: Any
    """MaskFormerForInstanceSegmentation."""
    image_processor: Any

    def label(self, image_hwc: UInt8Array) -> UInt8Array:
        """Give each pixel of an RGB picture the number of a class in CLASSES, (height, width)."""
        # A copy: torch warns of arrays that cannot be written to, as Pillow's are.
        inputs = self.image_processor([image_hwc.copy()], return_tensors="pt").to(self.network.device)
        with torch.inference_mode():
            outputs = self.network(**inputs)
            (labels_hw,) = self.image_processor.post_process_semantic_segmentation(
                outputs, target_sizes=[image_hwc.shape[:2]]
            )
        found_hw: UInt8Array = labels_hw.to(torch.uint8).cpu().numpy()
        return found_hw


def iou_of_labels(truth_hw: UInt8Array, image_hwc: UInt8Array, labeller: Labeller) -> float | None:
    """Compare a map of classes with the labels of a picture, where the map has a class; None if it has none at all."""
    is_compared = truth_hw != NOT_COMPARED
    if not is_compared.any():
        return None
    return mean_iou(truth_hw[is_compared], labeller.label(image_hwc)[is_compared])


def open_labeller(file: WeightsFile, device: str, config: Any = None) -> Labeller:
    """Load the network, or what a MaskFormerConfig describes; WeightsError if the file holds another one."""
    from transformers import MaskFormerForInstanceSegmentation, MaskFormerImageProcessor

    # The processor's defaults are the published ones: the shorter side 800 and the longer one at most 1333 pixels,
    # multiples of 32, ImageNet's mean and deviation.
    return Labeller(
        network=pretrained(MaskFormerForInstanceSegmentation, config or swin_b(), file, device),
        image_processor=MaskFormerImageProcessor(),
    )


def swin_b() -> Any:
    """Describe the published network: section 4.1 of the paper and config.json of the repository."""
    from transformers import MaskFormerConfig

    return MaskFormerConfig(
        backbone_config={
            "model_type": "swin",
            "image_size": 384,
            "embed_dim": 128,
            "depths": [2, 2, 18, 2],
            "num_heads": [4, 8, 16, 32],
            "window_size": 12,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        decoder_config={"model_type": "detr", "num_queries": 100},
        num_labels=len(CLASSES),
    )
