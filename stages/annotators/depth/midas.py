"""MiDaS dpt_hybrid, T2I-Adapter's depth network: the published weights in the fastest form that gives the same map.

    (B, 3, H, W) ──stem, three ResNet stages──> patches at stride 16 ──12 transformer blocks──> tokens
                          stride 4 │  stride 8 │              block 9, stride 16 │  block 12, stride 32 │
    (B, H, W) <──head── fuse <─────┴── fuse <──┴───────── fuse <─────────────────┴── fuse <─────────────┘

The layers are those of controlnet_aux's DPTDepthModel (isl-org/DPT, arXiv 2103.13413) on timm. Invariant: in float32
the result is that model's, up to the rounding of its sums (1e-6 of the map's range, measured).
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.errors import WeightsError
from stages.hardware.float32_products import CPU_INFO, made_by_amd
from stages.hardware.precision import ResolvedDtype
from stages.hardware.upsampled import UpsampledConv2d
from stages.hardware.winograd import use_winograd
from stages.reference.aux_modules import controlnet_aux_module
from stages.weights.store import WeightsFile, load_state_dict

PATCH_PIXELS = 16
"""The side of what one token stands for."""

TOKEN_BLOCKS = (8, 11)
"""The transformer blocks whose tokens become feature maps (the last two hooks of "vitb_rn50_384")."""


class DepthNetwork(nn.Module):
    """DPT-hybrid, rearranged for inference.

    What differs from the published form, and why the map stays the same:
    - weight standardisation, a function of the weights alone, is done once and not at every call;
    - each fusion's 1x1 convolution comes before its upsampling, on a quarter of the pixels: one mixes channels, the
      other pixels, and the upsampling's weights sum to 1, so that even the bias passes through;
    - the readout multiplies the class token, which all tokens share, once and not once for each token;
    - the last layer norm and the classifier, whose results nobody reads, are left out;
    - features are handed on, not caught by hooks in a dictionary that all models of the process share (and that keeps
      the last batch's features alive).
    """

    def __init__(self, published: Any) -> None:
        """Take over the layers of a DPTDepthModel; its standardised convolutions are replaced in place."""
        super().__init__()
        transformer, scratch = published.pretrained.model, published.scratch
        backbone = transformer.patch_embed.backbone
        _bake_weight_standardisation(backbone)
        self.stem = backbone.stem
        self.stages = nn.ModuleList(stage.blocks for stage in backbone.stages)
        self.patch_projection = transformer.patch_embed.proj
        self.class_token = transformer.cls_token
        self.trained_positions = transformer.pos_embed
        self.blocks = _without_hooks(transformer.blocks)
        self.readouts = nn.ModuleList(
            _Readout(layers)
            for layers in (published.pretrained.act_postprocess3, published.pretrained.act_postprocess4)
        )
        self.to_decoder = nn.ModuleList([scratch.layer1_rn, scratch.layer2_rn, scratch.layer3_rn, scratch.layer4_rn])
        self.fusions = nn.ModuleList([scratch.refinenet1, scratch.refinenet2, scratch.refinenet3, scratch.refinenet4])
        wide, _, narrow, relu, self.to_depth = scratch.output_conv[:5]
        self.upsampling = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.head = nn.Sequential(self.upsampling, wide, self.upsampling, narrow, relu)
        # The ResNet stays in NCHW: torch's group norm is less exact in channels-last on a CPU (it alone moves the map
        # by 1e-4 of its range), and on CUDA it long gave back NCHW anyway (pytorch/pytorch issue 111824).
        for decoder in (self.readouts, self.to_decoder, self.fusions, self.head):
            decoder.to(memory_format=torch.channels_last)

    def positions(self, height: int, width: int) -> Tensor:
        """Return the position embedding (1, 1 + tokens, 768) of an image of this size in pixels.

        The published one is of 24 x 24 patches, 384 pixels, and is resized bilinearly, as DPT does.
        """
        patches = (height // PATCH_PIXELS, width // PATCH_PIXELS)
        of_class, of_patches = self.trained_positions[:, :1], self.trained_positions[:, 1:]
        side = round(of_patches.shape[1] ** 0.5)
        grid = of_patches.transpose(1, 2).reshape(1, -1, side, side)
        resized = functional.interpolate(grid, patches, mode="bilinear").flatten(2).transpose(1, 2)
        return torch.cat([of_class, resized], dim=1)

    def forward(self, images_bchw: Tensor, positions: Tensor) -> Tensor:
        """Estimate depth: (batch, height, width) float32, 0 or more, without a unit; near is bright.

        Takes RGB in [-1, 1], both sides multiples of 32, and `positions` of that size. Under autocast all but the last
        convolution runs in the lower type: 8 bits of mantissa would leave steps in the map.
        """
        rows, columns = (side // PATCH_PIXELS for side in images_bchw.shape[2:])
        features, stage_maps = self.stem(images_bchw.contiguous()), []
        for stage in self.stages:
            features = stage(features)
            stage_maps.append(features)
        patches = self.patch_projection(features).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(patches), -1, -1), patches], dim=1) + positions
        token_maps: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            tokens = block(tokens)
            if number in TOKEN_BLOCKS:
                token_maps.append(self.readouts[len(token_maps)](tokens, rows, columns))
        given_maps = [given.contiguous(memory_format=torch.channels_last) for given in stage_maps[:2] + token_maps]
        skips = [layer(given) for layer, given in zip(self.to_decoder, given_maps, strict=True)]
        path = _fused(self.fusions[3], skips[3])
        for fusion, skip in zip(self.fusions[2::-1], skips[2::-1], strict=True):
            path = _fused(fusion, _residual(fusion.resConfUnit1, skip).add_(self.upsampling(path)))
        last_features = self.head(path).float()
        with torch.autocast(images_bchw.device.type, enabled=False):
            depth_bchw: Tensor = self.to_depth(last_features).relu_()
        return depth_bchw.squeeze(1)


class Float32Attention(nn.Module):
    """timm's self-attention, but that queries, keys and values meet in float32 whatever autocast says."""

    def __init__(self, published: Any) -> None:
        """Take over the two layers around the attention of a timm Attention without norms, masks or gates."""
        super().__init__()
        self.heads: int = published.num_heads
        self.qkv, self.proj = published.qkv, published.proj

    def forward(self, tokens_btd: Tensor, **_masks: object) -> Tensor:
        """Let tokens (batch, tokens, channels) attend to each other; timm names masks, but has none for images."""
        qkv = self.qkv(tokens_btd).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).float()
        with torch.autocast(tokens_btd.device.type, enabled=False):
            mixed = functional.scaled_dot_product_attention(*qkv)
        result_btd: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return result_btd


