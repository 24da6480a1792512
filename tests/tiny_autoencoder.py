"""A VAE with the layout of Stable Diffusion's and a few thousand random parameters, in diffusers' files."""

from pathlib import Path
from typing import Any

import torch

CHANNELS = 4
STRIDE = 8


def save_autoencoder(model: Path, seed: int = 0) -> Path:
    """Write a model of which there is nothing but the VAE; returns its directory."""
    autoencoder(seed).save_pretrained(model / "vae")
    return model


def autoencoder(seed: int, channels: tuple[int, ...] = (8, 8, 16, 16)) -> Any:
    """Draw the VAE's parameters; `channels` at strides 1, 2, 4 and 8."""
    from diffusers import AutoencoderKL

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=channels,
            norm_num_groups=4,
            layers_per_block=1,
            latent_channels=CHANNELS,
        )
