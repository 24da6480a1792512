"""Latents: where in the space of Stable Diffusion's VAE an image lies, as a distribution. What training starts from.

    stored RGB pixels / 127.5 - 1 ──VAE's encoder──> mean, log variance ──float16──> latents.npy

Stored is the posterior and no sample of it, so that training draws anew at each visit; and without the model's
scaling factor, which training multiplies by. Invariant: on a CPU latents do not depend on the batch that their image
was in.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from stages.annotators.condition import ConditionSpec, Encoding, Member, Mirror, MirrorKind, Resize, Within
from stages.errors import ConfigError, WeightsError, WorkerError
from stages.hardware.precision import Dtype, ResolvedDtype, resolve_dtype
from stages.hardware.progress_bars import progress_bars_hidden
from stages.hardware.transfer import to_device
from stages.image.arrays import read_npy
from stages.records import ArrayMember, Condition, ConditionMembers, Float16Array, LoadedSample, Rejection
from stages.settings import Mark, Settings
from stages.weights.store import WeightsFile, WeightsStore
from stages.weights.vae_files import vae_directory, weights_file

ARRAY = "latents.npy"
NETWORK = "vae"
LOWEST_LOG_VARIANCE, HIGHEST_LOG_VARIANCE = -30.0, 20.0
"""As diffusers' DiagonalGaussianDistribution clamps it."""


