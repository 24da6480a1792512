"""Writes a model as latent-diffusion saved it: every parameter in one mapping, under the authors' names.

The way back from diffusers' names, as its script convert_diffusers_to_original_stable_diffusion.py goes it.
"""

import re
from collections.abc import Iterator

from torch import Tensor

from train.base.stable_diffusion import Parts

UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def in_one_file(parts: Parts) -> dict[str, Tensor]:
    """The parameters of a model under the names of latent-diffusion."""
    return dict([*_unet(parts), *_vae(parts), *_text_encoder(parts)])


def _unet(parts: Parts) -> Iterator[tuple[str, Tensor]]:
    layers = parts.unet.config.layers_per_block
    for name, tensor in parts.unet.state_dict().items():
        yield f"model.diffusion_model.{_unet_name(name, layers)}", tensor


def _unet_name(name: str, layers: int) -> str:
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        kind, number, rest = found.groups()
        return f"middle_block.{2 * int(number)}.{_resnet(rest)}" if kind == "resnets" else f"middle_block.1.{rest}"
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    assert found, name
    way, block, kind, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    if kind == "downsamplers":
        return f"input_blocks.{(layers + 1) * (block + 1)}.0.{rest.replace('conv', 'op', 1)}"
    if kind == "upsamplers":  # after the attention, which the deepest block does not have
        return f"output_blocks.{(layers + 1) * block + layers}.{2 if block else 1}.{rest}"
    place = f"input_blocks.{(layers + 1) * block + number + 1}"
    if way == "up":
        place = f"output_blocks.{(layers + 1) * block + number}"
    return f"{place}.0.{_resnet(rest)}" if kind == "resnets" else f"{place}.1.{rest}"


def _resnet(rest: str) -> str:
    first, _, last = rest.rpartition(".")
    return f"{RESNET[first]}.{last}"


def _vae(parts: Parts) -> Iterator[tuple[str, Tensor]]:
    last = len(parts.vae.config.block_out_channels) - 1
    for name, tensor in parts.vae.state_dict().items():
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
        name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{last - int(found[1])}.block", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{last - int(found[1])}.upsample", name)
        if ".mid_block.attentions.0." in name:
            for ours, theirs in ATTENTION.items():
                name = name.replace(f"attentions.0.{ours}.", f"attentions.0.{theirs}.")
            name = name.replace("mid_block.attentions.0", "mid.attn_1")
            if name.endswith("weight") and tensor.ndim == 2:
                tensor = tensor[:, :, None, None]  # the authors' attention is made of convolutions
        yield f"first_stage_model.{name}", tensor


def _text_encoder(parts: Parts) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in parts.text_encoder.state_dict().items():
        yield f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}", tensor
