"""PiDiNet (arXiv 2108.07009) as plain convolutions: the network of the sketch annotator.

    RGB / 255 ─init─> 3 blocks ─pool─> 4 blocks ─pool─> 4 blocks ─pool─> 4 blocks
                         │                │                │                │
                     side map         side map         side map         side map
                         └──────── upsampled, weighted ────┴────────────────┴──> sum ─sigmoid─> edges

The published network computes with pixel differences. They are linear, so each such layer equals one plain convolution;
the class of huggingface/controlnet_aux (0.0.10, pidi/model.py) has that form too (`convert=True`), and its layers are
used here, in another order of arithmetic. Invariant: the result equals the last map of the published network up to the
rounding of float32 sums (1e-5); nothing is approximated.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stages.errors import WeightsError
from stages.hardware.precision import ResolvedDtype
from stages.reference.aux_modules import controlnet_aux_module
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile

VARIANT = "carv4"
CHANNELS = 60
DILATION_CHANNELS = 24
BLOCKS_PER_SCALE = (3, 4, 4, 4)
"""The configuration of table5_pidinet.pth, the network of the paper's table 5."""

DIFFERENCE_LAYERS = (
    "init_block",
    *(
        f"block{scale}_{number}.conv1"
        for scale, blocks in enumerate(BLOCKS_PER_SCALE, start=1)
        for number in range(1, blocks + 1)
    ),
)
"""The layers that the variant's list of kinds is about, in its order."""


def load_pidinet(file: WeightsFile, device: str, dtype: ResolvedDtype) -> "PlainPiDiNet":
    """Load the published weights into the plain form, on `device`, ready to run in `dtype`.

    Raises WeightsError if the file cannot be read or holds another network.
    """
    model = controlnet_aux_module("pidi.model")
    kinds = tuple(model.nets[VARIANT].values())
    with torch.device("meta"):
        converted = model.PiDiNet(CHANNELS, kinds, dil=DILATION_CHANNELS, sa=True, convert=True)
    kind_of = {f"{layer}.weight": kind for layer, kind in zip(DIFFERENCE_LAYERS, kinds, strict=True)}
    shapes = {name: tuple(value.shape) for name, value in converted.state_dict().items()}
    # The published weight of a radial difference is 3x3; only its plain kernel is 5x5.
    shapes |= {name: (*shapes[name][:2], 3, 3) for name in kind_of}
    published = load_state_dict(file)
    _check_shapes(file, published, shapes)
    folded = {name: fold_pixel_difference(kind, published[name]) for name, kind in kind_of.items()}
    converted.load_state_dict(published | folded, strict=True, assign=True)

    network = PlainPiDiNet(converted.eval().requires_grad_(False), getattr(torch, dtype))
    return network.to(device).to(memory_format=torch.channels_last)


def fold_pixel_difference(kind: str, weight: Tensor) -> Tensor:
    """Return the plain kernel that equals the pixel-difference convolution of `kind` with this (out, in, 3, 3) weight.

    `kind` is cd (central), ad (angular), rd (radial: the kernel becomes 5x5) or cv (plain already). Source:
    zhuoinoulu/pidinet, models/convert_pidinet.py.
    """
    taps = weight.flatten(2)
    if kind == "cd":
        folded = weight.clone()
        folded[:, :, 1, 1] -= weight.sum((2, 3))
        return folded
    if kind == "ad":
        return (taps - taps[:, :, [3, 0, 1, 6, 4, 2, 7, 8, 5]]).view_as(weight)
    if kind == "rd":
        folded = weight.new_zeros(*weight.shape[:2], 25)
        folded[:, :, [0, 2, 4, 10, 14, 20, 22, 24]] = taps[:, :, 1:]
        folded[:, :, [6, 7, 8, 11, 13, 16, 17, 18]] = -taps[:, :, 1:]
        return folded.view(*weight.shape[:2], 5, 5)
    return weight


