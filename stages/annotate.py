"""Annotate: every condition of a data set from one decode of each stored image. Runs where the networks are.

    on a CPU    core 1   decode ── annotator 1, annotator 2, ... ── PNG │ the next batch ...
                core 2   decode ── annotator 1, annotator 2, ... ── PNG │ the next batch ...

    on a GPU    threads  decode ──> batch ──annotator 1, annotator 2, ...──> members ──PNG──> encoded
                              └─ the next batch is decoded and the last one encoded beside the networks ─┘

A core that works on an image of its own waits for no other. Cores that share an image wait for each other after every
layer, and the slowest sets the pace: two cores make 1.3 to 1.5 times as many images apart as together (measured with
every network here), and the result cannot depend on how many there are. Outcomes come in the order of the samples,
whatever finishes first.

Neighbouring shards overlap: once the last batch of one has begun, the first of the next may.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from stages.ahead import in_order
from stages.annotators.protocol import Annotator
from stages.errors import WorkerError
from stages.hardware.activity import doing
from stages.members import load_pixels
from stages.records import AnnotatedSample, ConditionMembers, EncodedSample, LoadedSample, Rejection, StoredSample

BACKLOG_BATCHES = 4
"""How many batches may wait for PNG encoding: a GPU that outruns the encoders must not fill the memory with pixels."""
QUEUED_BATCHES = 2
"""For each core: the one that it works on and the next. After an error or Ctrl-C the others are not begun."""

Encode: TypeAlias = Callable[[AnnotatedSample], EncodedSample]
"""Makes the member files of a sample; called from several threads."""


class Annotation(Protocol):
    """Networks ready to run, and how; called again once `all_begun` has been."""

    def __call__(
        self, samples: Sequence[StoredSample], progress: Callable[[int], None], all_begun: Callable[[], None]
    ) -> list[EncodedSample | Rejection]:
        """Annotate and encode samples of one size.

        `progress` is told after each batch how many were not rejected; `all_begun` is called when no sample is left
        that the networks would begin with: they may have others meanwhile.
        """
        ...


@dataclass(frozen=True, slots=True)
class OnCores:
    """Each core takes a batch from its stored images to the encoded samples, with a single thread."""

    annotators: tuple[Annotator, ...]
    """Called from all cores at once."""
    batch_size: int
    encode: Encode
    cores: ThreadPoolExecutor
    number_of_cores: int

    def __call__(
        self, samples: Sequence[StoredSample], progress: Callable[[int], None], all_begun: Callable[[], None]
    ) -> list[EncodedSample | Rejection]:
        def batches() -> Iterator[Sequence[StoredSample]]:
            yield from _batches(samples, self.batch_size)
            all_begun()

        def begin(batch: Sequence[StoredSample]) -> Future[list[EncodedSample | Rejection]]:
            return self.cores.submit(self._annotated, batch)

        outcomes: list[EncodedSample | Rejection] = []
        with closing(in_order(begin, batches(), QUEUED_BATCHES * self.number_of_cores - 1)) as annotated:
            for made in annotated:
                outcomes.extend(made)
                progress(_annotated_of(made))
        return outcomes

    def _annotated(self, batch: Sequence[StoredSample]) -> list[EncodedSample | Rejection]:
        outcomes = annotate_batch(self.annotators, [load_pixels(stored) for stored in batch])
        return [outcome if isinstance(outcome, Rejection) else self.encode(outcome) for outcome in outcomes]


@dataclass(frozen=True, slots=True)
class OnGpu:
    """One batch after the other on the device; threads decode and encode beside it."""

    annotators: tuple[Annotator, ...]
    batch_size: int
    encode: Encode
    threads: ThreadPoolExecutor

    def __call__(
        self, samples: Sequence[StoredSample], progress: Callable[[int], None], all_begun: Callable[[], None]
    ) -> list[EncodedSample | Rejection]:
        batches = _batches(samples, self.batch_size)
        outcomes: list[Future[EncodedSample] | Rejection] = []
        decoding = self._decode(batches[0]) if batches else []
        for number, batch in enumerate(batches):
            loaded = [future.result() for future in decoding]
            decoding = self._decode(batches[number + 1]) if number + 1 < len(batches) else []
            annotated = annotate_batch(self.annotators, loaded)
            outcomes += [self._encode(outcome) for outcome in annotated]
            _wait(outcomes[: -BACKLOG_BATCHES * self.batch_size][-len(batch) :])
            progress(_annotated_of(annotated))
        all_begun()
        return [outcome if isinstance(outcome, Rejection) else outcome.result() for outcome in outcomes]

    def _decode(self, batch: Sequence[StoredSample]) -> list[Future[LoadedSample]]:
        return [self.threads.submit(load_pixels, stored) for stored in batch]

    def _encode(self, outcome: AnnotatedSample | Rejection) -> Future[EncodedSample] | Rejection:
        if isinstance(outcome, Rejection):
            return outcome
        return self.threads.submit(self.encode, outcome)


def _batches(samples: Sequence[StoredSample], batch_size: int) -> list[Sequence[StoredSample]]:
    return [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]


def _annotated_of(outcomes: Sequence[object]) -> int:
    return sum(not isinstance(outcome, Rejection) for outcome in outcomes)


def _wait(outcomes: Sequence[Future[EncodedSample] | Rejection]) -> None:
    for outcome in outcomes:
        if not isinstance(outcome, Rejection):
            outcome.result()


def annotate_batch(annotators: Sequence[Annotator], batch: Sequence[LoadedSample]) -> list[AnnotatedSample | Rejection]:
    """Run every annotator on a batch; a sample that one of them rejects is rejected."""
    outcomes: list[AnnotatedSample | Rejection] = [AnnotatedSample(sample.stored, ()) for sample in batch]
    for annotator in annotators:
        with doing(type(annotator).__name__.removesuffix("Annotator").lower()):
            results = annotate_in_halves(annotator, batch)
        for position, result in enumerate(results):
            outcome = outcomes[position]
            if isinstance(outcome, Rejection):
                continue
            if isinstance(result, Rejection):
                outcomes[position] = result
            else:
                outcomes[position] = AnnotatedSample(outcome.stored, outcome.members + result)
    return outcomes


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
                f"one {size} image must fit in the GPU's memory with {type(annotator).__name__}, got {error}; use a "
                "smaller size_pixels or fewer annotators"
            ) from error
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return annotate_in_halves(annotator, batch[:middle]) + annotate_in_halves(annotator, batch[middle:])
