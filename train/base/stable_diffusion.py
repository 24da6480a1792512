"""Stable Diffusion 1.x and 2.x as the frozen base: diffusers' own classes, without pipeline and safety checker.

    MODEL/{unet, vae, text_encoder, tokenizer, scheduler} ──from_pretrained──> Parts ──freeze──> StableDiffusion

Invariant: every parameter has requires_grad = False and no caller can reach one through the protocol.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from stages.errors import WeightsError
from stages.file_hash import file_sha256
from stages.hardware.progress_bars import progress_bars_hidden
from train.base.config import StableDiffusionConfig
from train.base.frozen_convolution import forget_inputs
from train.base.noise_schedule import read_noise_schedule
from train.base.protocol import FeatureShape, Posterior, Prediction

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

BYTES = 256
"""A vocabulary spells at least these. transformers makes an empty tokenizer, silently, of a directory without one."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The networks of a latent diffusion model, as diffusers and transformers name them."""

    unet: "UNet2DConditionModel"
    vae: "AutoencoderKL"
    text_encoder: "CLIPTextModel"
    tokenizer: "CLIPTokenizer"
    scheduler: "DDPMScheduler"
    """Holds the noise schedule and what the UNet predicts; its own steps are not used."""
    vae_file: Path | None = None
    """Where the VAE's weights were read from."""

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.unet, self.vae, self.text_encoder)


@dataclass(frozen=True, slots=True)
class Running:
    """How the frozen networks run; none of it changes what they compute beyond rounding."""

    device: str = "cpu"
    dtype: "torch.dtype" = torch.float32
    channels_last: bool = True
    gradient_checkpointing: bool = False
    compile: bool = False


class StableDiffusion:
    """A `FrozenDiffusion` made of diffusers' networks."""

    def __init__(self, parts: Parts, running: Running) -> None:
        """Freeze the networks of `parts`, in place, and move them to where they run."""
        self.identity = parameters_sha256(parts.unet)
        self.device, self.dtype = torch.device(running.device), running.dtype
        self._memory_format = torch.channels_last if running.channels_last else torch.contiguous_format
        for network in parts.networks():
            network.requires_grad_(False).eval()
        forget_inputs(parts.unet)
        self._move(parts.unet)
        self._move(parts.text_encoder)
        if running.gradient_checkpointing:
            parts.unet.enable_gradient_checkpointing()
        self._parts = parts
        self._lock = threading.Lock()
        self._vae_is_placed = False
        # A tokenizer without a length has one of 1e30.
        longest = parts.text_encoder.config.max_position_embeddings
        self._tokens = min(int(parts.tokenizer.model_max_length), int(longest))
        self._unet: Any = torch.compile(parts.unet) if running.compile else parts.unet
        self.latent_channels = int(parts.vae.config.latent_channels)
        self.latent_stride = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        self.latent_scale = float(parts.vae.config.scaling_factor)
        self.feature_shapes = _feature_shapes(parts.unet, self.latent_stride)
        self.prediction: Prediction = parts.scheduler.config.prediction_type
        self.alphas_cumprod = parts.scheduler.alphas_cumprod.to(self.device, torch.float32)

    @property
    def parts(self) -> Parts:
        """The networks where they run, for those that read them: pipelines and checks."""
        return replace(self._parts, vae=self._vae)

    @property
    def _vae(self) -> "AutoencoderKL":
        """The VAE, moved to where it runs when it is first used: with cached latents only previews need it."""
        with self._lock:
            if not self._vae_is_placed:
                self._move(self._parts.vae)
                self._vae_is_placed = True
        return self._parts.vae

    @torch.no_grad()
    def encode_images(self, images_bchw: Tensor) -> Posterior:
        distribution = self._vae.encode(self._placed(images_bchw)).latent_dist
        return Posterior(distribution.mean.float(), distribution.logvar.float())

    @torch.no_grad()
    def decode_latents(self, latents_bchw: Tensor) -> Tensor:
        images: Tensor = self._vae.decode(self._placed(latents_bchw / self.latent_scale)).sample
        # A clamp would make white of what overflowed.
        return torch.where(images.isfinite(), images.clamp(-1, 1), torch.nan).float()

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> Tensor:
        tokenizer = self._parts.tokenizer
        with self._lock:  # a fast tokenizer sets its padding anew at every call, and fails if it is in use
            tokens = tokenizer(
                list(captions), padding="max_length", truncation=True, max_length=self._tokens, return_tensors="pt"
            )
        context: Tensor = self._parts.text_encoder(tokens.input_ids.to(self.device))[0]
        return context

    def tokens_cut(self, caption: str) -> int:
        tokenizer = self._parts.tokenizer
        with self._lock:
            needed = len(tokenizer(caption, verbose=False).input_ids)  # else it warns of what is counted here
        return max(0, needed - self._tokens)

    def predict_noise(
        self, noisy_bchw: Tensor, timesteps_b: Tensor, context_bld: Tensor, features: Sequence[Tensor] | None
    ) -> Tensor:
        residuals = None if features is None else [each.to(self.dtype) for each in features]
        prediction: Tensor = self._unet(
            self._placed(noisy_bchw),
            timesteps_b.to(self.device),
            encoder_hidden_states=context_bld.to(self.device, self.dtype),
            down_intrablock_additional_residuals=residuals,
            return_dict=False,
        )[0]
        return prediction.float()

    def vae_sha256(self) -> str | None:
        return None if self._parts.vae_file is None else file_sha256(self._parts.vae_file)

    def _move(self, network: nn.Module) -> None:
        """Move a network to where it runs, in place."""
        # torch's own `to`: the one of diffusers warns of any dtype.
        nn.Module.to(network, self.device, self.dtype)
        nn.Module.to(network, memory_format=self._memory_format)
        if self.device.type == "cpu":
            # A file is mapped as a whole: the weights that were not copied would keep the others in memory twice.
            for parameter in network.parameters():
                parameter.data = parameter.data.clone()

    def _placed(self, tensor_bchw: Tensor) -> Tensor:
        return tensor_bchw.to(self.device, self.dtype, memory_format=self._memory_format)