class PlainPiDiNet(nn.Module):
    """The network in its plain form. Of its five maps only the fused one is computed."""

    def __init__(self, converted: nn.Module, dtype: torch.dtype) -> None:
        """Take over the layers of controlnet_aux's PiDiNet, built with `convert=True` and loaded."""
        super().__init__()
        layers = dict(converted.named_modules())
        # Stays in float32: its kernels are differences that sum to zero. With their taps rounded to bfloat16 they do
        # not, flat colour leaks through, and 0.2 % of a sketch's pixels flip instead of 0.05 % (measured).
        self.init_block = layers["init_block"]
        self.scales = nn.ModuleList(
            nn.Sequential(*(_Block(layers[f"block{scale}_{number}"]) for number in range(1, blocks + 1)))
            for scale, blocks in enumerate(BLOCKS_PER_SCALE, start=1)
        ).to(dtype)
        self.sides = nn.ModuleList(
            _Side(layers[f"dilations.{scale}"], layers[f"attentions.{scale}"], layers[f"conv_reduces.{scale}.conv"])
            for scale in range(len(BLOCKS_PER_SCALE))
        ).to(dtype)
        self._dtype = dtype
        self.scale_weights = nn.Buffer(layers["classifier"].get_parameter("weight").flatten())
        self.bias = nn.Buffer(layers["classifier"].get_parameter("bias"))

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Map RGB in [0, 1], float32, to the probability of an edge, (batch, 1, height, width) float32."""
        size = images_bchw.shape[-2:]
        features = self.init_block(images_bchw).to(self._dtype)
        logits: Tensor = self.bias
        for weight, blocks, side in zip(self.scale_weights, self.scales, self.sides, strict=True):
            features = blocks(features)
            pooled = F.max_pool2d(features, 2)
            side_map = F.interpolate(side(features).float(), size, mode="bilinear", align_corners=False)
            logits = logits + weight * side_map
            features = pooled
        return logits.sigmoid()


class _Block(nn.Module):
    """A residual block: depthwise convolution, ReLU, 1x1 convolution, sum.

    The 1x1 convolution is a matrix product over the pixels, so that one product also adds the residual.
    """

    def __init__(self, converted: nn.Module) -> None:
        super().__init__()
        layers = dict(converted.named_children())
        self.depthwise = layers["conv1"]
        self.shortcut = layers.get("shortcut", nn.Identity())
        self.mixing = nn.Buffer(layers["conv2"].get_parameter("weight").flatten(1).t().contiguous())

    def forward(self, features: Tensor) -> Tensor:
        """Return the block's result, which overwrites `features` where the channels stay as many."""
        rectified = self.depthwise(features).relu_()
        result: Tensor = self.shortcut(features).contiguous(memory_format=torch.channels_last)
        pixels = result.permute(0, 2, 3, 1).view(-1, result.shape[1])
        pixels.addmm_(rectified.permute(0, 2, 3, 1).flatten(0, 2), self.mixing)
        return result


class _Side(nn.Module):
    """What one scale says of edges: four dilated convolutions, gated by a spatial attention, reduced to one channel."""

    def __init__(self, dilations: nn.Module, attention: nn.Module, reduction: nn.Module) -> None:
        super().__init__()
        self.narrow = dilations.get_submodule("conv1")
        self.dilated = nn.ModuleList(dilations.get_submodule(f"conv2_{number}") for number in (1, 2, 3, 4))
        self.attention = nn.Sequential(attention.get_submodule("conv1"), attention.get_submodule("conv2"), nn.Sigmoid())
        self.reduction = nn.Buffer(reduction.get_parameter("weight"))
        self.bias = nn.Buffer(reduction.get_parameter("bias"))

    def forward(self, features: Tensor) -> Tensor:
        """Map the features of a scale to its (batch, 1, height, width) edge map; `features` are overwritten."""
        narrow = self.narrow(features.relu_())
        context: Tensor = self.dilated[0](narrow)
        for convolution in self.dilated[1:]:
            context += convolution(narrow)
        # The gate is one number for a pixel: reducing first and gating then is the same, on one channel instead of 24.
        response = F.conv2d(context, self.reduction)
        gate: Tensor = self.attention(context.relu_())
        return response * gate + self.bias


def _check_shapes(file: WeightsFile, published: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise WeightsError, naming the first difference and how many there are, unless names and shapes are equal."""
    found = {name: tuple(value.shape) for name, value in published.items()}
    different = [
        name for name in (*shapes, *sorted(found.keys() - shapes.keys())) if found.get(name) != shapes.get(name)
    ]
    if different:
        name = different[0]
        raise WeightsError(
            f"{file.path} must hold PiDiNet {VARIANT} with {CHANNELS} channels, whose {name} has shape"
            f" {shapes.get(name, 'none')}, got {found.get(name, 'none')} (and {len(different) - 1} more differences);"
            " take table5_pidinet.pth"
        )
