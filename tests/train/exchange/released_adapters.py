"""The networks of TencentARC's released files, restated: the same computation under the same parameter names.

SD:ldm/modules/encoders/adapter.py, Adapter and Adapter_light as the released files use them (1 x 1 second convolutions,
average pooling, no skip convolutions), and XL:Adapter/models/adapters.py. ComfyUI loads into the same modules.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ReleasedBlock(nn.Module):
    def __init__(self, channels_in: int, channels: int, down: bool) -> None:
        super().__init__()
        if channels_in != channels:
            self.in_conv = nn.Conv2d(channels_in, channels, 1)
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, 1)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        if self.down:
            x = nn.functional.avg_pool2d(x, 2)
        if hasattr(self, "in_conv"):
            x = self.in_conv(x)
        hidden: Tensor = self.block2(torch.relu(self.block1(x)))
        return hidden + x


class ReleasedAdapter(nn.Module):
    """Two blocks a scale, counted through; of the scales in `down`, the first block halves the map."""

    def __init__(self, in_channels: int, channels: Sequence[int], factor: int, down: Sequence[int]) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(factor)
        self.conv_in = nn.Conv2d(in_channels * factor**2, channels[0], 3, padding=1)
        before = [channels[0], *channels]
        self.body = nn.ModuleList()
        for scale, width in enumerate(channels):
            self.body.append(ReleasedBlock(before[scale], width, down=scale in down))
            self.body.append(ReleasedBlock(width, width, down=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = self.conv_in(self.unshuffle(x)), []
        for block in self.body:
            x = block(x)
            maps.append(x)
        return maps[1::2]


class ReleasedThinBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.block2(torch.relu(self.block1(x)))
        return hidden + x


class ReleasedExtractor(nn.Module):
    def __init__(self, channels_in: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.in_conv = nn.Conv2d(channels_in, hidden, 1)
        self.body = nn.Sequential(*(ReleasedThinBlock(hidden) for _ in range(4)))
        self.out_conv = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out_conv(self.body(self.in_conv(x)))
        return result


class ReleasedLightAdapter(nn.Module):
    """One extractor a scale; all but the first halve the map. `share` is 4 in the released files."""

    def __init__(self, in_channels: int, channels: Sequence[int], share: int = 4) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(8)
        before = [in_channels * 64, *channels]
        self.body = nn.ModuleList(
            ReleasedExtractor(before[scale], width // share, width) for scale, width in enumerate(channels)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = self.unshuffle(x), []
        for scale, extractor in enumerate(self.body):
            x = extractor(nn.functional.avg_pool2d(x, 2) if scale else x)
            maps.append(x)
        return maps


def released(kind: str, in_channels: int, channels: Sequence[int]) -> nn.Module:
    """The released network of a kind; tiny is a light one with an eighth of the channels hidden."""
    if kind in ("light", "tiny"):
        return ReleasedLightAdapter(in_channels, channels, 4 if kind == "light" else 8)
    factor, down = (8, (1, 2, 3)) if kind == "full" else (16, (2,))
    return ReleasedAdapter(in_channels, channels, factor, down)
