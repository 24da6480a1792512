"""Noise is added as diffusers adds it, and targets and losses are diffusers'."""

import pytest
import torch
from diffusers import DDPMScheduler

from train.loop.losses import add_noise, prediction_target, sample_losses

SHAPE_CHW = (4, 8, 8)


@pytest.fixture(scope="module")
def scheduler() -> DDPMScheduler:
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)


def test_noise_is_added_as_diffusers_does(scheduler: DDPMScheduler) -> None:
    latents, noise = torch.randn(2, 6, *SHAPE_CHW, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([0, 1, 250, 500, 750, 999])
    ours = add_noise(latents, noise, scheduler.alphas_cumprod[steps])
    torch.testing.assert_close(ours, scheduler.add_noise(latents, noise, steps))


def test_the_targets_are_diffusers_noise_and_velocity(scheduler: DDPMScheduler) -> None:
    latents, noise = torch.randn(2, 6, *SHAPE_CHW, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([0, 1, 250, 500, 750, 999])
    signal = scheduler.alphas_cumprod[steps]
    assert torch.equal(prediction_target("epsilon", latents, noise, signal), noise)
    velocity = prediction_target("v_prediction", latents, noise, signal)
    torch.testing.assert_close(velocity, scheduler.get_velocity(latents, noise, steps))


def test_the_loss_is_the_mean_squared_error_of_each_sample() -> None:
    prediction, target = torch.randn(2, 3, *SHAPE_CHW, generator=torch.Generator().manual_seed(0))
    expected = [torch.nn.functional.mse_loss(*pair) for pair in zip(prediction, target, strict=True)]
    torch.testing.assert_close(sample_losses(prediction, target), torch.stack(expected))