class _Readout(nn.Module):
    """Tokens to a feature map: DPT's readout "project", and the convolutions that follow it."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.project: nn.Linear = layers[0].project[0]
        self.convolutions = layers[3:]

    def forward(self, tokens_btd: Tensor, rows: int, columns: int) -> Tensor:
        """Return (batch, channels, rows, columns): each patch's token is mixed with the class token, the first one."""
        weight, channels = self.project.weight, tokens_btd.shape[-1]
        mixed_btd = functional.linear(tokens_btd[:, 1:], weight[:, :channels])
        mixed_btd = mixed_btd + functional.linear(tokens_btd[:, :1], weight[:, channels:], self.project.bias)
        grid_bhwd = functional.gelu(mixed_btd).view(-1, rows, columns, channels)
        map_bchw: Tensor = self.convolutions(grid_bhwd.permute(0, 3, 1, 2))
        return map_bchw


def load_depth_network(file: WeightsFile, device: str, dtype: ResolvedDtype, cpu_info: Path = CPU_INFO) -> DepthNetwork:
    """Build the network with the weights of `file`, ready for inference under autocast to `dtype`.

    `cpu_info` says who made the processors, on which the fastest form of the network depends. Raises WeightsError if
    the file does not hold exactly the tensors of dpt_hybrid.
    """
    published, given = published_network(), load_state_dict(file)
    _check_tensors(file, published.state_dict(), given)
    published.load_state_dict({name: tensor.float() for name, tensor in given.items()}, strict=True, assign=True)
    network = DepthNetwork(published).eval().requires_grad_(False)
    if dtype != "float32":
        # What autocast would do to these weights at every call; the norms stay in float32.
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not network.to_depth:
                layer.to(getattr(torch, dtype))
        if device == "cpu" and made_by_amd(cpu_info):
            # torch's attention multiplies bfloat16 by MKL: twice the time of float32 by oneDNN.
            for block in network.blocks:
                block.attn = Float32Attention(block.attn)
    elif device == "cpu":
        multiply_less(network)
    return network.to(device)


