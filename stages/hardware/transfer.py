"""Images on their way to where a network is."""

from typing import TYPE_CHECKING

from stages.records import UInt8Array

if TYPE_CHECKING:
    from torch import Tensor


def to_device(images_bhwc: UInt8Array, device: str) -> "Tensor":
    """Return RGB images (batch, height, width, 3) on the device as (batch, 3, height, width) uint8, in channels-last.

    A GPU copies them by itself from pinned memory, while the processor goes on to what is done with them.
    """
    import torch

    images = torch.from_numpy(images_bhwc)
    if device != "cpu":
        images = images.pin_memory().to(device, non_blocking=True)
    return images.permute(0, 3, 1, 2)
