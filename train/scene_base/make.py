"""Make the small base model: one seeded run, on a CPU or a GPU, that goes on where it stopped.

recipe ──draw──> scenes ──fit──> autoencoder ──encode──> latents ──fit──> UNet, text encoder ──fp16──> OUT/model
                             OUT/autoencoder.pt                  OUT/denoiser.pt                 card, samples.png
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stages.errors import ConfigError
from stages.settings import plain
from train.base.stable_diffusion import Parts
from train.runs.file_mode import usual_mode
from train.runs.write_errors import explain_write_errors
from train.scene_base.autoencoder import fit_autoencoder
from train.scene_base.card import render_card
from train.scene_base.denoiser import fit_denoiser
from train.scene_base.fit import History
from train.scene_base.networks import build_parts, steerable
from train.scene_base.recipe import BaseRecipe
from train.scene_base.samples import draw_samples, reconstruction_decibels
from train.scene_base.scenes import draw_scenes

RECIPE_FILE = "recipe.json"
MODEL = "model"
CARD_FILE, SAMPLES_FILE = "README.md", "samples.png"
INDEX_FILE = "model_index.json"
PIPELINE = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDPMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
"""What diffusers' pipelines look for in a directory."""


def make_base(recipe: BaseRecipe, out: Path, device: str, stepped: Callable[[str, int, float], object]) -> Path:
    """Fit everything and write the model in diffusers' layout; returns its directory.

    Raises ConfigError if OUT holds the run of another recipe, and what `fit` raises.
    """
    _claim(recipe, out)
    parts = build_parts(recipe.seed)
    for network in parts.networks():
        network.to(device)
    scenes = draw_scenes(recipe).to(device)
    histories: dict[str, History] = {}
    histories["autoencoder"], latents_bchw = fit_autoencoder(parts.vae, scenes, recipe, out, stepped)
    decibels = reconstruction_decibels(parts.vae, recipe)
    histories["denoiser"] = fit_denoiser(parts, latents_bchw, scenes.captions, recipe, out, stepped)
    model = out / MODEL
    with explain_write_errors(model):
        _save(parts, model)
        card = render_card(recipe, histories, _count(parts), decibels, torch.get_num_threads())
        (model / CARD_FILE).write_text(card, encoding="utf-8")
        draw_samples(model, recipe).save(model / SAMPLES_FILE)
    return model


def _claim(recipe: BaseRecipe, out: Path) -> None:
    file, text = out / RECIPE_FILE, json.dumps(plain(recipe), indent=2)
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise ConfigError(f"--out {out} must hold a run of this recipe, got another's; give another --out")
    with explain_write_errors(file):
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _save(parts: Parts, model: Path) -> None:
    """Write every part into the subdirectory where diffusers' pipelines look for it, weights in 16 bits."""
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        part: Any = steerable(parts.unet) if name == "unet" else getattr(parts, name)
        if isinstance(part, torch.nn.Module):
            part = part.cpu().half()
        part.save_pretrained(model / name)
    (model / INDEX_FILE).write_text(json.dumps(PIPELINE, indent=2) + "\n", encoding="utf-8")
    for path in model.rglob("*.safetensors"):
        path.chmod(usual_mode(model))


def _count(parts: Parts) -> dict[str, int]:
    return {
        type(network).__name__: sum(parameter.numel() for parameter in network.parameters())
        for network in parts.networks()
    }
