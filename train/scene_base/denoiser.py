"""The UNet and the text encoder, fitted together on the encoded scenes to predict velocity (arXiv 2202.00512).

    latents ──+ noise of step t──> UNet(t, text encoder(caption | "")) ──MSE──> velocity

Time steps are logit-normal (arXiv 2403.03206): shapes and colours are decided at middle noise, its ends matter less.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.randomness import random_for
from train.base.stable_diffusion import Parts
from train.scene_base.fit import History, fit
from train.scene_base.recipe import BaseRecipe


def fit_denoiser(
    parts: Parts,
    latents_bchw: Tensor,
    captions: Sequence[Sequence[str]],
    recipe: BaseRecipe,
    out: Path,
    stepped: Callable[[str, int, float], object],
) -> History:
    """Fit in place, and return how it went."""
    config, device = recipe.denoiser, latents_bchw.device
    tokens = [_tokens(parts, each) for each in captions]
    (no_tokens,) = _tokens(parts, [""])
    parts.unet.to(memory_format=torch.channels_last)

    def loss_of(step: int) -> Tensor:
        generator = random_for(recipe.seed, "denoiser", step)
        numbers = generator.integers(len(captions), size=config.batch_size).tolist()
        drops, choices = generator.random((2, config.batch_size))
        timesteps = torch.from_numpy(_timesteps(generator, config.batch_size, len(parts.scheduler))).to(device)
        latents = latents_bchw[torch.tensor(numbers, device=device)]
        noise = torch.from_numpy(generator.standard_normal(latents.shape, "float32")).to(device)
        chosen = [
            no_tokens if drop < recipe.caption_drop else tokens[number][int(choice * len(tokens[number]))]
            for number, drop, choice in zip(numbers, drops, choices, strict=True)
        ]
        context = parts.text_encoder(torch.stack(chosen).to(device))[0]
        noisy = parts.scheduler.add_noise(latents, noise, timesteps).to(memory_format=torch.channels_last)
        predicted = parts.unet(noisy, timesteps, context, return_dict=False)[0]
        return functional.mse_loss(predicted, parts.scheduler.get_velocity(latents, noise, timesteps))

    return fit("denoiser", nn.ModuleList([parts.unet, parts.text_encoder]), loss_of, config, out, stepped)


def _timesteps(generator: np.random.Generator, count: int, steps: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Draw whole time steps, the logistic function of a standard normal of all `steps`."""
    return (steps / (1 + np.exp(-generator.standard_normal(count)))).astype(np.int64)


def _tokens(parts: Parts, texts: Sequence[str]) -> list[Tensor]:
    """The tokens of each caption, all equally long."""
    found = parts.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    return list(found.input_ids)
