"""Convolutions of a frozen network that do not remember what went in.

    torch's    forward keeps input and weight ──> gradients of input, weight, bias
    here       forward keeps the weight only  ──> gradient of the input, all that a frozen network passes on

torch keeps the input of every convolution for the weight's gradient, even if nobody asks for one; in Stable Diffusion's
UNet that is a sixth of what a training step holds. Invariant: outputs and gradients have the same bits as torch's.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input


class FrozenConv2d(nn.Conv2d):
    """A convolution whose parameters get no gradients."""

    def forward(self, input: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and input.requires_grad):
            return super().forward(input)
        output: Tensor = _Forgetful.apply(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return output


def forget_inputs(network: nn.Module) -> None:
    """Make every convolution of a frozen network one that keeps its weight only; in place.

    The modules stay the same objects under the same names, so weights, hashes and hooks do not notice.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
            module.__class__ = FrozenConv2d


class _Forgetful(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.input_shape, ctx.how = input.shape, how
        stride, padding, dilation, groups = how
        return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        (gradient,) = gradients
        # torch's own function: it needs the input's shape, not its values.
        of_input: Tensor = conv2d_input(ctx.input_shape, weight, gradient, *ctx.how)  # type: ignore[no-untyped-call]
        return (of_input, *(None,) * (2 + len(ctx.how)))
