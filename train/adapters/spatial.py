"""The adapters: small networks from a condition picture to one feature map for each scale of the UNet's encoder.

    condition (b, c, H, W) in [0, 1] ──PixelUnshuffle──> convs ──> (320, H/8) (640, H/16) (1280, H/32) (1280, H/64)

    full      77.0 M   two residual blocks a scale          T2I-Adapter's default
    light     18.7 M   four thin ones, channels / 4         T2I-Adapter's for color
    tiny       5.1 M   four thinner ones, channels / 8      T2I-Adapter's smallest
    full_xl   77.6 M   PixelUnshuffle by 16, for SDXL

All are diffusers' `T2IAdapter`; only tiny's blocks are our own, because diffusers' light ones hard-code a quarter.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from stages.errors import ConfigError
from stages.records import Condition
from stages.settings import Mark, Settings
from train.base.protocol import SD1_SHAPES, SDXL_SHAPES, FeatureShape

if TYPE_CHECKING:
    from torch import Tensor, nn

ONE_CHANNEL = frozenset({Condition.SKETCH, Condition.CANNY})
"""Conditions that T2I-Adapter feeds as one channel; all others have three (SD:ldm/modules/extra_condition/api.py)."""

ADAPTER_TYPES = {
    "full": "full_adapter",
    "light": "light_adapter",
    "tiny": "light_adapter",
    "full_xl": "full_adapter_xl",
}
RESIDUAL_BLOCKS = {"full": 2, "light": 4, "tiny": 4, "full_xl": 2}
RELATIVE_STRIDES = {"full": (1, 2, 4, 8), "light": (1, 2, 4, 8), "tiny": (1, 2, 4, 8), "full_xl": (1, 1, 2, 2)}
"""Of an adapter's maps, in units of the finest one's."""
TINY_SHARE = 8
"""Of a scale's channels, one in so many is a hidden one of the tiny adapter."""


class AdapterConfig(Settings):
    """Which network is trained."""

    kind: Literal["full", "light", "tiny", "full_xl"] = "full"
    in_channels: Literal[1, 3] | None = None
    """Channels of the condition; T2I-Adapter's for the condition if not given: 1 for sketch and canny, else 3."""
    init: Annotated[str | None, Mark.PLACE] = None
    """Start from this adapter, not from random weights: a run's directory, one of diffusers, or a .pth or .safetensors
    file of the released layout."""
    seed: int = Field(default=0, ge=0)
    """Seed of the random weights."""


def adapter_channels(config: AdapterConfig, condition: Condition) -> Literal[1, 3]:
    """Settle how many channels of the condition the adapter sees."""
    return config.in_channels or (1 if condition in ONE_CHANNEL else 3)


def native_shapes(kind: str) -> tuple[FeatureShape, ...]:
    """The feature maps that the released adapters of this kind give."""
    return SDXL_SHAPES if kind == "full_xl" else SD1_SHAPES


def build_adapter(config: AdapterConfig, in_channels: int, shapes: Sequence[FeatureShape]) -> "nn.Module":
    """Build an adapter with random weights that fits the scales of a base model.

    It takes (batch, in_channels, height, width) in [0, 1], sides multiples of the coarsest stride, and returns one map
    for each of `shapes`. Raises ConfigError if a network of this kind cannot give them.
    """
    import torch
    from diffusers import T2IAdapter
    from torch import nn

    strides, wanted = RELATIVE_STRIDES[config.kind], [shape.stride for shape in shapes]
    expected = [wanted[0] * stride for stride in strides]
    if wanted != expected:
        raise ConfigError(
            f"adapter.kind must give maps at strides {wanted}, which the base model takes, got {config.kind!r} with "
            f"{expected}; full, light and tiny fit Stable Diffusion 1.x and 2.x"
        )
    channels = [shape.channels for shape in shapes]
    adapter_type = ADAPTER_TYPES[config.kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if adapter_type == "light_adapter":  # it adds the last scale, as wide as the one before, itself
            if channels[-1] != channels[-2]:
                raise ConfigError(
                    f"adapter.kind {config.kind!r} must have two equal last scales, got channels {channels}; use full"
                )
            channels = channels[:-1]
        adapter = T2IAdapter(in_channels, channels, RESIDUAL_BLOCKS[config.kind], wanted[0], adapter_type)
        if config.kind == "tiny":
            _make_thinner(adapter.adapter.body)
    network: nn.Module = adapter
    return network


def _make_thinner(scales: Any) -> None:
    """Give the scales of a light adapter an eighth of its channels as hidden ones, under the same names."""
    from diffusers.models.adapter import LightAdapterResnetBlock
    from torch import nn

    for block in scales:
        hidden = block.out_conv.out_channels // TINY_SHARE
        block.in_conv = nn.Conv2d(block.in_conv.in_channels, hidden, 1)
        block.resnets = nn.Sequential(*(LightAdapterResnetBlock(hidden) for _ in block.resnets))
        block.out_conv = nn.Conv2d(hidden, block.out_conv.out_channels, 1)


def compose(features: "Sequence[Sequence[Tensor]]", weights: Sequence[float]) -> "list[Tensor]":
    """Add the features of several adapters, scale by scale: sum of w_k F_k (arXiv 2302.08453, section 3.5)."""
    return [
        sum((weight * each for weight, each in zip(weights[1:], scale[1:], strict=True)), weights[0] * scale[0])
        for scale in zip(*features, strict=True)
    ]
