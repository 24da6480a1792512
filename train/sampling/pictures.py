"""`condset sample` as a function: from a prompt, adapters with condition pictures, and a base to PNG files.

    controls ──adapters──> features, weighted and added ──┐
    base of the run, or --base ─────────────────────────┼──DDIM, one picture a seed──> OUT/0000000.png, ...
    prompt, seeds ──────────────────────────────────────┘                              OUT/sheet-0000000.png

Invariant: a seed's picture does not depend on how many others are drawn with it, and no file is written over.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stages.errors import ConfigError
from stages.hardware.float32_products import float32_products
from stages.hardware.precision import Dtype
from stages.records import UInt8Array
from train.adapters.features import adapter_features
from train.adapters.spatial import compose
from train.base.config import AnyDiffusion, model_name, named_base
from train.base.load import load_base
from train.base.protocol import FeatureShape, FrozenDiffusion, shapes_text
from train.sampling.controls import Control, OpenedControl, open_control
from train.sampling.denoise import check_steps, sample_pictures, starting_noise
from train.sampling.grid import GridRow, draw_grid
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from torch import Tensor

SHEET_PICTURES = 8
"""So many pictures fit side by side; a sheet shows the first ones."""
TEXT_ENTRY = "condset"
"""Of the PNG files: what they were made of, as JSON."""


@dataclass(frozen=True, slots=True)
class SampleJob:
    """Which pictures, of what, and where they go."""

    prompt: str
    out: Path
    """A directory, new or not."""
    controls: tuple[Control, ...] = ()
    """None for the base model alone."""
    base: str | None = None
    """A directory in diffusers' layout, a hub id or "scenes"; None is the base that one of the runs was trained on."""
    variant: str | None = None
    """Of the base's weight files, such as "fp16"; None takes the run's, or none."""
    base_config: str | None = None
    """Of a base in one file: what describes it."""
    size_pixels: tuple[int, int] | None = None
    """Width and height; None takes those of the condition pictures."""
    negative: str = ""
    """What the pictures should not show."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    count: int = 1
    device: str = "auto"
    dtype: Dtype = "auto"


@dataclass(frozen=True, slots=True)
class DrawnPictures:
    """The files that were written."""

    pictures: tuple[Path, ...]
    sheet: Path
    """The condition pictures and the first of the pictures, side by side."""


def sample(job: SampleJob, say: Callable[[str], None], stepped: Callable[[], object] | None = None) -> DrawnPictures:
    """Draw pictures; each is written when it is done, and `stepped` is called after each step of each.

    `say` is told what of the texts the base does not read.

    Raises ConfigError for options that do not go together, files that exist already and a base that does not take the
    adapters' features; CheckpointError or WeightsError for an adapter or a base that cannot be read; NonFinitePicture.
    """
    drawn = _new_files(job)
    controls = [open_control(control) for control in job.controls]
    width, height = _size(job, controls)
    diffusion = _choose_base(job, controls, say)
    base, name = load_base(diffusion, job.device, job.dtype), model_name(diffusion)
    _check_base(job, controls, base, name)
    check_steps(base, job.sampler.steps, "--steps")
    _check_multiples("--size", (width, height), base.feature_shapes)
    for where, text in (("the prompt", job.prompt), ("--negative", job.negative)):
        if cut := base.tokens_cut(text):
            say(f"{where} is cut: its last {cut} tokens are more than {name} reads")
    pictures: list[UInt8Array] = []
    with float32_products(base.device.type):
        features = _features(base, controls)
        for seed, file in zip(_seeds(job), drawn.pictures, strict=True):
            noise = starting_noise(base, [seed], width, height)
            name_of_seed = [f"seed {seed}"]
            (picture,) = sample_pictures(
                base, [job.prompt], noise, features, job.sampler, job.negative, stepped, name_of_seed
            )
            _save(Image.fromarray(picture), file, _recipe(job, name, seed))
            if len(pictures) < SHEET_PICTURES:
                pictures.append(picture)
    _save(_draw_sheet(job, controls, pictures), drawn.sheet, _recipe(job, name, job.sampler.seed))
    return drawn


def parse_size(text: str) -> tuple[int, int]:
    """Read width and height of "512x768"; ConfigError if it is something else."""
    width, times, height = text.partition("x")
    if not (times and width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size must be WIDTHxHEIGHT in pixels such as 512x512, got {text!r}; correct it")
    return int(width), int(height)


def _seeds(job: SampleJob) -> range:
    return range(job.sampler.seed, job.sampler.seed + job.count)


def _new_files(job: SampleJob) -> DrawnPictures:
    """Name the files; ConfigError if one of them is there already."""
    drawn = DrawnPictures(
        tuple(job.out / f"{seed:07d}.png" for seed in _seeds(job)), job.out / f"sheet-{job.sampler.seed:07d}.png"
    )
    for file in (*drawn.pictures, drawn.sheet):
        if file.exists():
            raise ConfigError(f"{file} must not be there yet, got an older picture; give another --out or --seed")
    return drawn


def _size(job: SampleJob, controls: Sequence[OpenedControl]) -> tuple[int, int]:
    """Settle the width and height of the pictures, which all condition pictures must have."""
    if not controls:
        if job.size_pixels is None:
            raise ConfigError(
                "--size must be given if there is no --adapter, got none; give for example --size 512x512"
            )
        return job.size_pixels
    if job.size_pixels is not None:
        raise ConfigError(
            f"--size must be left out with --adapter, got {_times(job.size_pixels)}; a picture has the size of its "
            "condition"
        )
    first, *others = controls
    for other in others:
        if other.size_pixels != first.size_pixels:
            raise ConfigError(
                f"--condition {other.control.condition} must have {_times(first.size_pixels)} pixels as "
                f"{first.control.condition}, got {_times(other.size_pixels)}; resize or crop one of them"
            )
    for control in controls:
        _check_multiples(f"--condition {control.control.condition}", first.size_pixels, control.adapter.shapes)
    return first.size_pixels


def _check_multiples(where: str, size_pixels: tuple[int, int], shapes: Sequence[FeatureShape]) -> None:
    coarsest = max(shape.stride for shape in shapes)
    if any(side < coarsest or side % coarsest for side in size_pixels):
        raise ConfigError(
            f"{where} must have sides that are multiples of {coarsest} pixels, got {_times(size_pixels)}; "
            "take another size"
        )


def _choose_base(job: SampleJob, controls: Sequence[OpenedControl], say: Callable[[str], None]) -> AnyDiffusion:
    """Choose --base, or what the first of the runs among the controls was trained on."""
    of_run = next((control.run.config.diffusion for control in controls if control.run is not None), None)
    chosen = named_base(job.base, job.variant, job.base_config, of_run, say)
    if chosen is not None:
        return chosen
    raise ConfigError(
        "--base must be given where no --adapter is a run's directory, got none; give a Stable Diffusion in diffusers' "
        "layout: a directory, or a hub id"
    )


def _check_base(job: SampleJob, controls: Sequence[OpenedControl], base: FrozenDiffusion, name: str) -> None:
    """Refuse a base that does not take an adapter's features, or that a run was not trained on and nobody named."""
    for control in controls:
        if control.adapter.shapes != base.feature_shapes:
            raise ConfigError(
                f"--adapter {control.control.adapter} must give the features that base {name} takes, "
                f"{shapes_text(base.feature_shapes)}, got {shapes_text(control.adapter.shapes)}; "
                "give the --base that it is for"
            )
        if job.base is None and control.run is not None and control.run.file.base != base.identity:
            raise ConfigError(
                f"--adapter {control.control.adapter} must be drawn with the base that it was trained on, "
                f"{control.run.file.base[:12]}, got {name}, {base.identity[:12]}; give --base to choose it or another"
            )


