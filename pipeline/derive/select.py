"""`condset select`: some samples of a data set, as a data set of their own, with its layers.

    index rows of the samples ──choice──> a new index ──plans──> members byte for byte ──> OUT/shards
                                                     └──> those of each layer ──> OUT/layers/<name>/shards

The new index lists the chosen samples alone, so that nothing is rejected in it. What comes out is what `prepare` makes
of that index: it is verified, resumed and added to like any other.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.fingerprint import dataset_inputs, fingerprint, layer_inputs, listing_inputs
from pipeline.dataset.index import Index, IndexReader, open_index, read_rows
from pipeline.dataset.listing import write_index
from pipeline.dataset.manifest import LAYERS
from pipeline.dataset.plan import ShardPlan, plan_shards
from pipeline.dataset.reader import Dataset, Part
from pipeline.dataset.record import read_bound_record, read_record
from pipeline.dataset.sample import Sample
from pipeline.dataset.storage import Directory
from pipeline.derive.choice import Choice
from pipeline.derive.samples import encoded, refuse_same_place, weights_sha256
from pipeline.environment import Environment
from pipeline.execution.origins import LoadedShard
from pipeline.layer import base_config
from pipeline.run import Job, claim
from pipeline.writers.lease import writing
from stages.errors import ConfigError, ShardCorrupt
from stages.records import AnnotatedSample, EncodedSample, Rejection
from stages.sources.index.dropped import with_dropped

NEAR_DUPLICATE = "near_duplicate"
"""Under which the index counts what was left out."""


def plan_selection(
    dataset: Dataset, choice: Choice, repeated: frozenset[str], out: Directory, environment: Environment
) -> Job:
    """Write the index of the chosen samples into OUT and plan their shards; those that are `repeated` are left out.

    Raises ConfigError if nothing is chosen or OUT lies in the data set, ShardConflict if OUT holds something else,
    DirectoryInUse if another run writes to it, and what the choice raises.
    """
    refuse_same_place(dataset.directory, out)
    config = base_config(dataset.directory, dataset.manifest)
    rows = SelectedRows(dataset, choice, repeated, config.source.kind, config.source.base_uri)
    if not any(batch.num_rows for batch in rows.batches()):
        raise ConfigError(
            f"the choice must be of at least one of {len(dataset)} samples of {dataset.directory}, got none"
        )
    claim(out)
    with writing(out, environment.say, environment.take_over):
        index = write_index(out, rows, 0, fingerprint(listing_inputs(config)))
    entries = dataset.manifest.conditions
    return Job(
        directory=out,
        config=config,
        inputs=dataset_inputs(config, index.digest, weights_sha256(entries)),
        origin=FromSelection(dataset, out, index),
        plans=plan_shards(index.rows, config.samples_per_shard),
        samples=index.rows,
        conditions=entries,
        dropped=index.dropped,
        labels=dataset.manifest.labels,
        copied_under=dataset.manifest.numerics,
    )


def plan_layer(dataset: Dataset, layer: Part, out: Directory, below: Job) -> Job:
    """Plan a layer of a selection that is finished; `below` is the selection's own job."""
    config = base_config(layer.directory, layer.manifest)
    entries = layer.manifest.conditions
    return Job(
        directory=out / LAYERS / layer.name,
        config=config,
        inputs=layer_inputs(config, fingerprint(below.inputs), weights_sha256(entries)),
        origin=FromSelectedLayer(dataset, layer, out),
        plans=below.plans,
        samples=below.samples,
        conditions=entries,
        labels=layer.manifest.labels,
        copied_under=layer.manifest.numerics,
    )


def chosen_keys(dataset: Dataset, choice: Choice) -> Iterator[str]:
    """Yield the keys of the chosen samples, in order."""
    for batch in SelectedRows(dataset, choice, frozenset(), "", "").batches():
        yield from batch.column("key").to_pylist()


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """The rows of the chosen samples, as a source lists them."""

    dataset: Dataset
    choice: Choice
    repeated: frozenset[str]
    """The keys of samples that are left out, and counted as near-duplicates."""
    kind: str
    base_uri: str

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the data set, which is that of its index."""
        directory, manifest = self.dataset.directory, self.dataset.manifest
        index = open_index(directory)
        with IndexReader(directory, index) as reader:
            for plan in plan_shards(index.rows, manifest.samples_per_shard):
                if plan.name not in self.dataset.shards:
                    continue
                table = reader.read(plan.start, plan.stop)
                keys = pa.array([entry.key for entry in read_record(directory, plan.name).samples], pa.string())
                # A rejected row may have the key of a sample: duplicate_key.
                is_sample = pc.and_(pc.is_in(table["key"], keys), pc.equal(table["rejected_reason"], ""))
                chosen = table.filter(is_sample)
                yield self._without_repeated(chosen.filter(pa.array(np.asarray(self.choice(chosen)))))

    def _without_repeated(self, chosen: pa.Table) -> pa.RecordBatch:
        (batch,) = chosen.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], chosen.schema)]
        if not self.repeated:
            return batch
        is_new = np.array([key not in self.repeated for key in batch.column("key").to_pylist()], np.bool_)
        return with_dropped(batch.filter(pa.array(is_new)), {NEAR_DUPLICATE: int((~is_new).sum())})


@dataclass(frozen=True, slots=True)
class FromSelection:
    """The `Origin` of chosen samples."""

    dataset: Dataset
    out: Directory
    index: Index

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Read the samples of the rows of a plan, by their keys."""
        own = frozenset(self.dataset.own_extensions)
        rows = read_rows(self.out, self.index, plan.start, plan.stop)
        return LoadedShard(plan, tuple(_with_members(self.dataset[row.key], own) for row in rows))

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        raise AssertionError("nothing is annotated")


@dataclass(frozen=True, slots=True)
class FromSelectedLayer:
    """The `Origin` of what a layer has of chosen samples."""

    dataset: Dataset
    layer: Part
    out: Directory
    """The selection."""

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Read the layer's members of the samples of a shard of the selection, or why it rejected one."""
        record, sha256 = read_bound_record(self.out, plan.name)
        outcomes = tuple(self._outcome(self.dataset[entry.key]) for entry in record.samples)
        return LoadedShard(plan, outcomes, sha256)

    def _outcome(self, sample: Sample) -> EncodedSample | Rejection:
        extensions = frozenset(each for entry in self.layer.manifest.conditions for each in entry.extensions)
        if extensions <= sample.files.keys():
            return _with_members(sample, extensions)
        rejected = read_record(self.layer.directory, sample.shard).rejected
        found = next((each for each in rejected if each.key == sample.key), None)
        if found is None:
            raise ShardCorrupt(
                f"{self.layer.directory} shard {sample.shard} must have sample {sample.key} or its rejection, got "
                "neither; `condset verify` says what is wrong"
            )
        return found

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        raise AssertionError("nothing is annotated")


def _with_members(sample: Sample, extensions: frozenset[str]) -> EncodedSample:
    """Take some of a sample's files as they are."""
    files = tuple((extension, content) for extension, content in encoded(sample).members if extension in extensions)
    return replace(encoded(sample), members=files)
