"""Winograd's convolutions against torch's, in double precision where rounding is the question."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.hardware.winograd import INPUTS, KERNEL, OUTPUTS, WinogradConv2d, tiles_of, transforms, use_winograd


def convolution(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias).requires_grad_(False)


def features(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).relu()


def exact(layer: nn.Conv2d, features_bchw: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.double()
    return functional.conv2d(features_bchw.double(), layer.weight.double(), bias, padding=1)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.std())


def test_four_outputs_in_one_direction_come_of_six_products() -> None:
    of_inputs, of_filters, of_outputs = transforms()
    signal, weights = np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0]), np.array([2.0, -7.0, 1.0])
    found = of_outputs @ ((of_filters @ weights) * (of_inputs @ signal))
    np.testing.assert_allclose(found, np.correlate(signal, weights, mode="valid"), atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 128), (33, 35), (130, 50), (3, 500)])
def test_it_is_the_convolution_at_any_size(height: int, width: int, bias: bool) -> None:
    layer, features_bchw = convolution(130, 140, bias), features(2, 130, height, width)
    found = WinogradConv2d(layer)(features_bchw)
    assert found.shape == (2, 140, height, width)
    assert relative_error(found, exact(layer, features_bchw)) < 5e-5


def test_its_rounding_error_is_of_the_size_of_a_direct_convolutions() -> None:
    layer, features_bchw = convolution(256, 128), features(1, 256, 64, 64)
    expected = exact(layer, features_bchw)
    error = (WinogradConv2d(layer)(features_bchw) - expected).square().mean().sqrt()
    assert error < 3e-6 * expected.std()  # 1.2e-6 here, torch's own kernel 0.6e-6, at the points 0, 1, -1, 2, -2 2.6e-6


def test_an_image_does_not_depend_on_its_batch() -> None:
    layer, features_bchw = WinogradConv2d(convolution(128, 128)), features(3, 128, 40, 36)
    together = layer(features_bchw)
    assert torch.equal(together[1:2], layer(features_bchw[1:2]))


def test_small_maps_are_convolved_directly() -> None:
    layer, features_bchw = convolution(128, 128), features(1, 128, 31, 33)
    assert torch.equal(WinogradConv2d(layer)(features_bchw), layer(features_bchw))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_stays(memory_format: torch.memory_format) -> None:
    features_bchw = features(1, 128, 32, 64).contiguous(memory_format=memory_format)
    assert WinogradConv2d(convolution(128, 128))(features_bchw).is_contiguous(memory_format=memory_format)


def test_tiles_overlap_by_what_the_kernel_covers() -> None:
    strip_hwc = torch.arange(10 * 14 * 2.0).view(10, 14, 2)
    tiles = tiles_of(strip_hwc)
    assert tiles.shape == (2, 3, INPUTS, INPUTS, 2)
    assert INPUTS - OUTPUTS == KERNEL - 1
    assert torch.equal(tiles[1, 2], strip_hwc[4:10, 8:14])


@pytest.mark.parametrize(
    ("layer", "gains"),
    [
        (nn.Conv2d(128, 256, 3, padding=1), True),
        (nn.Conv2d(64, 256, 3, padding=1), False),
        (nn.Conv2d(256, 64, 3, padding=1), False),
        (nn.Conv2d(128, 128, 3, padding=1, stride=2), False),
        (nn.Conv2d(128, 128, 3, padding=1, groups=2), False),
        (nn.Conv2d(128, 128, 3, padding=2, dilation=2), False),
        (nn.Conv2d(128, 128, 3), False),
        (nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(128, 128, 1), False),
        (nn.Conv2d(128, 128, 5, padding=2), False),
    ],
)
def test_only_what_gains_by_it_is_replaced(layer: nn.Conv2d, gains: bool) -> None:
    network = nn.Sequential(nn.Sequential(layer.requires_grad_(False)), nn.ReLU())
    use_winograd(network)
    (found,) = network.get_submodule("0").children()
    assert isinstance(found, WinogradConv2d) == gains
