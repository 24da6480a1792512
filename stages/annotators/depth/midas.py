"""MiDaS dpt_hybrid, T2I-Adapter's depth network: the published weights in the fastest form that gives the same map.

    (B, 3, H, W) ──stem, three ResNet stages──> patches at stride 16 ──12 transformer blocks──> tokens
                          stride 4 │  stride 8 │              block 9, stride 16 │  block 12, stride 32 │
    (B, H, W) <──head── fuse <─────┴── fuse <──┴───────── fuse <─────────────────┴── fuse <─────────────┘

The layers are those of controlnet_aux's DPTDepthModel (isl-org/DPT, arXiv 2103.13413) on timm; `dpt_layers` finds them.
Invariant: in float32 the result is that model's, up to the rounding of its sums (1e-6 of the map's range, measured).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.errors import WeightsError
from stages.hardware.float32_products import CPU_INFO, made_by_amd
from stages.hardware.precision import ResolvedDtype
from stages.hardware.upsampled import UpsampledConv2d
from stages.hardware.winograd import use_winograd
from stages.reference.dpt_layers import (
    AttentionLayers,
    BlockLayers,
    DptLayers,
    FusionLayers,
    ReadoutLayers,
    ResidualLayers,
    dpt_layers,
    published_network,
)
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile

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

    def __init__(self, layers: DptLayers) -> None:
        """Take over the layers."""
        super().__init__()
        self.stem = layers.stem
        self.stages = nn.ModuleList(layers.stages)
        self.patch_projection = layers.patch_projection
        self.class_token = layers.class_token
        self.trained_positions = layers.trained_positions
        self.blocks = nn.ModuleList(map(_Block, layers.blocks))
        self.readouts = nn.ModuleList(map(_Readout, layers.readouts))
        self.to_decoder = nn.ModuleList(layers.to_decoder)
        self.skips = nn.ModuleList(_Residual(fusion.of_skip) for fusion in layers.fusions[:3])  # the coarsest has none
        self.fusions = nn.ModuleList(map(_Fusion, layers.fusions))
        self.upsampling = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.head = nn.Sequential(self.upsampling, layers.wide, self.upsampling, layers.narrow, nn.ReLU(inplace=True))
        self.to_depth = layers.to_depth
        # The ResNet stays in NCHW: torch's group norm is less exact in channels-last on a CPU (it alone moves the map
        # by 1e-4 of its range), and on CUDA it long gave back NCHW anyway (pytorch/pytorch issue 111824).
        for decoder in (self.readouts, self.to_decoder, self.skips, self.fusions, self.head):
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
        maps = [layer(given) for layer, given in zip(self.to_decoder, given_maps, strict=True)]
        path = self.fusions[3](maps[3])
        for fusion, skip, finer in zip(self.fusions[2::-1], self.skips[::-1], maps[2::-1], strict=True):
            path = fusion(skip(finer).add_(self.upsampling(path)))
        last_features = self.head(path).float()
        with torch.autocast(images_bchw.device.type, enabled=False):
            depth_bchw: Tensor = self.to_depth(last_features).relu_()
        return depth_bchw.squeeze(1)


class Float32Attention(nn.Module):
    """timm's self-attention, but that queries, keys and values meet in float32 whatever autocast says."""

    def __init__(self, layers: AttentionLayers) -> None:
        """Take over the two layers around the attention."""
        super().__init__()
        self.heads, self.qkv, self.proj = layers.heads, layers.qkv, layers.proj

    def forward(self, tokens_btd: Tensor) -> Tensor:
        """Let tokens (batch, tokens, channels) attend to each other."""
        qkv = self.qkv(tokens_btd).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).float()
        with torch.autocast(tokens_btd.device.type, enabled=False):
            mixed = functional.scaled_dot_product_attention(*qkv)
        result_btd: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return result_btd


