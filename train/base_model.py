"""Load the frozen base model that a configuration names."""

from typing import TYPE_CHECKING

from stages.precision import Dtype, resolve_device, resolve_dtype
from train.diffusion_config import AnyDiffusion, TinyDiffusionConfig

if TYPE_CHECKING:
    from train.stable_diffusion import StableDiffusion


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

    from train.stable_diffusion import Running, StableDiffusion, load_parts
    from train.tiny_diffusion import tiny_parts

    found = resolve_device(device)
    running = Running(
        device=found,
        dtype=getattr(torch, resolve_dtype(dtype, found)),
        channels_last=channels_last,
        gradient_checkpointing=gradient_checkpointing,
        compile=compile,
    )
    parts = tiny_parts(diffusion) if isinstance(diffusion, TinyDiffusionConfig) else load_parts(diffusion)
    return StableDiffusion(parts, running)
