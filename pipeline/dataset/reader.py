"""Read what layers add to the samples of a data set.

    DATASET/layers/<name>/{records,shards} ──key──> members of the sample of that key in DATASET/shards

A layer has a sample for each one of the data set, or has rejected it, or is still being made.
"""

from collections.abc import Sequence

from pipeline.dataset.manifest import LAYERS, layer_names, read_manifest
from pipeline.dataset.record import SampleEntry, ShardRecord, read_record
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory


class LayerReader:
    """Reads one layer's samples; quick in the order of the data set, since it keeps the last shard's entries."""

    def __init__(self, name: str, directory: Directory) -> None:
        """Open the layer in `directory`; ManifestError if it has no readable manifest."""
        self.name = name
        self.manifest = read_manifest(directory)
        self._directory = directory
        self._shard = ""
        self._samples: dict[str, tuple[ShardRecord, SampleEntry]] = {}

    def members(self, shard: str, key: str) -> dict[str, bytes]:
        """Read the layer's members of one sample; empty if it has none. ShardCorrupt if they cannot be read."""
        if shard != self._shard:
            self._shard, self._samples = shard, self._samples_of(shard)
        return read_sample(self._directory, *self._samples[key]) if key in self._samples else {}

    def _samples_of(self, shard: str) -> dict[str, tuple[ShardRecord, SampleEntry]]:
        try:
            record = read_record(self._directory, shard)
        except FileNotFoundError:
            return {}
        return {entry.key: (record, entry) for entry in record.samples}


def open_layers(base: Directory) -> list[LayerReader]:
    """Open every layer of a data set, in the order of their names."""
    layers = base / LAYERS
    return [LayerReader(name, layers / name) for name in layer_names(base)]


def read_with_layers(
    base: Directory, layers: Sequence[LayerReader], record: ShardRecord, entry: SampleEntry
) -> dict[str, bytes]:
    """Read a sample of the data set and what its layers add to it: extension to bytes."""
    members = read_sample(base, record, entry)
    for layer in layers:
        members |= layer.members(record.name, entry.key)
    return members
