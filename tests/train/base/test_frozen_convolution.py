"""Convolutions that forget their input compute what torch's compute, and hold less."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from train.base.config import TinyDiffusionConfig
from train.base.frozen_convolution import FrozenConv2d, forget_inputs
from train.base.tiny import tiny_parts


def frozen(network: nn.Module) -> nn.Module:
    return network.requires_grad_(False).eval()


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(6, 8, 3, padding=1),
        nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(6, 8, 1),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3),
    ],
    ids=["same", "strided", "pointwise", "grouped"],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_output_and_gradient_have_torchs_bits(convolution: nn.Conv2d, memory_format: torch.memory_format) -> None:
    theirs = frozen(convolution).to(memory_format=memory_format)
    ours = copy.deepcopy(theirs)
    forget_inputs(ours)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 6, 10, 12, generator=generator).to(memory_format=memory_format)
    found = []
    for network in (theirs, ours):
        given = image.clone().requires_grad_()
        output = network(given)
        (output * output.detach().cos()).sum().backward()
        assert given.grad is not None
        found.append((output.detach(), given.grad))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=1e-6)


def kept_bytes(run: Callable[[], Tensor]) -> int:
    """What autograd holds between forward and backward; a storage that is held twice counts once."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    assert output.requires_grad
    return sum(storages.values())


def test_a_unet_gives_the_same_gradients_and_keeps_less() -> None:
    theirs = tiny_parts(TinyDiffusionConfig()).unet
    frozen(theirs)
    ours = copy.deepcopy(theirs)
    forget_inputs(ours)
    assert sum(type(module) is FrozenConv2d for module in ours.modules()) > 20
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, 4, 16, 16, generator=generator)
    context = torch.randn(2, 77, 64, generator=generator)
    found = []
    for unet in (theirs, ours):
        given = noisy.clone().requires_grad_()
        run = lambda: unet(given, torch.tensor([3, 700]), encoder_hidden_states=context).sample  # noqa: B023, E731
        kept = kept_bytes(run)
        run().square().sum().backward()  # type: ignore[no-untyped-call]
        found.append((kept, given.grad))
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-5, atol=1e-6)
    weights = sum(parameter.numel() * 4 for parameter in theirs.parameters())
    assert found[1][0] - weights < 0.9 * (found[0][0] - weights)
