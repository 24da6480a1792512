"""How well drawn pictures fit their captions and the real pictures, as CLIP sees them.

    drawn ──picture tower──> embedding ─┬─cosine─> CLIP-T ──── embedding <──text tower── caption
                                        └─cosine─> CLIP-I ──── embedding <──picture tower── real

Both are plain cosines in [-1, 1]. Other figures of the same name: torchmetrics' CLIPScore is 100 max(cosine, 0) of the
mean, CLIPScore of arXiv 2104.08718 is 2.5 max(cosine, 0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from stages.records import UInt8Array
from stages.weights.store import WeightsFile
from train.fidelity.networks.pretrained import pretrained

MODEL = "clip_vit_l14"
TOKENIZER = "clip_tokenizer"
CAPTION_TOKENS = 77
"""CLIP's context: what a caption has beyond it is cut off."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A CLIP of transformers, with what prepares its inputs."""

    network: Any
    """CLIPModel."""
    tokenizer: Any
    image_processor: Any

    def similarities(
        self, drawn: Sequence[UInt8Array], real: Sequence[UInt8Array], captions: Sequence[str]
    ) -> tuple[list[float], list[float]]:
        """Return CLIP-T and CLIP-I of each drawn picture; pictures are (height, width, 3) RGB of any sizes."""
        # Copies: torch warns of arrays that cannot be written to, as Pillow's are.
        images = [image.copy() for image in (*drawn, *real)]
        pixels = self.image_processor(images, return_tensors="pt")["pixel_values"]
        tokens = self.tokenizer(
            list(captions), padding=True, truncation=True, max_length=CAPTION_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            found = self.network(
                input_ids=tokens["input_ids"].to(self.network.device),
                attention_mask=tokens["attention_mask"].to(self.network.device),
                pixel_values=pixels.to(self.network.device),
            )
        drawn_bd, real_bd = found.image_embeds.chunk(2)  # transformers gives unit vectors
        return (drawn_bd * found.text_embeds).sum(dim=1).tolist(), (drawn_bd * real_bd).sum(dim=1).tolist()


def open_clip(file: WeightsFile, tokenizer_file: WeightsFile, device: str, config: Any = None) -> Clip:
    """Load CLIP ViT-L/14, or what a CLIPConfig describes; WeightsError if the file holds another network."""
    from transformers import CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    return Clip(
        network=pretrained(CLIPModel, config or vit_l14(), file, device),
        # Everything but the padding is in the file; text ends before it, so that only its mask matters.
        tokenizer=PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file.path), pad_token="<|endoftext|>"),
        image_processor=CLIPImageProcessor(),  # its defaults are OpenAI's: 224 pixels, bicubic, their normalisation
    )


def vit_l14() -> Any:
    """Describe CLIP ViT-L/14: table 20 of arXiv 2103.00020, and config.json of openai/clip-vit-large-patch14."""
    from transformers import CLIPConfig

    return CLIPConfig(
        projection_dim=768,
        text_config={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "projection_dim": 768,
        },
        vision_config={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "patch_size": 14,
            "projection_dim": 768,
        },
    )
