"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3), for float32 on a CPU.

    (H, W, C) ──tiles of 6x6, every 4 pixels──> (tiles, 36, C) ──transform──> (tiles, 36, C)
                                                                 36 matrix products │ with the transformed filters
    (H, W, K) <───────tiles of 4x4────────────── (tiles, 16, K) <──transform── (tiles, 36, K)

In each direction, 4 outputs are coefficients of a product of two polynomials, which is found from its values at 6
points: 36 multiplications a tile and not 144 (Lavin and Gray, arXiv 1509.09308). torch has it on GPUs alone, in cuDNN.
Invariant: the result is the convolution's, up to rounding (twice the error of torch's own kernel, measured).
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

KERNEL = 3
OUTPUTS = 4
"""The side of a tile of outputs."""
INPUTS = OUTPUTS + KERNEL - 1
"""The side of the tile of inputs that they depend on, and the number of points."""

POINTS = (0.0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)
"""Where the polynomials are evaluated, besides infinity. The customary 0, 1, -1, 2, -2 lose more than twice as much:
powers of numbers near 1 stay near 1 (Barabasz et al., arXiv 1803.10986). These are the best two fractions of powers of
two, of a grid of pairs."""

TILES_AT_ONCE = 128
"""Enough for matrix products at their best rate, few enough for 36 matrices of 256 channels to stay in a cache."""
LEAST_CHANNELS = 128
"""Of the inputs and of the outputs. Below, the transforms cost what the products save."""
LEAST_PIXELS = 1024
"""Below, too few tiles share the transformed filters, which are four times as large as the filters."""

Matrix = npt.NDArray[np.float64]


def use_winograd(network: nn.Module) -> None:
    """Replace each convolution of a network that gains by it."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d) and _gains(layer):
                setattr(parent, name, WinogradConv2d(layer))


def _gains(layer: nn.Conv2d) -> bool:
    is_plain = layer.kernel_size == (KERNEL, KERNEL) and layer.padding == (1, 1) and layer.padding_mode == "zeros"
    is_dense = layer.stride == layer.dilation == (1, 1) and layer.groups == 1
    return is_plain and is_dense and min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS


class WinogradConv2d(nn.Module):
    """What a dense 3x3 convolution with stride 1 and padding 1 computes, for inference in float32 on a CPU."""

    def __init__(self, direct: nn.Conv2d) -> None:
        """Take over the weights of a convolution, which itself serves small maps."""
        super().__init__()
        self.direct = direct
        of_inputs, of_filters, of_outputs = (torch.from_numpy(matrix) for matrix in transforms())
        filters_ijck = torch.einsum("iy,kcyx,jx->ijck", of_filters, direct.weight.detach().double(), of_filters)
        self.filters_pck = nn.Buffer(filters_ijck.flatten(0, 1).float().contiguous())
        self.bias = nn.Buffer(torch.zeros(direct.out_channels) if direct.bias is None else direct.bias.detach())
        self.of_inputs = nn.Buffer(torch.kron(of_inputs, of_inputs).float())
        self.of_outputs = nn.Buffer(torch.kron(of_outputs, of_outputs).float())

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Return the convolution (batch, out_channels, height, width), in the memory format of the features."""
        height, width = features_bchw.shape[2:]
        if height * width < LEAST_PIXELS:
            result_bchw: Tensor = self.direct(features_bchw)
            return result_bchw
        rows, columns = -(-height // OUTPUTS), -(-width // OUTPUTS)
        result_bhwk = features_bchw.new_empty(
            len(features_bchw), rows * OUTPUTS, columns * OUTPUTS, self.direct.out_channels
        )
        for features_hwc, result_hwk in zip(features_bchw.permute(0, 2, 3, 1), result_bhwk, strict=True):
            self._convolve(features_hwc, result_hwk)
        result_bchw = result_bhwk[:, :height, :width].permute(0, 3, 1, 2)
        return result_bchw.contiguous() if features_bchw.is_contiguous() else result_bchw

    def _convolve(self, features_hwc: Tensor, result_hwk: Tensor) -> None:
        """Convolve an image, some rows of tiles after the other; the sides of `result_hwk` are whole tiles."""
        height, width, channels = result_hwk.shape
        columns = width // OUTPUTS
        strip_outputs = OUTPUTS * -(-TILES_AT_ONCE // columns)
        strip_hwc = features_hwc.new_zeros(strip_outputs + KERNEL - 1, width + KERNEL - 1, features_hwc.shape[2])
        for top in range(0, height, strip_outputs):
            outputs_hwk = result_hwk[top : top + strip_outputs]
            inputs_hwc = strip_hwc[: len(outputs_hwk) + KERNEL - 1]
            _fill(inputs_hwc, features_hwc, top - 1)
            tiles_npc = tiles_of(inputs_hwc).reshape(-1, INPUTS * INPUTS, inputs_hwc.shape[2])
            values_npc = torch.bmm(self.of_inputs.expand(len(tiles_npc), -1, -1), tiles_npc)
            products_npk = values_npc.new_empty(*values_npc.shape[:2], channels)
            torch.bmm(values_npc.transpose(0, 1), self.filters_pck, out=products_npk.transpose(0, 1))
            made_npk = torch.bmm(self.of_outputs.expand(len(products_npk), -1, -1), products_npk)
            in_rows = made_npk.view(-1, columns, OUTPUTS, OUTPUTS, channels).transpose(1, 2)
            torch.add(in_rows, self.bias, out=outputs_hwk.view(in_rows.shape))


def _fill(strip_hwc: Tensor, features_hwc: Tensor, top: int) -> None:
    """Copy the rows of an image from `top` on; what lies outside is zero, as it is in `strip_hwc` before the first."""
    height, width = features_hwc.shape[:2]
    first, last = max(top, 0), min(top + len(strip_hwc), height)
    strip_hwc[first - top : last - top, 1 : width + 1] = features_hwc[first:last]
    strip_hwc[last - top :] = 0


def tiles_of(strip_hwc: Tensor) -> Tensor:
    """View (height, width, channels) as overlapping tiles: (rows, columns, 6, 6, channels)."""
    return strip_hwc.unfold(0, INPUTS, OUTPUTS).unfold(1, INPUTS, OUTPUTS).permute(0, 1, 3, 4, 2)


def transforms() -> tuple[Matrix, Matrix, Matrix]:
    """Return the matrices of inputs (6, 6), filters (6, 3) and outputs (4, 6), one row or column for each point.

    For d of 6 inputs and g of 3 weights, outputs @ ((filters @ g) * (inputs @ d)) is what g gives at 4 places of d.
    """
    inputs = np.linalg.inv(_powers(INPUTS)).T
    # Any factor may move from the one to the other; equal ones keep the numbers of one size. Powers of two are exact.
    sizes = 2.0 ** np.round(np.log2(np.abs(inputs).max(axis=1, keepdims=True)))
    return inputs / sizes, _powers(KERNEL) * sizes, _powers(OUTPUTS).T


def _powers(number: int) -> Matrix:
    """Return (points, number): each point's powers from 0 on; of infinity the highest alone counts."""
    finite = np.power.outer(np.array(POINTS), np.arange(number))
    return np.vstack([finite, np.eye(number)[-1]])
