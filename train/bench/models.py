"""The base models of `condset bench train`: Stable Diffusion's networks by their sizes, with seeded random weights.

    tiny   the quickstart's                                           64 x 64 pixels and up
    half   a UNet of half the channels; CLIP-L and VAE in full size   for a CPU
    sd15   Stable Diffusion 1.5                                       for a GPU

A multiplication takes the same time whatever it multiplies, so nothing is downloaded. Only the tokenizer is small: it
knows the words of drawn scenes, and pads to 77 tokens as CLIP's does.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from train.base.stable_diffusion import Parts

SEED = 0
CONTEXT_CHANNELS = 768
UNET_CHANNELS = (320, 640, 1280, 1280)
VAE_CHANNELS = (128, 256, 512, 512)
CLIP_WORDS, CLIP_TOKENS = 49408, 77


class ModelName(StrEnum):
    """How large the base model is."""

    TINY = "tiny"
    HALF = "half"
    SD15 = "sd15"


def bench_parts(name: ModelName) -> "Parts":
    """Build the networks of a base model; equal names give equal weights."""
    import torch

    from train.base.config import TinyDiffusionConfig
    from train.base.stable_diffusion import Parts
    from train.base.tiny import noise_schedule, scene_words, tiny_parts, word_tokenizer

    if name is ModelName.TINY:
        return tiny_parts(TinyDiffusionConfig(seed=SEED))
    tokenizer = word_tokenizer(scene_words())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return Parts(
            unet=build_unet(1 if name is ModelName.SD15 else 2),
            vae=build_vae(),
            text_encoder=build_text_encoder(tokenizer),
            tokenizer=tokenizer,
            scheduler=noise_schedule("epsilon"),
        )


def build_unet(divisor: int) -> "UNet2DConditionModel":
    """Build the UNet of Stable Diffusion 1.5 with its channels divided; 859,520,964 parameters undivided."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=tuple(channels // divisor for channels in UNET_CHANNELS),
        cross_attention_dim=CONTEXT_CHANNELS,
        attention_head_dim=8,
    )


def build_vae() -> "AutoencoderKL":
    """Build the VAE of Stable Diffusion 1.5; 83,653,863 parameters."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=VAE_CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    )


def build_text_encoder(tokenizer: "CLIPTokenizer") -> "CLIPTextModel":
    """Build CLIP ViT-L/14's text encoder; 123,060,480 parameters."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=CLIP_WORDS,
            hidden_size=CONTEXT_CHANNELS,
            intermediate_size=4 * CONTEXT_CHANNELS,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=CLIP_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def save_parts(parts: "Parts", directory: Path) -> None:
    """Write a model in diffusers' layout, as `condset train` and `condset encode` read it."""
    parts.unet.save_pretrained(directory / "unet")
    parts.vae.save_pretrained(directory / "vae")
    parts.text_encoder.save_pretrained(directory / "text_encoder")
    parts.tokenizer.save_pretrained(directory / "tokenizer")
    parts.scheduler.save_pretrained(directory / "scheduler")
