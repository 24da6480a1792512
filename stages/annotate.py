"""Annotate: every condition of a data set from one decode of each stored image. Runs where the networks are.

    stored ──decode (threads)──> batch ──annotator 1, annotator 2, ...──> members ──PNG (threads)──> encoded
                 └── the next batch is decoded and the last one encoded while the networks run ──┘

Outcomes come in the order of the samples, whatever finishes first.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from stages.annotators.protocol import Annotator
from stages.errors import WorkerError
from stages.members import load_pixels
from stages.records import AnnotatedSample, ConditionMembers, EncodedSample, LoadedSample, Rejection, StoredSample

BACKLOG_BATCHES = 4
"""How many batches may wait for PNG encoding: a GPU that outruns the encoders must not fill the memory with pixels."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What turns stored samples into encoded ones: networks ready to run, and how."""

    annotators: tuple[Annotator, ...]
    batch_size: int
    encode: Callable[[AnnotatedSample], EncodedSample]
    """Makes the member files of a sample; called from the threads."""
    threads: ThreadPoolExecutor
    """Decodes and encodes beside the networks."""

    def __call__(
        self, samples: Sequence[StoredSample], progress: Callable[[int], None]
    ) -> list[EncodedSample | Rejection]:
        """Annotate and encode samples of one size; `progress` is told the number of samples after each batch."""
        batches = [samples[start : start + self.batch_size] for start in range(0, len(samples), self.batch_size)]
        outcomes: list[Future[EncodedSample] | Rejection] = []
        decoding = self._decode(batches[0]) if batches else []
        for number, batch in enumerate(batches):
            loaded = [future.result() for future in decoding]
            decoding = self._decode(batches[number + 1]) if number + 1 < len(batches) else []
            outcomes += [self._encode(outcome) for outcome in self._annotate(loaded)]
            _wait(outcomes[: -BACKLOG_BATCHES * self.batch_size][-len(batch) :])
            progress(len(batch))
        return [outcome if isinstance(outcome, Rejection) else outcome.result() for outcome in outcomes]

    def _decode(self, batch: Sequence[StoredSample]) -> list[Future[LoadedSample]]:
        return [self.threads.submit(load_pixels, stored) for stored in batch]

    def _encode(self, outcome: AnnotatedSample | Rejection) -> Future[EncodedSample] | Rejection:
        if isinstance(outcome, Rejection):
            return outcome
        return self.threads.submit(self.encode, outcome)

    def _annotate(self, batch: Sequence[LoadedSample]) -> list[AnnotatedSample | Rejection]:
        outcomes: list[AnnotatedSample | Rejection] = [AnnotatedSample(sample.stored, ()) for sample in batch]
        for annotator in self.annotators:
            for position, result in enumerate(annotate_in_halves(annotator, batch)):
                outcome = outcomes[position]
                if isinstance(outcome, Rejection):
                    continue
                if isinstance(result, Rejection):
                    outcomes[position] = result
                else:
                    outcomes[position] = AnnotatedSample(outcome.stored, outcome.members + result)
        return outcomes


def _wait(outcomes: Sequence[Future[EncodedSample] | Rejection]) -> None:
    for outcome in outcomes:
        if not isinstance(outcome, Rejection):
            outcome.result()


def annotate_in_halves(annotator: Annotator, batch: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
    """Run an annotator on a batch; if the GPU's memory does not hold it, on its halves.

    Raises WorkerError if one image alone does not fit.
    """
    import torch

    try:
        return annotator(batch)
    except torch.OutOfMemoryError as error:
        if len(batch) == 1:
            size = "x".join(str(side) for side in batch[0].image_hwc.shape[1::-1])
            raise WorkerError(
                f"{type(annotator).__name__} must have GPU memory for one {size} image, got {error}; "
                "use a smaller size_pixels or fewer annotators"
            ) from error
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return annotate_in_halves(annotator, batch[:middle]) + annotate_in_halves(annotator, batch[middle:])
