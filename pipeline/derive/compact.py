"""`condset compact`: the layers of a data set folded into its samples.

    DATASET/shards + layers/*/shards ──members, byte for byte──> OUT/shards      the same index, no layers

What comes out is the data set that `prepare` makes with all annotators at once: the same tars, the same fingerprint. A
sample that a layer has rejected is rejected, for the layer's reason.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.dataset.fingerprint import dataset_inputs
from pipeline.dataset.index import Index, open_index, read_rows
from pipeline.dataset.listing import copy_index
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan, plan_shards
from pipeline.dataset.reader import Dataset, open_dataset
from pipeline.dataset.record import SampleEntry, outcomes_of, read_record
from pipeline.dataset.storage import Directory
from pipeline.derive.samples import encoded, refuse_same_place, weights_sha256
from pipeline.execution.origins import LoadedShard
from pipeline.layer import base_config
from pipeline.run import Job, claim
from stages.errors import ConfigError
from stages.records import AnnotatedSample, EncodedSample, Rejection
from stages.settings import changed


@dataclass(frozen=True, slots=True)
class FromLayers:
    """The `Origin` of compacted samples."""

    dataset: Dataset
    index: Index

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        """Read the samples of a shard with what the layers add, and whatever was rejected by any of them."""
        dataset, base = self.dataset, self.dataset.directory
        record, rows = read_record(base, plan.name), read_rows(base, self.index, plan.start, plan.stop)
        made: dict[str, EncodedSample | Rejection] = {}
        for position in range(dataset.shards.get(plan.name, 0)):
            sample = dataset.read(plan.name, position)
            made[sample.key] = encoded(sample)
        for layer in reversed(dataset.layers):  # the first one says why, as the first annotator would
            rejected = read_record(layer.directory, plan.name).rejected if record.samples else ()
            made |= {each.key: each for each in rejected}
        outcomes = (made[each.key] if isinstance(each, SampleEntry) else each for each in outcomes_of(record, rows))
        return LoadedShard(plan, tuple(outcomes))

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        raise AssertionError("nothing is annotated")


def plan_compaction(base: Directory, out: Directory, names: Sequence[str] | None) -> Job:
    """Plan a data set of the samples of `base` with the members of its layers, all finished ones or those named.

    Raises ManifestError if the data set or a layer is not finished, ConfigError if there is no layer, ShardConflict if
    OUT holds something else.
    """
    refuse_same_place(base, out)
    dataset = open_dataset(base, names)
    if not dataset.layers:
        raise ConfigError(f"{base} must have a finished layer to be folded in, got none; `prepare --onto` makes one")
    below = base_config(base, dataset.manifest)
    parts = [(base, dataset.manifest), *((layer.directory, layer.manifest) for layer in dataset.layers)]
    annotators = [each for home, manifest in parts for each in base_config(home, manifest).annotators]
    config = changed(below, annotators=tuple(annotators))
    claim(out)
    index = open_index(base)
    copy_index(base, out, index)
    entries = tuple(entry for _, manifest in parts for entry in manifest.conditions)
    return Job(
        directory=out,
        config=config,
        inputs=dataset_inputs(config, index.digest, weights_sha256(entries)),
        origin=FromLayers(dataset, index),
        plans=plan_shards(index.rows, config.samples_per_shard),
        samples=index.rows,
        conditions=entries,
        dropped=index.dropped,
        labels=dataset.manifest.labels,
        copied_under=_numerics(dataset),
    )


def _numerics(dataset: Dataset) -> Numerics:
    """Those of the data set, with the types that the layers' networks ran in."""
    numerics = dataset.manifest.numerics
    dtypes = dict(numerics.dtypes)
    for layer in dataset.layers:
        dtypes |= layer.manifest.numerics.dtypes
    return replace(numerics, dtypes=dict(sorted(dtypes.items())))
