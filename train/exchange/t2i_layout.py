"""The names of an adapter's parameters in the files that TencentARC released, and diffusers' names for the same ones.

                       released                         diffusers
    full, full_xl      conv_in                          adapter.conv_in
                       body.{2 s}.in_conv               adapter.body.{s}.in_conv
                       body.{2 s + j}.block{1,2}        adapter.body.{s}.resnets.{j}.block{1,2}
    light, tiny        body.{s}.{in,out}_conv           adapter.body.{s}.{in,out}_conv
                       body.{s}.body.{j}.block{1,2}     adapter.body.{s}.resnets.{j}.block{1,2}

s is the scale, j the residual block. ComfyUI and the webui extension load the released names. Invariant: from_t2i takes
back what to_t2i did: the very same tensors under the very same names.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Layout: TypeAlias = Literal["diffusers", "t2i"]

PREFIX = "adapter."
"""Of every name in diffusers, where the network is a member of T2IAdapter; some released files were saved like that."""
BLOCKS_A_SCALE = 2
"""Residual blocks of a scale in every released adapter that is not a light one; the names count them through."""


def is_t2i(names: Iterable[str]) -> bool:
    """Whether parameters with these names are an adapter's in the released layout."""
    return any(re.match(r"body\.\d+\.(body\.\d+\.)?block1\.weight$", name.removeprefix(PREFIX)) for name in names)


def is_diffusers(names: Iterable[str]) -> bool:
    """Whether parameters with these names are a T2IAdapter's."""
    return any(re.match(rf"{PREFIX}body\.\d+\.resnets\.\d+\.block1\.weight$", name) for name in names)


def to_t2i(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Rename diffusers' parameters to the released layout."""
    counted = f"{PREFIX}conv_in.weight" in tensors
    return {_to_t2i(name.removeprefix(PREFIX), counted): tensor for name, tensor in tensors.items()}


def from_t2i(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Rename parameters of the released layout to diffusers'; names that no adapter of ours has stay recognisable."""
    bare = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    counted = "conv_in.weight" in bare
    return {f"{PREFIX}{_from_t2i(name, counted)}": tensor for name, tensor in bare.items()}


def _to_t2i(name: str, counted: bool) -> str:
    if not counted:
        return name.replace(".resnets.", ".body.")
    if found := re.fullmatch(r"body\.(\d+)\.resnets\.(\d+)\.(.+)", name):
        scale, block, rest = found.groups()
        return f"body.{BLOCKS_A_SCALE * int(scale) + int(block)}.{rest}"
    if found := re.fullmatch(r"body\.(\d+)\.(in_conv\..+)", name):
        scale, rest = found.groups()
        return f"body.{BLOCKS_A_SCALE * int(scale)}.{rest}"
    return name


def _from_t2i(name: str, counted: bool) -> str:
    if not counted:
        return re.sub(r"^(body\.\d+)\.body\.", r"\1.resnets.", name)
    if found := re.fullmatch(r"body\.(\d+)\.(.+)", name):
        scale, block = divmod(int(found[1]), BLOCKS_A_SCALE)
        first_of_scale = found[2].startswith("in_conv.") and block == 0
        return f"body.{scale}.{found[2]}" if first_of_scale else f"body.{scale}.resnets.{block}.{found[2]}"
    return name