def load_parts(config: StableDiffusionConfig) -> Parts:
    """Read a model's networks from a directory, the hub's cache or the hub.

    Raises WeightsError, naming the model and what is missing.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from stages.weights.vae_files import vae_directory, weights_file

    weights: dict[str, Any] = {"revision": config.revision, "variant": config.variant}
    vae_file = weights_file(vae_directory(config.model, config.revision, config.variant), config.variant)
    try:
        with progress_bars_hidden():
            tokenizer = CLIPTokenizer.from_pretrained(config.model, subfolder="tokenizer", revision=config.revision)
            if len(tokenizer) < BYTES:
                raise OSError("no vocabulary in tokenizer")
            parts = Parts(
                unet=_whole(UNet2DConditionModel, config.model, "unet", weights),
                vae=_whole(AutoencoderKL, config.model, "vae", weights),
                text_encoder=_whole(CLIPTextModel, config.model, "text_encoder", weights),
                tokenizer=tokenizer,
                scheduler=read_noise_schedule(config.model, config.revision),
                vae_file=vae_file,
            )
        refuse_others(parts)
        return parts
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"diffusion.model {config.model} must be a Stable Diffusion 1.x or 2.x in diffusers' layout, got "
            f"{type(error).__name__}: {reason}; give a directory with unet, vae, text_encoder, tokenizer, scheduler"
        ) from error


def _whole(network: Any, model: str, part: str, weights: Mapping[str, Any]) -> Any:
    """Load one network; ValueError if its file lacks a parameter, which the libraries would make up."""
    loaded, found = network.from_pretrained(model, subfolder=part, output_loading_info=True, **weights)
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise ValueError(f"no {missing[0]} in {part}, and {len(missing) - 1} more are missing")
    return loaded


def refuse_others(parts: Parts) -> None:
    """Raise ValueError for a model of the same classes that takes more than latents, a time step and a caption."""
    unet, text_width = parts.unet.config, parts.text_encoder.config.hidden_size
    for name, got, expected in (
        ("unet in_channels", unet.in_channels, [parts.vae.config.latent_channels]),  # inpainting models have nine
        ("unet out_channels", unet.out_channels, [unet.in_channels]),  # a learned variance doubles them
        ("unet addition_embed_type", unet.addition_embed_type, [None]),  # Stable Diffusion XL's
        ("unet class_embed_type", unet.class_embed_type, [None]),
        ("unet cross_attention_dim", unet.cross_attention_dim, [text_width]),
    ):
        if got not in expected:
            raise ValueError(f"{name} {got} where {' or '.join(map(str, expected))} can be trained on")


def parameters_sha256(network: nn.Module) -> str:
    """Hash every parameter and buffer of a network in float32, so that equal values have equal names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(memoryview(tensor.detach().to("cpu", torch.float32).contiguous().view(-1).numpy()).cast("B"))
    return digest.hexdigest()


def _feature_shapes(unet: "UNet2DConditionModel", latent_stride: int) -> tuple[FeatureShape, ...]:
    """One scale for each block of the encoder; a block's features are added before it halves the map."""
    return tuple(
        FeatureShape(channels, latent_stride * 2**level)
        for level, channels in enumerate(unet.config.block_out_channels)
    )
