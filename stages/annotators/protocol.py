"""What an annotator is: pixels in, the members of one condition out.

    AnnotatorConfig ──build(device, weights)──> Annotator ──(samples)──> members | Rejection, one for each sample

The config is cheap and picklable: it travels to the workers and into dataset.json. The annotator holds the network and
lives where it was built. A condition depends on its own sample alone: batching must not show in the result beyond the
rounding of the floating-point sums.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from stages.annotators.condition import ConditionSpec
from stages.records import Condition, ConditionMembers, LoadedSample, Rejection
from stages.weights.store import WeightsStore


class Annotator(Protocol):
    """A loaded network, or plain code: ready when built, called from several threads at once on a CPU."""

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        """Annotate a batch of images of one size.

        Returns one entry for each sample, in the same order. Raises nothing for a sample that cannot be annotated:
        that is a `Rejection`. torch.OutOfMemoryError passes through; the caller halves the batch.
        """
        ...


class AnnotatorConfig(Protocol):
    """The settings of one annotator: one `[[annotators]]` table."""

    condition: ClassVar[Condition]
    algorithm_version: ClassVar[int]
    """Part of the fingerprint: raised whenever the same settings begin to give other bytes."""

    @property
    def kind(self) -> str: ...

    @property
    def spec(self) -> ConditionSpec:
        """What the condition is, as these settings make it; its members are the files that every sample gets."""
        ...

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        """The weights that `build` loads: (name in stages.weights.catalogue.MODELS, the user's own file or None)."""
        ...

    def resolved_dtype(self, device: str) -> str:
        """The dtype that the network runs in on this device ("none" without a network).

        Raises ConfigError if that is impossible, or if a library that the network needs is not installed.
        """
        ...

    def build(self, device: str, weights: WeightsStore) -> Annotator:
        """Load the network onto "cpu" or "cuda". Raises WeightsError if its weights are missing or damaged."""
        ...
