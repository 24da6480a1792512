"""Where a shard's stored samples come from, and which of their members the shard holds.

    FromIndex     rows of the index ──fetch, decode, crop──> stored samples ──> image, caption, json and conditions
    FromDataset   samples of a data set's shard, as they are ──────────────> the new conditions alone (a layer)

Both give the annotators the same `StoredSample`, so a condition has the same bytes whether it was made with the data
set or added to it later.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.config import PrepareConfig
from pipeline.dataset.index import Index, read_rows
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import SampleEntry, ShardRecord, read_bound_record, record_file
from pipeline.dataset.shards import Replacement, read_sample
from pipeline.dataset.storage import Directory
from stages.errors import ShardCorrupt, TooManyRejected
from stages.load import Loading, load_labels, load_samples
from stages.members import encode_conditions, encode_sample, read_crop
from stages.records import (
    OUTAGE_REASONS,
    AnnotatedSample,
    Condition,
    EncodedSample,
    IndexRow,
    Rejection,
    StoredSample,
)


@dataclass(frozen=True, slots=True)
class LoadedShard:
    """A shard between its two operators: encoded images and rejections, one for each of its rows."""

    plan: ShardPlan
    outcomes: tuple[StoredSample | EncodedSample | SampleEntry | Rejection, ...]
    """A `StoredSample` is still to be annotated, an `EncodedSample` comes whole from another data set, and a
    `SampleEntry` is committed already and is kept."""
    base_sha256: str = ""
    """Of the record that a layer's shard belongs to."""
    replacement: Replacement | None = None
    """Set if the shard is committed already and is made again with more samples."""


class Origin(Protocol):
    """Picklable; holds no connection and no pixels."""

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Load the stored samples of a plan. Runs on CPU workers; once `stop` is set, nobody wants the result."""
        ...

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        """Make the member files of a sample. Called from several threads."""
        ...


def loading_of(config: PrepareConfig) -> Loading:
    """What loading takes from a configuration."""
    source = config.source
    return Loading(source.base_uri, source.label_base_uri, source.label_offset, config.image, config.seed, config.fetch)


@dataclass(frozen=True, slots=True)
class FromIndex:
    """Samples fetched from the source."""

    directory: Directory
    config: PrepareConfig
    index: Index

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Fetch, decode and crop the rows of a plan.

        Raises TooManyRejected, before anything of the shard is committed, if what an outage gives took more than
        `max_rejected_fraction` of the rows.
        """
        rows = read_rows(self.directory, self.index, plan.start, plan.stop)
        outcomes = tuple(load_samples(rows, loading_of(self.config), stop))
        _refuse_outage(plan, outcomes, self.config.max_rejected_fraction)
        return LoadedShard(plan, outcomes)

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        source = f"{self.config.source.kind}/{self.config.source.split}"
        return encode_sample(sample, source, self.config.image.format)


@dataclass(frozen=True, slots=True)
class FromDataset:
    """Samples of a data set that is there already; nothing is fetched again but label maps, if they are asked for."""

    base: Directory
    config: PrepareConfig
    """The base's configuration, with the annotators of the layer."""
    index: Index
    """The base's."""

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Read the samples of one shard back, with the annotations that the index has for them.

        Raises TooManyRejected as `FromIndex` does, if their label maps are away.
        """
        try:
            record, sha256 = read_bound_record(self.base, plan.name)
        except FileNotFoundError:
            where = self.base / record_file(plan.name)
            raise ShardCorrupt(f"{where} must be there, got none; run `condset prepare` again") from None
        rows = {
            row.key: row for row in read_rows(self.base, self.index, plan.start, plan.stop) if row.rejection is None
        }
        outcomes = tuple(self._read(rows, record, entry) for entry in record.samples)
        _refuse_outage(plan, outcomes, self.config.max_rejected_fraction)
        return LoadedShard(plan, outcomes, sha256)

    def _read(self, rows: Mapping[str, IndexRow], record: ShardRecord, entry: SampleEntry) -> StoredSample | Rejection:
        """Read one sample; ShardCorrupt if the index does not have it, or a member of it is missing or damaged."""
        members = read_sample(self.base, record, entry)
        try:
            return self._restore(rows[entry.key], members)
        except (KeyError, ValueError, TypeError) as error:
            raise ShardCorrupt(
                f"{self.base / record_file(record.name)} sample {entry.key} must be whole and in the index, got "
                f"{type(error).__name__}: {error}; run `condset verify {self.base}`"
            ) from error

    def _restore(self, row: IndexRow, members: dict[str, bytes]) -> StoredSample | Rejection:
        crop = read_crop(members["json"])
        labels: bytes | Rejection = b""
        if any(annotator.condition is Condition.SEGMENTATION for annotator in self.config.annotators):
            labels = load_labels(row, loading_of(self.config), crop)
        if isinstance(labels, Rejection):
            return labels
        return StoredSample(row, members["txt"].decode(), members[self.config.image.format], labels, crop)

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        return encode_conditions(sample)


def _refuse_outage(plan: ShardPlan, outcomes: Sequence[StoredSample | Rejection], most: float) -> None:
    """Raise TooManyRejected if what an outage gives took more than `most`, a fraction, of the rows of a plan."""
    lost = [each for each in outcomes if isinstance(each, Rejection) and each.reason in OUTAGE_REASONS]
    if len(lost) > most * plan.rows:
        raise TooManyRejected(
            f"shard {plan.name} must lose at most {most:.0%} of its {plan.rows} rows, got {len(lost)} lost, first "
            f"{lost[0].key}: {lost[0].reason} ({lost[0].detail}); fix the source, or raise max_rejected_fraction, and "
            "run again"
        )
