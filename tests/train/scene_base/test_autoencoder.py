"""The latents are standardised without changing what is decoded."""

import torch

from train.scene_base.autoencoder import encode, standardise
from train.scene_base.networks import build_parts
from train.scene_base.recipe import BaseRecipe, FitConfig
from train.scene_base.scenes import draw_scenes

FIT = FitConfig(steps=1, batch_size=1, lr=1e-3)
RECIPE = BaseRecipe(scenes=64, autoencoder=FIT, denoiser=FIT)


def test_standardised_latents_have_mean_0_and_variance_1_and_decode_to_the_same_picture() -> None:
    vae, scenes = build_parts(0).vae.eval(), draw_scenes(RECIPE)
    before = encode(vae, scenes)
    with torch.no_grad():
        pictures = vae.decode(before[:2]).sample
    returned = standardise(vae, before)
    after = encode(vae, scenes)
    torch.testing.assert_close(returned, after, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(after.mean((0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(after.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(vae.decode(after[:2]).sample, pictures, atol=1e-4, rtol=0)
        assert float(vae.encode(scenes.batch([0])).latent_dist.std.max()) < 0.01


def test_the_scenes_are_drawn_without_people_and_with_their_captions() -> None:
    scenes = draw_scenes(RECIPE)
    assert scenes.images_bchw.shape == (64, 3, 64, 64)
    assert len(scenes) == 64
    assert not any("person" in caption or "people" in caption for each in scenes.captions for caption in each)
    assert scenes.batch([3]).min() >= -1
    assert scenes.batch([3]).max() <= 1
