"""The networks of the small base model: Stable Diffusion's classes from diffusers and transformers, made small.

64 x 64 pixels ──AutoencoderKL, stride 4──> 4 x 16 x 16 latents ──UNet, four scales──> velocity
                          caption ──CLIPTextModel, 32 tokens──────────┘
"""

from typing import TYPE_CHECKING

import torch

from train.base.stable_diffusion import Parts
from train.base.tiny import noise_schedule, scene_words, small_text_encoder, word_tokenizer
from train.scene_base.recipe import SIDE_PIXELS

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

VAE_CHANNELS = (16, 32, 64)
UNET_CHANNELS = (64, 96, 128, 128)
"""The last two equal, as the light adapters need them."""
CONTEXT_CHANNELS = 128
TOKENS = 32
"""The longest English caption has some 25 words."""


def build_parts(seed: int) -> Parts:
    """Build all networks with seeded random weights."""
    tokenizer = word_tokenizer(scene_words(), TOKENS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Parts(
            _unet(),
            _autoencoder(),
            small_text_encoder(tokenizer, CONTEXT_CHANNELS, heads=2),
            tokenizer,
            noise_schedule("v_prediction"),
        )


def _autoencoder() -> "AutoencoderKL":
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=VAE_CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=SIDE_PIXELS,
        scaling_factor=1.0,
    )


def _unet() -> "UNet2DConditionModel":
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE_PIXELS // 4,
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,  # the number of heads, in this class
        cross_attention_dim=CONTEXT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )


@torch.no_grad()
def steerable(unet: "UNet2DConditionModel") -> "UNet2DConditionModel":
    """Return the same function with a place for the features of adapters at the finest scale.

    diffusers adds them before a block halves the map only where the block has cross-attention, and the first block here
    does without, for speed. In its place comes one whose attention has no layers and adds nothing.
    """
    from diffusers import UNet2DConditionModel

    config = dict(unet.config)
    config["down_block_types"] = ("CrossAttnDownBlock2D", *config["down_block_types"][1:])
    config["transformer_layers_per_block"] = (0, 1, 1, 1)
    found: UNet2DConditionModel = UNet2DConditionModel.from_config(config)
    added = found.load_state_dict(unet.state_dict(), strict=False)
    assert not added.unexpected_keys, "the block has all that the other one has"
    for name in added.missing_keys:
        found.get_parameter(name).zero_()
    return found.eval()
