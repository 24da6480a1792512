"""The small base model that condset ships: small, frozen in diffusers' layout, and able to draw."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from train.base.config import ScenesDiffusionConfig
from train.base.load import SCENES_MODEL, load_base
from train.base.protocol import FeatureShape
from train.base.stable_diffusion import StableDiffusion
from train.fidelity.measures.segmentation import classes_of_scene
from train.sampling.denoise import sample_pictures, starting_noise
from train.sampling.settings import SamplerSettings
from train.scene_base.make import INDEX_FILE, PIPELINE
from train.scene_base.recipe import BaseRecipe, FitConfig
from train.scene_base.samples import held_out_scenes, reconstruction_decibels
from train.scene_base.scenes import Scenes

LARGEST_BYTES = 24_000_000
FIT = FitConfig(steps=1, batch_size=1, lr=1e-3)
RECIPE = BaseRecipe(scenes=64, autoencoder=FIT, denoiser=FIT)


@pytest.fixture(scope="module")
def base() -> StableDiffusion:
    return load_base(ScenesDiffusionConfig(), "cpu", "float32")


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return held_out_scenes(RECIPE)


def test_its_weights_are_small_and_its_card_and_samples_lie_beside_them() -> None:
    weights = list(SCENES_MODEL.rglob("*.safetensors"))
    assert len(weights) == 3
    assert sum(file.stat().st_size for file in weights) < LARGEST_BYTES
    card = (SCENES_MODEL / "README.md").read_text(encoding="utf-8")
    assert "What it can and cannot do" in card
    assert (SCENES_MODEL / "samples.png").is_file()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers wants its schedulers' steps_offset to be 1
def test_diffusers_own_pipeline_opens_it_and_draws_with_it() -> None:
    from diffusers import StableDiffusionPipeline

    assert json.loads((SCENES_MODEL / INDEX_FILE).read_text(encoding="utf-8")) == PIPELINE
    pipeline = StableDiffusionPipeline.from_pretrained(SCENES_MODEL, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    (picture,) = pipeline("a red circle", num_inference_steps=1, height=64, width=64).images
    assert picture.size == (64, 64)


def test_adapters_of_four_scales_fit_it(base: StableDiffusion) -> None:
    assert base.feature_shapes == tuple(
        FeatureShape(channels, stride) for channels, stride in ((64, 4), (96, 8), (128, 16), (128, 32))
    )
    assert base.prediction == "v_prediction"


def test_its_autoencoder_gives_back_scenes_that_it_was_not_trained_on(base: StableDiffusion) -> None:
    assert reconstruction_decibels(base.parts.vae, RECIPE) > 25


def test_it_denoises_better_with_a_scenes_own_caption_than_with_anothers(base: StableDiffusion, scenes: Scenes) -> None:
    latents = base.encode_images(scenes.batch(range(64))).mean_bchw
    captions = [each[0] for each in scenes.captions[:64]]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    timesteps = torch.full((64,), 600)
    noisy = base.parts.scheduler.add_noise(latents, noise, timesteps)
    velocity = base.parts.scheduler.get_velocity(latents, noise, timesteps)

    @torch.no_grad()
    def losses(texts: list[str]) -> torch.Tensor:
        predicted = base.predict_noise(noisy, timesteps, base.encode_captions(texts), None)
        found: torch.Tensor = (predicted - velocity).square().mean((1, 2, 3))
        return found

    more = losses([*captions[1:], captions[0]]) - losses(captions)
    assert float(more.mean()) > 3 * float(more.std()) / 8


def test_it_draws_flat_grounds_of_the_scenes_colours(base: StableDiffusion, scenes: Scenes) -> None:
    """Nearly every pixel of its pictures is near to a colour that scenes are drawn in."""
    captions = [each[0] for each in scenes.captions[:4]]
    noise = starting_noise(base, range(4), 64, 64)
    pictures = sample_pictures(base, captions, noise, None, SamplerSettings(20, 3))
    for picture in pictures:
        classes, counts = np.unique(classes_of_scene(picture), return_counts=True)
        assert len(classes) >= 2
        assert counts.max() > 0.2 * picture.shape[0] * picture.shape[1]


def test_the_directory_is_what_diffusers_own_pipeline_loads(base: StableDiffusion) -> None:
    from diffusers import UNet2DConditionModel

    assert (Path(SCENES_MODEL) / "scheduler" / "scheduler_config.json").is_file()
    unet = UNet2DConditionModel.from_pretrained(SCENES_MODEL, subfolder="unet")
    ours = dict(base.parts.unet.named_parameters())
    for name, parameter in unet.named_parameters():
        assert torch.equal(parameter.float(), ours[name]), name
