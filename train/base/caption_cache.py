"""Captions as the UNet sees them, embedded once while they are remembered.

Captions stay live in training (one of five at random, some dropped), so their embeddings are no layer on disk but a
bounded cache: 118 KB each for Stable Diffusion 1.x. The invariant: on a CPU an embedding does not depend on the batch
that its caption was in, nor on what was remembered, so a resumed run sees the very same ones.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from train.base.protocol import FrozenDiffusion


class CaptionCache:
    """Remembers the embeddings of the captions that were used last."""

    def __init__(self, base: FrozenDiffusion, capacity: int) -> None:
        """Remember at most `capacity` embeddings, on the device of `base`."""
        self._base = base
        self._capacity = capacity
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """Return (batch, tokens, channels) for captions, in their order."""
        missing = [caption for caption in dict.fromkeys(captions) if caption not in self._known]
        embeddings = {caption: self._known[caption] for caption in captions if caption in self._known}
        # Sums of a matrix product may differ with the number of rows on a CPU: one caption at a time.
        batches = [[caption] for caption in missing] if self._base.device.type == "cpu" else [missing]
        for batch in batches:
            if batch:
                # Clones, because a row of a batch keeps the whole batch in memory.
                rows = [row.clone() for row in self._base.encode_captions(batch)]
                embeddings |= zip(batch, rows, strict=True)
        for caption in captions:
            self._known[caption] = embeddings[caption]
            self._known.move_to_end(caption)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return torch.stack([embeddings[caption] for caption in captions])
