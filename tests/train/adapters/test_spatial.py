"""The adapters: as many parameters as the released ones, maps that fit the base, weights that a seed decides."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stages.errors import ConfigError
from stages.records import Condition
from tests.train.small_runs import CHANNELS, shapes_of, small_adapter
from train.adapters.spatial import AdapterConfig, adapter_channels, build_adapter, compose, native_shapes
from train.base.protocol import SD1_SHAPES, SDXL_SHAPES, FeatureShape

PARAMETERS = {
    ("full", 1): 77_000_640,
    ("full", 3): 77_369_280,
    ("light", 3): 18_689_200,
    ("light", 1): 18_689_200 - 2 * 64 * 320 // 4,  # the first convolution sees 64 channels of 192
    ("tiny", 3): 5_083_960,
    ("tiny", 1): 5_083_960 - 2 * 64 * 320 // 8,
    ("full_xl", 1): 77_553_600,
    ("full_xl", 3): 79_028_160,
}
"""Computed from the class definitions of TencentARC/T2I-Adapter."""


def without_memory(kind: Any, in_channels: int) -> nn.Module:
    """An adapter in its real size, of which torch knows the shapes only."""
    with torch.device("meta"):
        return build_adapter(AdapterConfig(kind=kind), in_channels, native_shapes(kind))


@pytest.mark.parametrize(("kind", "in_channels"), PARAMETERS)
def test_an_adapter_has_the_parameters_of_the_released_one(kind: str, in_channels: int) -> None:
    adapter = without_memory(kind, in_channels)
    assert sum(parameter.numel() for parameter in adapter.parameters()) == PARAMETERS[kind, in_channels]


@pytest.mark.parametrize(("kind", "in_channels"), PARAMETERS)
def test_there_is_one_map_for_each_scale_of_the_base(kind: str, in_channels: int) -> None:
    maps = without_memory(kind, in_channels)(torch.empty(2, in_channels, 512, 768, device="meta"))
    expected = [(2, shape.channels, 512 // shape.stride, 768 // shape.stride) for shape in native_shapes(kind)]
    assert [tuple(each.shape) for each in maps] == expected


def test_stable_diffusion_takes_maps_at_these_places() -> None:
    assert [(shape.channels, shape.stride) for shape in SD1_SHAPES] == [(320, 8), (640, 16), (1280, 32), (1280, 64)]


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (small_adapter(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_building_an_adapter_does_not_disturb_other_random_numbers() -> None:
    before = torch.get_rng_state()
    small_adapter()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["full", "light", "tiny"])
def test_an_adapter_of_stable_diffusion_does_not_fit_sdxl(kind: Any) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"^adapter\.kind must give maps at strides \[16, 16, 32, 32\], which the base model takes, got '{kind}' "
        r"with \[16, 32, 64, 128\]; full, light and tiny fit Stable Diffusion 1\.x and 2\.x$",
    ):
        build_adapter(AdapterConfig(kind=kind), 3, SDXL_SHAPES)


def test_an_adapter_of_sdxl_does_not_fit_stable_diffusion() -> None:
    with pytest.raises(ConfigError, match=r"strides \[8, 16, 32, 64\], .* got 'full_xl' with \[8, 8, 16, 16\]; "):
        build_adapter(AdapterConfig(kind="full_xl"), 3, SD1_SHAPES)


def test_a_light_adapter_needs_two_equal_last_scales() -> None:
    shapes = [FeatureShape(*each) for each in [(8, 8), (16, 16), (16, 32), (24, 64)]]
    with pytest.raises(
        ConfigError,
        match=r"^adapter\.kind 'light' must have two equal last scales, got channels \[8, 16, 16, 24\]; use full$",
    ):
        build_adapter(AdapterConfig(kind="light"), 3, shapes)


@pytest.mark.parametrize("condition", [each for each in Condition if each is not Condition.LATENTS])
def test_sketch_and_canny_have_one_channel_unless_three_are_asked_for(condition: Condition) -> None:
    expected = 1 if condition in ("sketch", "canny") else 3
    assert adapter_channels(AdapterConfig(), condition) == expected
    assert [adapter_channels(AdapterConfig(in_channels=each), condition) for each in (1, 3)] == [1, 3]


def test_features_of_several_adapters_are_added_with_their_weights() -> None:
    picture = torch.rand(2, 1, 64, 64)
    features: list[list[Tensor]] = [small_adapter(seed=seed)(picture) for seed in (1, 2, 3)]
    composed = compose(features, [1.0, 0.5, -2.0])
    assert [each.shape[1] for each in composed] == list(CHANNELS)
    for scale, ours in enumerate(composed):
        expected = 1.0 * features[0][scale] + 0.5 * features[1][scale] - 2.0 * features[2][scale]
        torch.testing.assert_close(ours, expected)


def test_one_adapter_with_weight_one_is_itself() -> None:
    features: list[Tensor] = small_adapter()(torch.rand(1, 1, 64, 64))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(compose([features], [1.0]), features, strict=True))


def test_adapters_of_different_bases_cannot_be_added() -> None:
    picture = torch.rand(1, 1, 64, 64)
    four: list[Tensor] = small_adapter()(picture)
    with pytest.raises(ValueError, match="zip"):
        compose([four, four[:3]], [1.0, 1.0])


def test_a_small_adapter_gives_maps_of_the_sizes_that_its_shapes_say() -> None:
    maps: list[Tensor] = small_adapter()(torch.rand(1, 1, 64, 128))
    expected = [(1, shape.channels, 64 // shape.stride, 128 // shape.stride) for shape in shapes_of("full")]
    assert [tuple(each.shape) for each in maps] == expected
