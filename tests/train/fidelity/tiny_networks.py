"""Networks of the published classes, but tiny and with random weights, for the tests of what they feed."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stages.file_hash import file_sha256
from stages.weights.store import WeightsFile
from train.fidelity.networks.clip import Clip

FEATURES = 6
CAPTIONS = ("a red circle", "two blue squares on the grass", "a person at the sea", "snow")


class TinyFeatures(nn.Module):
    """(batch, 3, height, width) uint8 to (batch, 6): random projections of 4 x 4 patches, averaged."""

    num_features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(FEATURES, 3, 4, 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, images_bchw: Tensor) -> Tensor:
        weight = self.get_buffer("weight")
        return nn.functional.conv2d(images_bchw / 255, weight, stride=4).relu().mean(dim=(2, 3))


def save_random_inception(path: Path) -> WeightsFile:
    """Write random weights of torch-fidelity's network, as its release holds the trained ones."""
    from torch_fidelity import feature_extractor_inceptionv3 as inception  # type: ignore[import-untyped]

    class Unloaded(inception.FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *arguments: object, **settings: object) -> None:
            """Keep what the constructor drew: it can only be built from a file."""

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        torch.save(Unloaded("inception-v3-compat", ["2048"], nothing).state_dict(), path)
    return WeightsFile(path, file_sha256(path))


def tiny_clip() -> Clip:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from train.base.tiny import word_tokenizer

    tokenizer = word_tokenizer(sorted({word for caption in CAPTIONS for word in caption.split()}), 77)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = CLIPConfig(
        projection_dim=8,
        text_config=tower
        | {
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config=tower | {"image_size": 224, "patch_size": 32},
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        network = CLIPModel(config).eval()
    return Clip(network, tokenizer, CLIPImageProcessor())


def tiny_maskformer_config() -> Any:
    """The published network's kind, and its 133 classes."""
    from transformers import MaskFormerConfig

    from train.fidelity.measures.panoptic_classes import CLASSES

    return MaskFormerConfig(
        backbone_config={
            "model_type": "swin",
            "image_size": 64,
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "window_size": 4,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        decoder_config={
            "model_type": "detr",
            "d_model": 32,
            "num_queries": 12,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
        },
        fpn_feature_size=32,
        mask_feature_size=32,
        num_labels=len(CLASSES),
    )


def tiny_maskformer() -> Any:
    """As transformers draws it all queries agree, and so do all pixels; with larger weights they do not."""
    from transformers import MaskFormerForInstanceSegmentation

    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        network = MaskFormerForInstanceSegmentation(tiny_maskformer_config()).eval()
    larger = {"model.transformer_module.": 50, "class_predictor.weight": 10, "mask_embedder.2.0.weight": 100}
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.data *= next((factor for prefix, factor in larger.items() if name.startswith(prefix)), 1)
    return network
