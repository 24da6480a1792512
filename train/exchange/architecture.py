"""Which network a stored adapter is: told by its configuration, or else by the shapes of its parameters.

    conv_in's input channels      64 = 1 x 8^2    192 = 3 x 8^2    256 = 1 x 16^2    768 = 3 x 16^2
                                  16 = 1 x 4^2     48 = 3 x 4^2    for condset's own base model of drawn scenes
    hidden channels of a scale    a quarter: light    an eighth: tiny    no hidden ones: full (8), full_xl (16)

The shapes alone leave doubts: 256 might be four channels unshuffled by 8, 64 four by 4. No adapter of T2I-Adapter has
four, and ComfyUI reads 256 as this does. Invariant: an architecture is only a claim; loading compares it parameter by
parameter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from stages.errors import CheckpointError
from train.adapters.spatial import ADAPTER_TYPES, RELATIVE_STRIDES, TINY_SHARE
from train.base.protocol import FeatureShape

if TYPE_CHECKING:
    from torch import Tensor

AdapterKind: TypeAlias = Literal["full", "light", "tiny", "full_xl"]

UNSHUFFLED = {16: (1, 4), 48: (3, 4), 64: (1, 8), 192: (3, 8), 256: (1, 16), 768: (3, 16)}
"""Channels after PixelUnshuffle: channels of the condition, and the factor."""
KINDS: dict[str, AdapterKind] = {"full_adapter": "full", "light_adapter": "light", "full_adapter_xl": "full_xl"}
"""diffusers' names; the hidden channels of its light adapter are always a quarter."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What `build_adapter` needs to know."""

    kind: AdapterKind
    in_channels: int
    """Of the condition."""
    shapes: tuple[FeatureShape, ...]


def architecture_of_tensors(tensors: "Mapping[str, Tensor]", where: str) -> Architecture:
    """Tell an architecture from parameters under diffusers' names; CheckpointError, naming `where`, if it is none."""
    full = "adapter.conv_in.weight" in tensors
    first = "adapter.conv_in.weight" if full else "adapter.body.0.in_conv.weight"
    unshuffled = int(tensors[first].shape[1]) if first in tensors else 0
    if unshuffled not in UNSHUFFLED:
        known = ", ".join(map(str, UNSHUFFLED))
        raise CheckpointError(
            f"{where} {first} must have {known} input channels, got {unshuffled or 'none'}; give an adapter of a "
            "condition with 1 or 3 channels"
        )
    in_channels, stride = UNSHUFFLED[unshuffled]
    last = "resnets.0.block1.weight" if full else "out_conv.weight"
    channels = _channels(tensors, last)
    if full:
        return _architecture("full_xl" if stride == 16 else "full", in_channels, channels, stride, where)
    thin = int(tensors[first].shape[0]) == (channels or [0])[0] // TINY_SHARE
    return _architecture("tiny" if thin else "light", in_channels, channels, stride, where)


def architecture_of_config(config: Mapping[str, Any], where: str) -> Architecture:
    """Read an architecture from a T2IAdapter's config.json; CheckpointError, naming `where`, if it is none."""
    try:
        kind = KINDS[config["adapter_type"]]
        channels, in_channels = [int(each) for each in config["channels"]], int(config["in_channels"])
        stride = int(config["downscale_factor"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{where} must be a T2IAdapter's configuration, got {type(error).__name__} {error}; save it with "
            "T2IAdapter.save_pretrained"
        ) from None
    if ADAPTER_TYPES[kind] == "light_adapter":  # it leaves out the last scale, which is as wide as the one before
        channels = [*channels, *channels[-1:]]
    return _architecture(kind, in_channels, channels, stride, where)


def _channels(tensors: "Mapping[str, Tensor]", last: str) -> list[int]:
    """The output channels of each scale."""
    channels: list[int] = []
    while (name := f"adapter.body.{len(channels)}.{last}") in tensors:
        channels.append(int(tensors[name].shape[0]))
    return channels


def _architecture(
    kind: AdapterKind, in_channels: int, channels: Sequence[int], stride: int, where: str
) -> Architecture:
    strides = RELATIVE_STRIDES[kind]
    if len(channels) != len(strides):
        raise CheckpointError(
            f"{where} must have {len(strides)} scales, got {len(channels)}; give an adapter of Stable Diffusion"
        )
    shapes = (FeatureShape(each, stride * relative) for each, relative in zip(channels, strides, strict=True))
    return Architecture(kind, in_channels, tuple(shapes))
