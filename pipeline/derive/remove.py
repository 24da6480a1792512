"""`condset remove`: samples taken down, from a data set and its layers.

    record without the samples, with a tombstone for each ──> its tar is written anew ──> layers follow ──> card, totals

For each shard the new tar comes first, then the record that names it, then the former tar goes; after the data set's
record, those of its layers are written and bound to it. A kill at any instant leaves something that the same command
finishes. The index keeps the rows: by them and the tombstones it is known that the samples are gone for good.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pipeline.dataset.index import Index, open_index, read_rows
from pipeline.dataset.ledger import committed_names, remove_partials
from pipeline.dataset.manifest import LAYERS, Manifest, layer_names, load_dataset, summarise, write_manifest
from pipeline.dataset.plan import plan_shards
from pipeline.dataset.reader import Part, finished_layers
from pipeline.dataset.record import (
    SHARDS,
    SampleEntry,
    ShardRecord,
    outcomes_of,
    read_bound_record,
    read_record,
    record_file,
)
from pipeline.dataset.shards import Outcome, Replacement, last_retry, recommit_shard, replaced_tars, retried_tar
from pipeline.dataset.storage import Directory
from pipeline.run import describe_dataset
from pipeline.writers.lease import writing
from stages.errors import ConfigError, ShardCorrupt
from stages.records import Reason, Rejection

DETAIL = "taken down"


@dataclass(frozen=True, slots=True)
class Removed:
    """What was taken down."""

    samples: int
    """Now; those that were gone before do not count."""
    shards: int
    """That were written anew, without those of the layers."""


def remove(directory: Directory, keys: frozenset[str], say: Callable[[str], None], take_over: bool = False) -> Removed:
    """Take samples out of a finished data set and its layers, or go on with it.

    Raises ConfigError, before anything is changed, if a key is of no sample and of none that was removed; ManifestError
    if the data set or a layer is not finished; DirectoryInUse if another run writes to one of them.
    """
    load_dataset(directory)
    _check(directory, keys)
    with ExitStack() as leases:
        homes = [directory, *(directory / LAYERS / name for name in layer_names(directory))]
        for home in homes:
            leases.enter_context(writing(home, say, take_over))
        return _take_down(directory, keys, say)


def _take_down(directory: Directory, keys: frozenset[str], say: Callable[[str], None]) -> Removed:
    manifest, index = load_dataset(directory), open_index(directory)
    layers = finished_layers(directory)
    there = _check(directory, keys)
    retry = 1 + max(last_retry(home) for home in (directory, *(layer.directory for layer in layers)))
    if there:
        say(f"removing {len(there)} samples from {directory} and {len(layers)} layers")
    shards = 0
    for plan in plan_shards(index.rows, manifest.samples_per_shard):
        record = read_record(directory, plan.name)
        if any(entry.key in keys for entry in record.samples):
            _remove(directory, index, record, keys, retry)
            shards += 1
        for layer in layers:
            _follow(directory, layer.directory, plan.name, retry)
    _seal(directory, manifest, layers)
    return Removed(len(there), shards)


def _check(directory: Directory, keys: frozenset[str]) -> set[str]:
    """Return the keys that are of samples; ConfigError if one is neither of a sample nor of a tombstone."""
    there, gone = set[str](), set[str]()
    for name in committed_names(directory):
        record = read_record(directory, name)
        there |= keys & {entry.key for entry in record.samples}
        gone |= keys & {each.key for each in record.rejected if each.reason == Reason.REMOVED}
    unknown = sorted(keys - there - gone)
    if unknown:
        raise ConfigError(
            f"--keys must name samples of {directory}, got {len(unknown)} that are none, first {unknown[0]}; leave "
            "them out"
        )
    return there


def _remove(directory: Directory, index: Index, record: ShardRecord, keys: frozenset[str], retry: int) -> None:
    """Commit a shard anew with tombstones in place of samples."""
    rows = read_rows(directory, index, record.start, record.stop)
    outcomes: list[Outcome] = [
        Rejection(each.key, Reason.REMOVED, DETAIL) if isinstance(each, SampleEntry) and each.key in keys else each
        for each in outcomes_of(record, rows)
    ]
    recommit_shard(directory, Replacement(record, retried_tar(record.name, retry)), record.numerics, outcomes)


def _follow(base: Directory, layer: Directory, name: str, retry: int) -> None:
    """Bring a layer's shard in line with the record below it, if it is of the samples that were there before."""
    below, sha256 = read_bound_record(base, name)
    try:
        record = read_record(layer, name)
    except FileNotFoundError:
        return
    if record.base_sha256 == sha256:
        return
    left = {entry.key for entry in below.samples}
    removed = {each.key for each in below.rejected if each.reason == Reason.REMOVED}
    known = {*(entry.key for entry in record.samples), *(each.key for each in record.rejected)}
    if not left <= known <= left | removed:
        raise ShardCorrupt(
            f"{layer / record_file(name)} must be of the samples of {base / record_file(name)}, got others; remove the "
            "layer and prepare it again"
        )
    if not left:
        if record.tar:
            layer.remove(f"{SHARDS}/{record.tar}")
        layer.remove(record_file(name))
        return
    samples: list[Outcome] = [each for each in record.samples if each.key in left]
    rejected = [each for each in record.rejected if each.key in left]
    recommit_shard(layer, Replacement(record, retried_tar(name, retry)), record.numerics, [*samples, *rejected], sha256)


def _seal(directory: Directory, manifest: Manifest, layers: list[Part]) -> None:
    """Derive anew what follows from the records."""
    finished = summarise(directory, manifest)
    for layer in layers:
        totals = replace(
            layer.manifest.totals, rows=finished.totals.samples, shards=len(committed_names(layer.directory))
        )
        write_manifest(layer.directory, summarise(layer.directory, replace(layer.manifest, totals=totals)))
    for home in (directory, *(layer.directory for layer in layers)):
        remove_partials(home)
        for name in replaced_tars(home):
            home.remove(f"{SHARDS}/{name}")
    describe_dataset(directory, finished)
    write_manifest(directory, finished)
