"""What the condition is worth: losses on held-out samples with fixed time steps and noise.

    each sample ──same t, same noise──> loss with its condition | with another sample's | without adapter

Paired: the three losses of a sample differ in nothing but the condition, so their differences have a small standard
error although the losses themselves vary widely over time steps. The draws do not depend on the step of training.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from train.base.caption_cache import CaptionCache
from train.base.protocol import FrozenDiffusion
from train.data.batch import Batch, VisitReader, stack
from train.loop.step import losses_of

if TYPE_CHECKING:
    Adapter = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class PairedLosses:
    """The losses of each validation sample, (samples,)."""

    right: Tensor
    """With the sample's own condition."""
    shuffled: Tensor
    """With the condition of the sample before it."""
    without: Tensor
    """Of the base model alone."""

    def means(self) -> dict[str, float]:
        """The three mean losses, as metrics."""
        return {
            "validation/loss": float(self.right.mean()),
            "validation/loss_shuffled": float(self.shuffled.mean()),
            "validation/loss_without": float(self.without.mean()),
        }

    def margin(self, other: Tensor) -> tuple[float, float]:
        """How much lower the loss with the right condition is, and the standard error of that."""
        difference = other - self.right
        return float(difference.mean()), float(difference.std() / len(difference) ** 0.5)


@torch.no_grad()
def paired_losses(
    base: FrozenDiffusion,
    adapter: "Adapter",
    captions: CaptionCache,
    read: VisitReader,
    samples: int,
    batch_size: int,
) -> PairedLosses:
    """Measure the losses of the first `samples` visits of `read`."""
    right, shuffled, without = [], [], []
    for batch, others in _batches(read, samples, batch_size):
        right.append(losses_of(base, adapter, captions, batch))
        shuffled.append(losses_of(base, adapter, captions, replace(batch, condition_bchw=others)))
        without.append(losses_of(base, None, captions, batch))
    return PairedLosses(torch.cat(right).cpu(), torch.cat(shuffled).cpu(), torch.cat(without).cpu())


def _batches(read: VisitReader, samples: int, batch_size: int) -> Iterator[tuple[Batch, Tensor]]:
    """Yield batches, and beside each the condition of the sample before each of its samples."""
    before = torch.from_numpy(read(samples - 1).condition_chw)[None]
    for start in range(0, samples, batch_size):
        batch = stack([read(index) for index in range(start, min(start + batch_size, samples))], pin=False)
        yield batch, torch.cat([before, batch.condition_bchw[:-1]])
        before = batch.condition_bchw[-1:]