def _features(base: FrozenDiffusion, controls: Sequence[OpenedControl]) -> "list[Tensor] | None":
    """Run the adapters, and add what they give by weight; None without an adapter."""
    if not controls:
        return None
    features = []
    with torch.no_grad():
        for control in controls:
            module = control.adapter.module.to(base.device).to(memory_format=torch.channels_last)
            features.append(adapter_features(base, module, torch.from_numpy(control.condition_chw[None])))
    return compose(features, [control.control.weight for control in controls])


def _draw_sheet(job: SampleJob, controls: Sequence[OpenedControl], pictures: Sequence[UInt8Array]) -> Image.Image:
    conditions = [np.broadcast_to(control.condition_chw.transpose(1, 2, 0), pictures[0].shape) for control in controls]
    columns = [control.kind or "condition" for control in controls]
    columns += [f"seed {seed}" for seed in _seeds(job)[: len(pictures)]]
    return draw_grid(columns, [GridRow((*conditions, *pictures), job.prompt)])


def _recipe(job: SampleJob, base: str, seed: int) -> dict[str, Any]:
    """What a picture is made of, for the file's text."""
    return {
        "prompt": job.prompt,
        "negative": job.negative,
        "seed": seed,
        "steps": job.sampler.steps,
        "guidance": job.sampler.guidance,
        "active_share": job.sampler.active_share,
        "base": base,
        "adapters": [
            {"adapter": str(control.adapter), "condition": str(control.condition), "weight": control.weight}
            for control in job.controls
        ],
    }


def _save(picture: Image.Image, file: Path, recipe: dict[str, Any]) -> None:
    """Write a new PNG file; ConfigError if that cannot be done."""
    text = PngInfo()
    text.add_text(TEXT_ENTRY, json.dumps(recipe))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as opened:
            picture.save(opened, "PNG", pnginfo=text)
    except OSError as error:
        raise ConfigError(f"{file} must be written, got {error.strerror or error}; give another --out") from None


def _times(size_pixels: tuple[int, int]) -> str:
    return "x".join(map(str, size_pixels))
