"""What the small base model can do, on scenes that it was not trained on: pictures for people, and a figure.

scenes 0, 1, 2, ... ──encode, decode──> dB                captions ──sample──> samples.png
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from stages.settings import changed
from train.base.config import StableDiffusionConfig
from train.base.stable_diffusion import Running, StableDiffusion, load_parts
from train.sampling.denoise import sample_pictures, starting_noise
from train.sampling.grid import GridRow, draw_grid
from train.sampling.settings import SamplerSettings
from train.scene_base.recipe import SIDE_PIXELS, BaseRecipe
from train.scene_base.scenes import Scenes, draw_scenes

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

HELD_OUT = 256
ROWS, SEEDS = 8, (0, 1, 2)
SAMPLER = SamplerSettings(steps=25, guidance=4.0)


def held_out_scenes(recipe: BaseRecipe) -> Scenes:
    """Draw the first scenes, which no recipe trains on."""
    return draw_scenes(changed(recipe, scenes=HELD_OUT, first_scene=0))


@torch.no_grad()
def reconstruction_decibels(vae: "AutoencoderKL", recipe: BaseRecipe) -> float:
    """Measure the mean peak signal-to-noise ratio of encoded and decoded held-out scenes."""
    images = held_out_scenes(recipe).to(str(vae.device)).batch(range(HELD_OUT))
    decoded = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    errors = (decoded - images).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / errors)).mean())


def draw_samples(model: Path, recipe: BaseRecipe) -> Image.Image:
    """Draw pictures for captions of held-out scenes with the model of a directory, beside the scenes themselves."""
    base = StableDiffusion(load_parts(StableDiffusionConfig(model=str(model))), Running())
    scenes = held_out_scenes(recipe)
    captions = [each[0] for each in scenes.captions[:ROWS]]
    drawn = [
        sample_pictures(
            base,
            captions,
            starting_noise(base, [ROWS * seed + row for row in range(ROWS)], SIDE_PIXELS, SIDE_PIXELS),
            None,
            SAMPLER,
        )
        for seed in SEEDS
    ]
    rows = [
        GridRow((scenes.images_bchw[row].permute(1, 2, 0).numpy(), *(each[row] for each in drawn)), captions[row])
        for row in range(ROWS)
    ]
    return draw_grid(("the captioned scene", *(f"seed {seed}" for seed in SEEDS)), rows)
