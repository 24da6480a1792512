"""Pictures from a base model and adapters: DDIM with classifier-free guidance.

    noise (by seed) ──DDIM steps: UNet(latents, captions | "", features)──guidance──> latents ──VAE──> pictures

The features of the adapters are computed once and added in the first share of the steps, where the layout is decided,
to both halves of the guidance, as diffusers' StableDiffusionAdapterPipeline does; a test shows equality with it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from stages.errors import ConfigError, NonFinitePicture
from stages.randomness import random_for
from stages.records import UInt8Array
from train.base.protocol import FrozenDiffusion
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from diffusers import DDIMScheduler


def sample_pictures(
    base: FrozenDiffusion,
    captions: Sequence[str],
    latents_bchw: Tensor,
    features: Sequence[Tensor] | None,
    sampler: SamplerSettings,
    negative_caption: str = "",
    stepped: Callable[[], object] | None = None,
    names: Sequence[str] = (),
) -> UInt8Array:
    """Draw one picture for each caption; returns (batch, height, width, 3) RGB. The other arguments are `denoise`'s.

    Raises NonFinitePicture, by its name in `names` or else its number, if one is not made of numbers.
    """
    drawn = denoise(base, captions, latents_bchw, features, sampler, negative_caption, stepped)
    pictures = (base.decode_latents(drawn) + 1) * 127.5
    # Latents too: a decoder may make numbers of those that are none.
    finite_b = drawn.isfinite().flatten(1).all(1) & pictures.isfinite().flatten(1).all(1).to(drawn.device)
    for number, is_finite in enumerate(finite_b.tolist()):
        if not is_finite:
            name = names[number] if names else f"number {number}"
            raise NonFinitePicture(
                f"the picture of {name}, {captions[number][:80]!r}, must be finite, got inf or nan in "
                f"{str(base.dtype).removeprefix('torch.')}; use the dtype float32 or bfloat16, lower the guidance, or "
                "look at the weights of base and adapters"
            )
    pictures_bhwc: UInt8Array = pictures.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pictures_bhwc


@torch.no_grad()
def denoise(
    base: FrozenDiffusion,
    captions: Sequence[str],
    latents_bchw: Tensor,
    features: Sequence[Tensor] | None,
    sampler: SamplerSettings,
    negative_caption: str = "",
    stepped: Callable[[], object] | None = None,
) -> Tensor:
    """Turn noise into the scaled latents of one picture for each caption.

    `latents_bchw` is standard normal noise, drawn by the sampler's seed already; `features` is one map (batch,
    channels, height, width) for each scale of the base, or None for the base alone; they are added in the first
    `active_share` of the steps, rounded to whole ones. `stepped` is called after each step.
    """
    scheduler = _scheduler(base, sampler.steps)
    halves = 2 if sampler.guidance > 1 else 1
    texts = [*([negative_caption] * len(captions) if halves == 2 else []), *captions]
    context = base.encode_captions(texts)
    doubled = None if features is None else [torch.cat([each] * halves) for each in features]
    latents = latents_bchw.to(base.device)
    for number, timestep in enumerate(scheduler.timesteps):
        active = doubled if number < round(sampler.active_share * sampler.steps) else None
        timesteps = torch.full((halves * len(captions),), int(timestep))
        prediction = base.predict_noise(torch.cat([latents] * halves), timesteps, context, active)
        if halves == 2:
            without, with_caption = prediction.chunk(2)
            prediction = without + sampler.guidance * (with_caption - without)
        latents = scheduler.step(prediction, timestep, latents).prev_sample
        if stepped is not None:
            stepped()
    return latents


def starting_noise(base: FrozenDiffusion, seeds: Sequence[int], width_pixels: int, height_pixels: int) -> Tensor:
    """Draw the noise that each picture starts from, by its own seed: (batch, channels, height, width) of latents."""
    shape = (base.latent_channels, height_pixels // base.latent_stride, width_pixels // base.latent_stride)
    noise = [random_for(seed, "picture", 0).standard_normal(shape, np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(noise))


def check_steps(base: FrozenDiffusion, steps: int, setting: str) -> None:
    """Refuse more steps than a base has time steps; ConfigError names the `setting` that asked for them.

    DDIM begins one time step late (steps_offset): with as many steps as there are, it would begin beyond the last.
    """
    most = len(base.alphas_cumprod) - 1
    if steps > most:
        raise ConfigError(
            f"{setting} must be at most {most} for a base model of {most + 1} time steps, got {steps}; take fewer"
        )


def _scheduler(base: FrozenDiffusion, steps: int) -> "DDIMScheduler":
    """DDIM as Stable Diffusion's pipelines set it, over the base model's own time steps."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        num_train_timesteps=len(base.alphas_cumprod),
        trained_betas=_betas(base),
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=base.prediction,
    )
    scheduler.set_timesteps(steps)
    return scheduler


def _betas(base: FrozenDiffusion) -> list[float]:
    """The noise that each time step adds, from what is left of the signal after it."""
    left = base.alphas_cumprod.double().cpu()
    before = torch.cat([torch.ones(1, dtype=left.dtype), left[:-1]])
    return (1 - left / before).tolist()