class _Block(nn.Module):
    """A block of the transformer, without the hooks by which DPT catches its tokens."""

    def __init__(self, layers: BlockLayers) -> None:
        super().__init__()
        self.norm1, self.attention = layers.norm1, layers.attention.whole
        self.norm2, self.mlp = layers.norm2, layers.mlp

    def forward(self, tokens_btd: Tensor) -> Tensor:
        tokens_btd = tokens_btd + self.attention(self.norm1(tokens_btd))
        result_btd: Tensor = tokens_btd + self.mlp(self.norm2(tokens_btd))
        return result_btd


class _Readout(nn.Module):
    """Tokens to a feature map."""

    def __init__(self, layers: ReadoutLayers) -> None:
        super().__init__()
        self.project, self.convolutions = layers.project, layers.convolutions

    def forward(self, tokens_btd: Tensor, rows: int, columns: int) -> Tensor:
        """Return (batch, channels, rows, columns): each patch's token is mixed with the class token, the first one."""
        weight, channels = self.project.weight, tokens_btd.shape[-1]
        mixed_btd = functional.linear(tokens_btd[:, 1:], weight[:, :channels])
        mixed_btd = mixed_btd + functional.linear(tokens_btd[:, :1], weight[:, channels:], self.project.bias)
        grid_bhwd = functional.gelu(mixed_btd).view(-1, rows, columns, channels)
        map_bchw: Tensor = self.convolutions(grid_bhwd.permute(0, 3, 1, 2))
        return map_bchw


class _Residual(nn.Module):
    """Two convolutions, whose result is added to what goes in."""

    def __init__(self, layers: ResidualLayers) -> None:
        super().__init__()
        self.conv1, self.conv2 = layers.conv1, layers.conv2

    def forward(self, features: Tensor) -> Tensor:
        residue: Tensor = self.conv2(self.conv1(features.relu()).relu_())
        return residue.add_(features)


class _Fusion(nn.Module):
    """What follows the sum of a skip and the coarser path, but for the upsampling after its 1x1 convolution."""

    def __init__(self, layers: FusionLayers) -> None:
        super().__init__()
        self.of_sum, self.mixing = _Residual(layers.of_sum), layers.mixing

    def forward(self, features: Tensor) -> Tensor:
        mixed: Tensor = self.mixing(self.of_sum(features))
        return mixed


def load_depth_network(file: WeightsFile, device: str, dtype: ResolvedDtype, cpu_info: Path = CPU_INFO) -> DepthNetwork:
    """Build the network with the weights of `file`, ready for inference under autocast to `dtype`.

    `cpu_info` says who made the processors, on which the fastest form of the network depends. Raises WeightsError if
    the file does not hold exactly the tensors of dpt_hybrid.
    """
    published, given = published_network(), load_state_dict(file)
    _check_tensors(file, published.state_dict(), given)
    published.load_state_dict({name: tensor.float() for name, tensor in given.items()}, strict=True, assign=True)
    layers = dpt_layers(published)
    network = DepthNetwork(layers).eval().requires_grad_(False)
    if dtype != "float32":
        # What autocast would do to these weights at every call; the norms stay in float32.
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not network.to_depth:
                layer.to(getattr(torch, dtype))
        if device == "cpu" and made_by_amd(cpu_info):
            # torch's attention multiplies bfloat16 by MKL: twice the time of float32 by oneDNN.
            for block, taken in zip(network.blocks, layers.blocks, strict=True):
                block.attention = Float32Attention(taken.attention)
    elif device == "cpu":
        multiply_less(network)
    return network.to(device)


def multiply_less(network: DepthNetwork) -> None:
    """Give the 3x3 convolutions, half of the network's time, forms with a quarter of the multiplications.

    For float32 on a CPU: elsewhere matrix products are so fast that the transforms around them would take longer.
    """
    for convolutions in (network.stages, network.to_decoder, network.skips, network.fusions):
        use_winograd(convolutions)
    upsampled = [UpsampledConv2d(layer) for layer in network.head if isinstance(layer, nn.Conv2d)]
    network.head = nn.Sequential(*upsampled, nn.ReLU(inplace=True))


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