class LatentsConfig(Settings):
    """Settings of the latents annotator."""

    condition: ClassVar[Condition] = Condition.LATENTS
    algorithm_version: ClassVar[int] = 2

    kind: Literal["latents"] = "latents"
    model: Annotated[str, Mark.PLACE] = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """A Stable Diffusion whose VAE is used: a directory in diffusers' layout, or a hub id."""
    revision: Annotated[str | None, Mark.PLACE] = None
    """Revision of the hub's repository; without it the newest one, or the one in the cache."""
    variant: Annotated[str | None, Mark.PLACE] = None
    """Variant of the weight file: "fp16" reads diffusion_pytorch_model.fp16.safetensors."""
    dtype: Annotated[Dtype, Mark.MANNER] = "auto"
    """Precision of the whole encoder; the stored numbers are float16 in any case. bfloat16 moves means by 1.5 % of
    their scale (root mean square, VAE of Stable Diffusion 1.5 with random weights, 256 x 256), float32 by less than the
    rounding to float16."""

    @property
    def spec(self) -> ConditionSpec:
        array = Member(
            extension=ARRAY,
            encoding=Encoding.NPY,
            dtype="float16",
            shape=("2*channels*height*width",),
            value_range=None,
            title="the image in a VAE's space: flat float16, 2 x channels x height x width (the posterior's mean, then "
            "its log variance); not multiplied by the scaling factor",
        )
        return ConditionSpec(
            name=self.condition,
            title="the image in a VAE's space",
            members=(array,),
            shown="",
            channels=0,
            mirror=Mirror(MirrorKind.IMPOSSIBLE),
            resize=Resize.NONE,
            tolerance=Within(levels=0.01, fraction=0.05),
            statistics="latents",
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        """The VAE's file of weights, which is looked for here; WeightsError if there is none."""
        return ((NETWORK, str(weights_file(self._directory(), self.variant))),)

    def resolved_dtype(self, device: str) -> ResolvedDtype:
        return resolve_dtype(self.dtype, device)

    def build(self, device: str, weights: WeightsStore) -> "LatentsAnnotator":
        dtype = self.resolved_dtype(device)
        ((name, own_file),) = self.models
        file = weights.resolve(name, own_file)
        return LatentsAnnotator(load_vae(self._directory(), file, self.variant, device, dtype), device, dtype)

    def _directory(self) -> Path:
        return vae_directory(self.model, self.revision, self.variant)


class LatentsAnnotator:
    """Makes `<key>.latents.npy`."""

    def __init__(self, vae: Any, device: str, dtype: ResolvedDtype) -> None:
        """Take diffusers' AutoencoderKL, which is on `device` in `dtype`."""
        self._vae = vae
        self._device = device
        self._dtype = dtype
        self._stride_pixels = 2 ** (len(vae.config.block_out_channels) - 1)

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        """Encode images of one size.

        Raises ConfigError if the VAE cannot divide that size, WorkerError if it gives anything but numbers.
        """
        # One image at a time on a CPU: its kernels split sums by the batch, and larger ones are no faster.
        batches = [[sample] for sample in samples] if self._device == "cpu" else [samples]
        return [(ArrayMember(ARRAY, values),) for batch in batches if batch for values in self._encode(batch)]

    def _encode(self, samples: Sequence[LoadedSample]) -> Float16Array:
        """Map images to the flat mean and log variance of each: (batch, 2 x channels x height x width)."""
        import torch

        images_bhwc = np.stack([sample.image_hwc for sample in samples])
        _, height, width, _ = images_bhwc.shape
        if height % self._stride_pixels or width % self._stride_pixels:
            raise ConfigError(
                f"image.size_pixels must be multiples of {self._stride_pixels}, the stride of the VAE, got "
                f"{width}x{height}; use another size or another model"
            )
        with torch.inference_mode():
            images_bchw = to_device(images_bhwc, self._device) / 127.5 - 1
            images_bchw = images_bchw.to(self._vae.dtype, memory_format=torch.channels_last)
            posterior = self._vae.encode(images_bchw).latent_dist
            stored_bchw = torch.cat([posterior.mean, posterior.logvar], dim=1).half()
            # Clamping makes a number of an infinite log variance, so what came before it is looked at too.
            is_finite_bchw = posterior.parameters.isfinite() & stored_bchw.isfinite()
        for sample, is_finite in zip(samples, is_finite_bchw.all(dim=(1, 2, 3)).tolist(), strict=True):
            if not is_finite:
                raise WorkerError(
                    f"latents of {sample.key} must be finite, got inf or nan from the VAE in {self._dtype}; "
                    + ('use dtype = "bfloat16"' if self._dtype == "float16" else "check the model's weights")
                )
        values: Float16Array = stored_bchw.flatten(1).cpu().numpy()
        return values


def load_vae(directory: Path, file: WeightsFile, variant: str | None, device: str, dtype: ResolvedDtype) -> Any:
    """Load diffusers' AutoencoderKL from `directory`, where its weights are `file`, for inference.

    Raises WeightsError if diffusers cannot read it, or the file lacks some of its parameters.
    """
    import torch
    from diffusers import AutoencoderKL

    from stages.hardware.winograd import use_winograd

    load: Any = AutoencoderKL.from_pretrained
    try:
        with progress_bars_hidden():
            vae, found = load(
                directory,
                variant=variant,
                use_safetensors=file.path.suffix == ".safetensors",
                torch_dtype=getattr(torch, dtype),
                output_loading_info=True,
                local_files_only=True,
            )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{directory} must hold a VAE that diffusers reads, got {type(error).__name__}: {said}; "
            "save or download the model again"
        ) from error
    if found["missing_keys"]:  # diffusers fills them with random numbers
        raise WeightsError(
            f"{file.path} must hold every parameter of the VAE in config.json, got none for {found['missing_keys'][0]}"
            f" and {len(found['missing_keys']) - 1} more; save or download the model again"
        )
    # Convolutions are faster in this layout: by 11 % in float32 on a CPU at 256 x 256.
    vae = vae.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()
    if (device, dtype) == ("cpu", "float32"):
        use_winograd(vae.encoder)  # 1.5 times as fast at 512 x 512
    return vae


def read_latents(content: bytes, channels: int, height: int, width: int) -> tuple[Float16Array, Float16Array]:
    """Read `latents.npy` back: mean and log variance, each (channels, height, width) float16, `height` of the latents.

    Raises ValueError if `content` is no array, or one of another type or length.
    """
    values = read_npy(content)
    length = 2 * channels * height * width
    if values.dtype != np.float16 or values.shape != (length,):
        shape = "x".join(map(str, values.shape))
        raise ValueError(
            f"{ARRAY} must be {length} float16 numbers, 2 x {channels} x {height} x {width}, got {shape} {values.dtype}"
        )
    mean_chw, log_variance_chw = values.reshape(2, channels, height, width)
    return mean_chw, log_variance_chw
