"""The scenes that the base model is trained on, drawn in memory: nothing lies on disk.

(seed, number) ──compose──> without people? ──draw──> (3, 64, 64) uint8, its captions
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.sources.synthetic.scenes import draw_scene
from stages.sources.synthetic.source import SyntheticSource
from train.scene_base.recipe import SIDE_PIXELS, BaseRecipe


@dataclass(frozen=True, slots=True)
class Scenes:
    """Pictures with their captions."""

    images_bchw: Tensor
    """uint8 RGB."""
    captions: tuple[tuple[str, ...], ...]
    """One to five of each."""

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, numbers: Sequence[int]) -> Tensor:
        """Take some pictures, as RGB in [-1, 1]."""
        chosen = self.images_bchw[torch.tensor(numbers, device=self.images_bchw.device)]
        return (chosen.float() / 127.5 - 1).to(memory_format=torch.channels_last)

    def to(self, device: str) -> "Scenes":
        """Move the pictures."""
        return Scenes(self.images_bchw.to(device), self.captions)


def draw_scenes(recipe: BaseRecipe) -> Scenes:
    """Draw the recipe's scenes."""
    source = SyntheticSource(seed=recipe.seed, first=recipe.first_scene, count=recipe.scenes, people=False)
    images_bhwc = torch.empty(recipe.scenes, SIDE_PIXELS, SIDE_PIXELS, 3, dtype=torch.uint8)
    captions = []
    for place, number in enumerate(source.numbers()):
        scene = draw_scene(recipe.seed, number, SIDE_PIXELS, SIDE_PIXELS)
        images_bhwc[place] = torch.from_numpy(scene.image_hwc)
        captions.append(scene.captions)
    return Scenes(images_bhwc.permute(0, 3, 1, 2), tuple(captions))
