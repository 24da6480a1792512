"""The convolution of an upsampled map, made before the upsampling, against torch's two layers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.hardware.upsampled import BEFORE, BLOCK, STRIDE, TAPS, WINDOW, UpsampledConv2d, bands


def two_layers(convolution: nn.Conv2d, features_bchw: Tensor) -> Tensor:
    upsampled = functional.interpolate(features_bchw, scale_factor=2, mode="bilinear", align_corners=True)
    result: Tensor = convolution(upsampled)
    return result


@pytest.mark.parametrize(("height", "width"), [(8, 8), (64, 48), (3, 5), (13, 40), (7, 130), (2, 2)])
def test_it_is_the_convolution_of_the_upsampled_map(height: int, width: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 5, 3, padding=1).requires_grad_(False)
    features_bchw = torch.randn(2, 6, height, width)
    found, expected = UpsampledConv2d(convolution)(features_bchw), two_layers(convolution, features_bchw)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 2e-6


def test_the_result_is_in_channels_last() -> None:
    made = UpsampledConv2d(nn.Conv2d(4, 6, 3, padding=1).requires_grad_(False))(torch.randn(1, 4, 16, 24))
    assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("length", [2, 8, 13, 64])
def test_each_block_is_made_of_its_window(length: int) -> None:
    """The middle tap alone must give the upsampled rows; what a block needs must lie in its window."""
    made = torch.zeros(2 * length, length)
    for number, block in enumerate(bands(length).view(-1, BLOCK, WINDOW, TAPS)[..., 1]):
        for row, weights in enumerate(block):
            for place in weights.nonzero().flatten().tolist():
                made[number * BLOCK + row, number * STRIDE - BEFORE + place] = weights[place]
    rows = torch.eye(length)[None]
    expected = functional.interpolate(rows, scale_factor=2, mode="linear", align_corners=True)[0].T
    assert torch.equal(made, expected)
