"""The layers of MiDaS dpt_hybrid, taken out of the classes that hold them: controlnet_aux's DPTDepthModel, on timm.

    published_network() ─> names and shapes of the weights ─> load_state_dict ─> dpt_layers(network)

Neither library promises where its layers are; the names are those of controlnet_aux 0.0.10 and of timm 1.0. What
is left behind: DPTDepthModel's `forward`, the hooks by which it catches features, and the last layer norm and the
classifier, whose results nobody reads.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.hardware.warning_filters import Ignored, warnings_ignored
from stages.reference.aux_modules import controlnet_aux_module


@dataclass(frozen=True, slots=True)
class AttentionLayers:
    """timm's self-attention, and what it is made of."""

    whole: nn.Module
    heads: int
    qkv: nn.Module
    proj: nn.Module


@dataclass(frozen=True, slots=True)
class BlockLayers:
    """A block of the transformer: tokens + attention(norm1(tokens)), then tokens + mlp(norm2(tokens))."""

    norm1: nn.Module
    attention: AttentionLayers
    norm2: nn.Module
    mlp: nn.Module


@dataclass(frozen=True, slots=True)
class ReadoutLayers:
    """From tokens to a feature map: DPT's readout "project", and the convolutions that follow it."""

    project: nn.Linear
    convolutions: nn.Module


@dataclass(frozen=True, slots=True)
class ResidualLayers:
    """features + conv2(relu(conv1(relu(features))))."""

    conv1: nn.Module
    conv2: nn.Module


@dataclass(frozen=True, slots=True)
class FusionLayers:
    """A feature map joins those of the coarser scales: `of_skip` before the sum, `of_sum` and `mixing` after it.

    The coarsest map has nothing to join, and no use for `of_skip`.
    """

    of_skip: ResidualLayers
    of_sum: ResidualLayers
    mixing: nn.Module


@dataclass(frozen=True, slots=True)
class DptLayers:
    """All layers, from the image to depth; lists from the finest scale to the coarsest."""

    stem: nn.Module
    stages: tuple[nn.Module, ...]
    """Of the ResNet, with weight standardisation done."""
    patch_projection: nn.Module
    class_token: nn.Parameter
    trained_positions: nn.Parameter
    """(1, 1 + 24 x 24, 768)."""
    blocks: tuple[BlockLayers, ...]
    readouts: tuple[ReadoutLayers, ...]
    to_decoder: tuple[nn.Module, ...]
    fusions: tuple[FusionLayers, ...]
    wide: nn.Module
    narrow: nn.Module
    to_depth: nn.Module
    """The three convolutions of the head: before its upsampling, after it, and the last one."""


def published_network() -> nn.Module:
    """Return controlnet_aux's DPTDepthModel of dpt_hybrid on the meta device: layers and names, no numbers yet.

    Filling 123 million parameters with random numbers takes seconds and half a gigabyte, and all are replaced.
    """
    # DPTDepthModel asks timm 1.0 for "vit_base_resnet50_384", which is timm 0.6's name of the same network.
    with warnings_ignored(Ignored(category=UserWarning)):
        dpt_depth = controlnet_aux_module("midas.midas.dpt_depth")
        with torch.device("meta"):
            network: nn.Module = dpt_depth.DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=True)
    return network


def dpt_layers(published: Any) -> DptLayers:
    """Take the layers of a DPTDepthModel; its standardised convolutions are replaced in place."""
    transformer, scratch = published.pretrained.model, published.scratch
    backbone = transformer.patch_embed.backbone
    _bake_weight_standardisation(backbone)
    wide, _, narrow, _, to_depth, *_ = scratch.output_conv
    return DptLayers(
        stem=backbone.stem,
        stages=tuple(stage.blocks for stage in backbone.stages),
        patch_projection=transformer.patch_embed.proj,
        class_token=transformer.cls_token,
        trained_positions=transformer.pos_embed,
        blocks=tuple(
            BlockLayers(block.norm1, attention_layers(block.attn), block.norm2, block.mlp)
            for block in transformer.blocks
        ),
        readouts=tuple(
            ReadoutLayers(layers[0].project[0], layers[3:])
            for layers in (published.pretrained.act_postprocess3, published.pretrained.act_postprocess4)
        ),
        to_decoder=(scratch.layer1_rn, scratch.layer2_rn, scratch.layer3_rn, scratch.layer4_rn),
        fusions=tuple(
            FusionLayers(_residual(fusion.resConfUnit1), _residual(fusion.resConfUnit2), fusion.out_conv)
            for fusion in (scratch.refinenet1, scratch.refinenet2, scratch.refinenet3, scratch.refinenet4)
        ),
        wide=wide,
        narrow=narrow,
        to_depth=to_depth,
    )


def attention_layers(attention: Any) -> AttentionLayers:
    """Take apart a timm Attention without norms, masks or gates."""
    return AttentionLayers(attention, attention.num_heads, attention.qkv, attention.proj)


def _residual(unit: Any) -> ResidualLayers:
    return ResidualLayers(unit.conv1, unit.conv2)


def _bake_weight_standardisation(backbone: nn.Module) -> None:
    """Replace each StdConv2dSame of timm by a plain convolution with the standardised weights (arXiv 1903.10520)."""
    from timm.layers.std_conv import StdConv2dSame

    for parent in list(backbone.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, StdConv2dSame):
                setattr(parent, name, _plain_convolution(layer))


def _plain_convolution(standardised: Any) -> nn.Module:
    """Return what a StdConv2dSame computes on even sides, where TensorFlow's "same" padding is a constant."""
    weight: Tensor = standardised.weight.detach()
    plain = nn.Conv2d(
        standardised.in_channels,
        standardised.out_channels,
        standardised.kernel_size,
        standardised.stride,
        standardised.padding,
        bias=False,
        device="meta",
    )
    flat = weight.reshape(1, len(weight), -1)
    baked = functional.batch_norm(flat, None, None, training=True, momentum=0.0, eps=standardised.eps)
    plain.weight = nn.Parameter(baked.reshape_as(weight), requires_grad=False)
    padding = max(standardised.kernel_size[0] - standardised.stride[0], 0) if standardised.same_pad else 0
    if padding == 0:
        return plain
    before, after = padding // 2, padding - padding // 2
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), plain)
