"""A 3x3 convolution of an upsampled map with a quarter of the multiplications, and without that map: for a CPU.

    (H, W, C) ──the 9 taps──> (H, 3, W, 3, K) ──upsampled down──> (2H, W, 3, K) ──upsampled across──> (2H, 2W, K)

A convolution's taps mix channels, upsampling mixes pixels: the sum is the same whichever comes first. So the taps are
applied first, on a quarter of the pixels. Then a row of the result is the sum of three upsampled rows, of each tap at
its place; that is a matrix with a narrow band of numbers, and a matrix product for each block of rows.
Invariant: the result is that of the two layers, up to rounding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

TAPS = 3
"""The side of the kernel."""
BLOCK = 16
"""How many rows, or columns, of the result are made at once."""
STRIDE, WINDOW, BEFORE = BLOCK // 2, BLOCK // 2 + 3, 1
"""Block n is made of the `WINDOW` rows of the map from n * STRIDE - BEFORE on; rows outside the map have no weight."""


class UpsampledConv2d(nn.Module):
    """What bilinear upsampling to twice the size (align_corners) and then a 3x3 convolution with padding 1 compute."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        """Take over the weights of the convolution, which has stride 1 and a bias."""
        super().__init__()
        self.taps = nn.Buffer(convolution.weight.detach().permute(2, 1, 3, 0).flatten(2).contiguous())
        self.bias = nn.Buffer(convolution.get_parameter("bias").detach())

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Return (batch, out_channels, 2 height, 2 width), in channels-last."""
        batch, _, height, width = features_bchw.shape
        down, across = bands(height), bands(width)
        result_bhwk = features_bchw.new_empty(batch, len(down) * BLOCK, len(across) * BLOCK, len(self.bias))
        for features_hwc, result_hwk in zip(features_bchw.permute(0, 2, 3, 1), result_bhwk, strict=True):
            self._convolve(features_hwc, down, across, result_hwk)
        return result_bhwk[:, : 2 * height, : 2 * width].permute(0, 3, 1, 2)

    def _convolve(self, features_hwc: Tensor, down: Tensor, across: Tensor, result_hwk: Tensor) -> None:
        """Write the result of one image, whose sides are whole blocks."""
        (height, width, _), channels = features_hwc.shape, len(self.bias)
        rows, columns = (STRIDE * (len(blocks) - 1) + WINDOW for blocks in (down, across))
        padding = (0, 0, BEFORE, columns - BEFORE - width, BEFORE, rows - BEFORE - height)
        padded_hwc = functional.pad(features_hwc, padding)
        tapped = features_hwc.new_empty(rows, TAPS, columns, TAPS * channels)
        for tap, weights in enumerate(self.taps):
            torch.bmm(padded_hwc, weights.expand(rows, -1, -1), out=tapped[:, tap])
        windows = tapped.view(rows * TAPS, -1).unfold(0, WINDOW * TAPS, STRIDE * TAPS).transpose(1, 2)
        upsampled_down = torch.bmm(down, windows).view(len(result_hwk), columns * TAPS, channels)
        for block, band in enumerate(across):
            window = upsampled_down[:, block * STRIDE * TAPS :][:, : WINDOW * TAPS]
            made = result_hwk[:, block * BLOCK : (block + 1) * BLOCK]
            torch.bmm(band.expand(len(window), -1, -1), window, out=made)
        result_hwk.add_(self.bias)


def bands(length: int) -> Tensor:
    """Return (blocks, BLOCK, WINDOW * TAPS): how each block of rows is made of its window, tap by tap.

    `length` is the number of rows of the map. Rows of the last block beyond twice as many are zero.
    """
    blocks = -(-2 * length // BLOCK)
    upsampling = functional.interpolate(torch.eye(length)[None], scale_factor=2, mode="linear", align_corners=True)[0].T
    # Row i of the result takes tap t at row i + t - 1 of the upsampled map, around which the convolution sees zeros.
    surrounded = functional.pad(upsampling, (0, 0, 1, 1))
    at_taps = torch.stack([surrounded[tap : tap + 2 * length] for tap in range(TAPS)], dim=-1)
    behind = STRIDE * (blocks - 1) + WINDOW - BEFORE - length
    whole = functional.pad(at_taps, (0, 0, BEFORE, behind, 0, blocks * BLOCK - 2 * length))
    by_block = whole.view(blocks, BLOCK, -1, TAPS)
    windows = [block[:, number * STRIDE :][:, :WINDOW] for number, block in enumerate(by_block)]
    return torch.stack(windows).flatten(2)