def multiply_less(network: DepthNetwork) -> None:
    """Give the 3x3 convolutions, half of the network's time, forms with a quarter of the multiplications.

    For float32 on a CPU: elsewhere matrix products are so fast that the transforms around them would take longer.
    """
    for convolutions in (network.stages, network.to_decoder, network.fusions):
        use_winograd(convolutions)
    upsampled = [UpsampledConv2d(layer) for layer in network.head if isinstance(layer, nn.Conv2d)]
    network.head = nn.Sequential(*upsampled, nn.ReLU(inplace=True))


def published_network() -> nn.Module:
    """Return controlnet_aux's DPTDepthModel of dpt_hybrid on the meta device: layers and names, no numbers yet.

    Filling 123 million parameters with random numbers takes seconds and half a gigabyte, and all are replaced.
    """
    with warnings.catch_warnings():
        # DPTDepthModel asks timm 1.0 for "vit_base_resnet50_384", which is timm 0.6's name of the same network.
        warnings.filterwarnings("ignore", "Mapping deprecated model name", UserWarning)
        dpt_depth = controlnet_aux_module("midas.midas.dpt_depth")
        with torch.device("meta"):
            network: nn.Module = dpt_depth.DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=True)
    return network


def _check_tensors(file: WeightsFile, expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    missing = [name for name in expected if name not in given]
    unknown = [name for name in given if name not in expected]
    reshaped = [
        f"{name} {tuple(given[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    differences = [
        f"{len(names)} {what} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
        for names, what in ((missing, "missing"), (unknown, "unknown"), (reshaped, "of another shape"))
        if names
    ]
    if differences:
        raise WeightsError(
            f"{file.path} must hold the {len(expected)} tensors of MiDaS dpt_hybrid, got {' and '.join(differences)};"
            " name a dpt_hybrid checkpoint as weights of depth, or leave weights out"
        )


def _bake_weight_standardisation(backbone: nn.Module) -> None:
    """Replace each StdConv2dSame of timm by a plain convolution with the standardised weights (arXiv 1903.10520)."""
    from timm.layers.std_conv import StdConv2dSame

    for parent in list(backbone.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, StdConv2dSame):
                setattr(parent, name, _plain_convolution(layer))


def _plain_convolution(standardised: Any) -> nn.Module:
    """Return what a StdConv2dSame computes on even sides, where TensorFlow's "same" padding is a constant."""
    weight = standardised.weight.detach()
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


def _without_hooks(layers: Iterable[nn.Module]) -> nn.ModuleList:
    """Remove the hooks by which DPT catches the tokens."""
    for layer in layers:
        layer._forward_hooks.clear()
    return nn.ModuleList(layers)


def _residual(unit: Any, features: Tensor) -> Tensor:
    """Apply a ResidualConvUnit_custom of DPT."""
    residue: Tensor = unit.conv2(unit.conv1(features.relu()).relu_())
    return residue.add_(features)


def _fused(fusion: Any, features: Tensor) -> Tensor:
    """Apply the second half of a FeatureFusionBlock_custom of DPT, but for the upsampling after its 1x1 convolution."""
    mixed: Tensor = fusion.out_conv(_residual(fusion.resConfUnit2, features))
    return mixed
