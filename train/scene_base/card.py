"""The model card of the small base model: what it is, what it was trained on and for how long, what it cannot do."""

from collections.abc import Mapping, Sequence

from train.scene_base.fit import History
from train.scene_base.recipe import SIDE_PIXELS, BaseRecipe, FitConfig

SHOWN_LOSSES = 6


def render_card(
    recipe: BaseRecipe, histories: Mapping[str, History], parameters: Mapping[str, int], decibels: float, threads: int
) -> str:
    """Compose README.md; `parameters` by class, `decibels` of reconstructed held-out scenes."""
    counts = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in parameters.items())
    fits = {"autoencoder": recipe.autoencoder, "denoiser": recipe.denoiser}
    rows = [_row(name, fits[name], history) for name, history in histories.items()]
    return "\n".join(
        [
            CARD.format(side=SIDE_PIXELS, counts=counts, decibels=decibels, scenes=recipe.scenes, threads=threads),
            "| network | steps | batch | learning rate | hours | losses on the way |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            END,
        ]
    )


CARD = """\
---
license: apache-2.0
library_name: diffusers
tags:
- text-to-image
- condset
---
# condset's model of drawn scenes

A latent text-to-image diffusion model of {side} x {side} pixels, made of Stable Diffusion's classes, so small that it
trains and draws on a CPU: {counts}; weights in 16 bits. It is the frozen base of condset's quickstart and of its tests,
where adapters steer it. It loads as any Stable Diffusion does: unet, vae, text_encoder, tokenizer, scheduler.

![samples](samples.png)

## Data

{scenes} scenes of condset's `synthetic` source without people, numbers from 1,000,000: one to three flat shapes of
eight kinds in eight colours on eight grounds, with one to five captions each. None of it is a photograph.

## Training

`condset train-base` with `configs/base/scenes.toml`, seeded; {threads} threads of a CPU in float32. The autoencoder
learns to give back pictures (squared and absolute error), the UNet and the text encoder together learn velocity on its
latents. Reconstructed held-out scenes have {decibels:.1f} dB (peak signal to noise).
"""

END = """\

## What it can and cannot do

It draws flat shapes on flat grounds in the colours and kinds that its captions name, not always in the right number or
place. It knows no other words, draws no people, and any size but its own is untried. It is for learning, testing and
measuring adapters, and for nothing else.
"""


def _row(name: str, config: FitConfig, history: History) -> str:
    losses = ", ".join(f"{loss:.4f} ({steps})" for steps, loss in _spread(history["losses"]))
    hours = history["seconds"] / 3600
    return f"| {name} | {config.steps} | {config.batch_size} | {config.lr:g} | {hours:.2f} | {losses} |"


def _spread(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Some of them, evenly spread, the last among them."""
    stride = max(1, len(losses) // SHOWN_LOSSES)
    return list(losses[::-1][::stride])[::-1]
