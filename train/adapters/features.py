"""What a frozen base is given by an adapter: its feature maps for the condition pictures of a batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from train.base.protocol import FrozenDiffusion


def adapter_features(
    base: FrozenDiffusion, adapter: Callable[[Tensor], Sequence[Tensor]], condition_bchw: Tensor
) -> Sequence[Tensor]:
    """Run the adapter on a uint8 condition, its products in the base model's dtype and its weights in float32."""
    picture = condition_bchw.to(base.device, non_blocking=True).float() / 255
    with torch.autocast(base.device.type, base.dtype, enabled=base.dtype is not torch.float32):
        return adapter(picture.contiguous(memory_format=torch.channels_last))
