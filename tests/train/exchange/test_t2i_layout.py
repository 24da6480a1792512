"""The released names: our parameters under them run in the released networks, and come back as they were."""

import pytest
import torch

from tests.train.exchange.released_adapters import released
from tests.train.small_runs import CHANNELS, small_adapter
from train.exchange.t2i_layout import from_t2i, is_diffusers, is_t2i, to_t2i

KINDS = ("full", "light", "tiny", "full_xl")


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_released_network_takes_our_parameters_and_gives_the_same_features(kind: str, in_channels: int) -> None:
    ours = small_adapter(kind, in_channels)
    theirs = released(kind, in_channels, CHANNELS)
    theirs.load_state_dict(to_t2i(ours.state_dict()), strict=True)
    picture = torch.rand(2, in_channels, 64, 128)
    for mine, other in zip(ours(picture), theirs(picture), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "in_channels", "parameters"),
    [("full", 1, 77_000_640), ("light", 3, 18_689_200), ("tiny", 3, 5_083_960), ("full_xl", 3, 79_028_160)],
)
def test_at_full_size_the_features_are_the_same_too(kind: str, in_channels: int, parameters: int) -> None:
    channels = (320, 640, 1280, 1280)
    ours, theirs = small_adapter(kind, in_channels, channels), released(kind, in_channels, channels)
    theirs.load_state_dict(to_t2i(ours.state_dict()), strict=True)
    assert sum(each.numel() for each in theirs.parameters()) == parameters
    picture = torch.rand(1, in_channels, 128, 128)
    for mine, other in zip(ours(picture), theirs(picture), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_every_name_holds_the_same_tensor(kind: str) -> None:
    tensors = small_adapter(kind).state_dict()
    back = from_t2i(to_t2i(tensors))
    assert list(back) == list(tensors)
    assert all(back[name] is tensors[name] for name in tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_released_file_with_a_prefix_is_read_too(kind: str) -> None:
    tensors = small_adapter(kind).state_dict()
    prefixed = {f"adapter.{name}": tensor for name, tensor in to_t2i(tensors).items()}
    assert is_t2i(prefixed)
    assert list(from_t2i(prefixed)) == list(tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_layouts_are_told_apart(kind: str) -> None:
    tensors = small_adapter(kind).state_dict()
    renamed = to_t2i(tensors)
    assert (is_diffusers(tensors), is_t2i(tensors)) == (True, False)
    assert (is_diffusers(renamed), is_t2i(renamed)) == (False, True)


def test_other_networks_are_neither() -> None:
    names = ("style_embedding", "transformer_layes.0.ln_1.weight", "body.0.weight", "conv_in.weight")
    assert not is_t2i(names)
    assert not is_diffusers(names)
