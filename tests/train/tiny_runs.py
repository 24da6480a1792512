"""Runs and exports of adapters that fit the tiny base model, as a user has them beside each other, and pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import nn

from stages.records import UInt8Array
from tests.train.small_runs import write_run
from train.base.tiny import UNET_CHANNELS
from train.runs.directory import RUN_FILE

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion

SIDE_PIXELS = 64
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def write_tiny_run(run: Path, base: "StableDiffusion", condition: str = "color", **settings: Any) -> nn.Module:
    """Write a run that says it was trained on the tiny base; keyword arguments are those of `write_run`."""
    given: dict[str, Any] = {"kind": "light", "in_channels": 3, "channels": UNET_CHANNELS}
    given |= {"diffusion": {"kind": "tiny"}} | settings
    adapter = write_run(run, condition=condition, **given)
    described = json.loads((run / RUN_FILE).read_text())
    (run / RUN_FILE).write_text(json.dumps(described | {"base": base.identity}))
    return adapter


def save_parts(base: "StableDiffusion", model: Path) -> Path:
    """Save a base model as diffusers lays out a Stable Diffusion, without a safety checker; returns its directory."""
    for name in PARTS:
        getattr(base.parts, name).save_pretrained(model / name)
    return model


def random_picture(seed: int, width: int = SIDE_PIXELS, height: int = SIDE_PIXELS) -> UInt8Array:
    """Draw (height, width, 3) RGB in squares of eight pixels."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return small.repeat(8, axis=0).repeat(8, axis=1)


def save_picture(file: Path, picture: UInt8Array) -> Path:
    Image.fromarray(picture).save(file)
    return file
