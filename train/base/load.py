"""Load the frozen base model that a configuration names."""

from pathlib import Path
from typing import TYPE_CHECKING

from stages.hardware.precision import Dtype, resolve_device, resolve_dtype
from train.base.config import AnyDiffusion, ScenesDiffusionConfig, StableDiffusionConfig, TinyDiffusionConfig

if TYPE_CHECKING:
    from train.base.stable_diffusion import Parts, StableDiffusion

SCENES_MODEL = Path(__file__).parents[1] / "scene_base" / "weights"
"""The base model of drawn scenes, in diffusers' layout."""


def load_base(
    diffusion: AnyDiffusion,
    device: str,
    dtype: Dtype,
    channels_last: bool = True,
    gradient_checkpointing: bool = False,
    compile: bool = False,
) -> "StableDiffusion":
    """Load and freeze a base model on a device ("auto", "cpu", "cuda").

    Raises ConfigError for a device or dtype that this machine does not have, WeightsError for missing weights.
    """
    import torch

    from train.base.stable_diffusion import Running, StableDiffusion

    found = resolve_device(device)
    running = Running(
        device=found,
        dtype=getattr(torch, resolve_dtype(dtype, found)),
        channels_last=channels_last,
        gradient_checkpointing=gradient_checkpointing,
        compile=compile,
    )
    return StableDiffusion(_parts(diffusion), running)


def _parts(diffusion: AnyDiffusion) -> "Parts":
    from train.base.single_file import is_single_file, single_file_parts
    from train.base.stable_diffusion import load_parts
    from train.base.tiny import tiny_parts

    match diffusion:
        case TinyDiffusionConfig():
            return tiny_parts(diffusion)
        case ScenesDiffusionConfig():
            return load_parts(StableDiffusionConfig(model=str(SCENES_MODEL)))
        case _ if is_single_file(diffusion.model):
            return single_file_parts(diffusion)
        case _:
            return load_parts(diffusion)
