"""A base model in one file, as the authors of Stable Diffusion and most fine-tuned models publish it.

    FILE (.safetensors, .ckpt) ──names of latent-diffusion──> diffusers' names ──┐
    diffusion.config: a directory or hub id in diffusers' layout ────────────────┴──> Parts
                      (shapes, tokenizer, noise schedule)

The file holds parameters and nothing that says what they are. Without a description it is taken for Stable Diffusion
1.5, if it has its width; a Stable Diffusion 2 may predict noise or velocity, which nobody can see in it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import WeightsError
from stages.hardware.progress_bars import progress_bars_hidden
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile
from train.base.config import StableDiffusionConfig
from train.base.noise_schedule import read_noise_schedule
from train.base.stable_diffusion import Parts, refuse_others

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

DEFAULT_DESCRIPTION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
DEFAULT_WIDTH = 768
"""Of the captions that Stable Diffusion 1.x takes."""
FIRST = "model.diffusion_model.input_blocks.0.0.weight"
WIDTH = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def is_single_file(model: str) -> bool:
    """Whether a model is a file and no directory or hub id."""
    return Path(model).is_file()


def single_file_parts(config: StableDiffusionConfig) -> Parts:
    """Read a model's networks from one file; WeightsError, naming the file, if it is none that can be trained on."""
    file = Path(config.model)
    tensors = load_state_dict(WeightsFile(file, ""))
    described = config.config or _described_by_default(file, tensors)
    try:
        with progress_bars_hidden():
            parts = _read(tensors, described, file)
        refuse_others(parts)
        return parts
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"diffusion.model {file} must be the Stable Diffusion 1.x or 2.x that {described} describes, got "
            f"{type(error).__name__}: {reason}; set diffusion.config to a directory in diffusers' layout that fits it"
        ) from error


def _described_by_default(file: Path, tensors: "Mapping[str, Tensor]") -> str:
    width = int(tensors[WIDTH].shape[1]) if WIDTH in tensors else None
    if width != DEFAULT_WIDTH:
        got = f"captions of {width} channels" if width else f"no {WIDTH if FIRST in tensors else FIRST}"
        raise WeightsError(
            f"diffusion.model {file} must be a Stable Diffusion 1.x, if nothing else describes it, got one with {got}; "
            "set diffusion.config (--base-config) to a directory in diffusers' layout, or a hub id, of the same model"
        )
    return DEFAULT_DESCRIPTION


def _read(tensors: "Mapping[str, Tensor]", described: str, file: Path) -> Parts:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
    from transformers import CLIPTextModel, CLIPTokenizer

    if FIRST not in tensors:
        raise ValueError(f"no {FIRST}")
    readers: dict[str, Any] = {
        "unet": UNet2DConditionModel.from_single_file,
        "vae": AutoencoderKL.from_single_file,
        "text_encoder": partial(create_diffusers_clip_model_from_ldm, CLIPTextModel),
    }
    # Each converter takes names away from what it is given.
    networks = {
        name: _whole(name, partial(read, dict(tensors), subfolder=name, config=described))
        for name, read in readers.items()
    }
    return Parts(
        **networks,
        tokenizer=CLIPTokenizer.from_pretrained(described, subfolder="tokenizer"),
        scheduler=read_noise_schedule(described),
        vae_file=file,
    )


def _whole(name: str, read: Callable[[], Any]) -> Any:
    """Read a network; ValueError if the file lacks a parameter: that stays on the device "meta", without values."""
    try:
        network = read()
    except NotImplementedError as error:  # of a copy from there
        raise ValueError(f"parameters of the {name} are missing") from error
    if any(parameter.is_meta for parameter in network.parameters()):
        raise ValueError(f"parameters of the {name} are missing")
    return network
