"""Which network stored parameters are, told by their shapes or by diffusers' config.json."""

from typing import Any

import pytest
import torch

from stages.errors import CheckpointError
from tests.train.small_runs import shapes_of, small_adapter
from train.adapters.spatial import AdapterConfig, build_adapter
from train.base.protocol import FeatureShape
from train.exchange.architecture import Architecture, architecture_of_config, architecture_of_tensors


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("kind", ["full", "light", "tiny", "full_xl"])
def test_shapes_tell_kind_channels_and_strides(kind: Any, in_channels: int) -> None:
    tensors = small_adapter(kind, in_channels).state_dict()
    assert architecture_of_tensors(tensors, "file") == Architecture(kind, in_channels, shapes_of(kind))


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("kind", ["full", "light", "tiny"])
def test_shapes_tell_adapters_of_the_small_base_model_of_scenes(kind: Any, in_channels: int) -> None:
    shapes = tuple(FeatureShape(channels, stride) for channels, stride in ((64, 4), (96, 8), (128, 16), (128, 32)))
    tensors = build_adapter(AdapterConfig(kind=kind), in_channels, shapes).state_dict()
    assert architecture_of_tensors(tensors, "file") == Architecture(kind, in_channels, shapes)


@pytest.mark.parametrize("kind", ["full", "light", "full_xl"])
def test_what_diffusers_writes_tells_the_same(kind: Any) -> None:
    config: Any = small_adapter(kind, 3).config
    assert architecture_of_config(config, "file") == Architecture(kind, 3, shapes_of(kind))


def test_a_condition_of_two_channels_is_refused() -> None:
    tensors = {"adapter.conv_in.weight": torch.zeros(8, 128, 3, 3)}
    with pytest.raises(
        CheckpointError,
        match=r"^file adapter\.conv_in\.weight must have 16, 48, 64, 192, 256, 768 input channels, got 128; "
        "give an adapter of a condition with 1 or 3 channels$",
    ):
        architecture_of_tensors(tensors, "file")


def test_an_adapter_of_three_scales_is_refused() -> None:
    tensors = {
        name: tensor for name, tensor in small_adapter().state_dict().items() if not name.startswith("adapter.body.3.")
    }
    with pytest.raises(CheckpointError, match=r"^file must have 4 scales, got 3; give an adapter of Stable Diffusion$"):
        architecture_of_tensors(tensors, "file")


def test_another_models_configuration_is_refused() -> None:
    with pytest.raises(
        CheckpointError,
        match=r"^config\.json must be a T2IAdapter's configuration, got KeyError 'adapter_type'; save it with",
    ):
        architecture_of_config({"_class_name": "AutoencoderKL"}, "config.json")
