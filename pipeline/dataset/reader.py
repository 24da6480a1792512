"""The one way to read a data set: open it, ask for a sample by its number or key, or take them in order.

    shards.jsonl ──> how many samples each shard has          read when it is opened, with dataset.json
    number ──> shard ──> record (a few are kept) ──> bytes of the tar, and of each layer's, joined by key ──> Sample

Opened anywhere it gives the same samples in the same order. It holds no connection and no open file: it can be pickled
into the workers of a torch DataLoader, and several threads may use it at once.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np

from pipeline.dataset.keys import find_key
from pipeline.dataset.manifest import (
    LAYERS,
    MANIFEST_FILE,
    SHARDS_FILE,
    Manifest,
    layer_names,
    load_dataset,
    load_finished,
    read_manifest,
    refuse_layer,
)
from pipeline.dataset.record import SampleEntry, ShardRecord, read_bound_record, record_file
from pipeline.dataset.sample import Sample, TorchItem, torch_item
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from stages.errors import ConfigError, ManifestError, ShardCorrupt

RECENT_SHARDS = 32
"""Records that are kept: a window of shuffled samples spans a few shards, and one of 1000 samples takes 0.2 MB."""


@dataclass(frozen=True, slots=True)
class Part:
    """A data set, or one of its layers."""

    directory: Directory
    manifest: Manifest

    @property
    def name(self) -> str:
        """Of a layer: the name of its folder."""
        return self.directory.location.rpartition("/")[2]


Places: TypeAlias = list[tuple[Directory, ShardRecord, SampleEntry]]
"""Where the files of a sample lie: in the data set, then in its layers."""


class Dataset:
    """A finished data set with its layers; `len`, `[number]`, `["key"]` and iteration give its samples."""

    def __init__(self, base: Part, layers: Sequence[Part], whole: bool, samples_by_shard: Mapping[str, int]) -> None:
        """Take what `open_dataset` has opened."""
        self.directory, self.manifest = base.directory, base.manifest
        self.layers = tuple(layers)
        self._whole = whole
        self.specs = {entry.name: entry.spec for part in (base, *layers) for entry in part.manifest.conditions}
        self._prepare_cache()
        self.shards = self._count(samples_by_shard)
        """Name of each shard that has samples, in order, to how many."""
        self._names = list(self.shards)
        self._stops = np.cumsum(np.fromiter(self.shards.values(), np.int64, len(self.shards)))

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    @overload
    def __getitem__(self, which: int | str) -> Sample: ...
    @overload
    def __getitem__(self, which: slice) -> list[Sample]: ...
    def __getitem__(self, which: int | str | slice) -> Sample | list[Sample]:
        """Read a sample by its number, which may count from the end, or its key; IndexError or KeyError without one."""
        if isinstance(which, str):
            return self._by_key(which)
        if isinstance(which, slice):
            return [self[number] for number in range(*which.indices(len(self)))]
        number = which + len(self) if which < 0 else which
        if not 0 <= number < len(self):
            raise IndexError(f"{self.directory} has samples 0 to {len(self) - 1}, got {which}")
        shard = int(np.searchsorted(self._stops, number, side="right"))
        first = int(self._stops[shard - 1]) if shard else 0
        return self.read(self._names[shard], number - first)

    def __iter__(self) -> Iterator[Sample]:
        """Read every sample, in order."""
        for name, samples in self.shards.items():
            for position in range(samples):
                yield self.read(name, position)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self._numbers_of(key))

    def read(self, shard: str, position: int) -> Sample:
        """Read a sample by its place in a shard; ShardCorrupt, naming the sample, if it is damaged."""
        here = self._places(shard)
        if position >= len(here):
            raise ShardCorrupt(
                f"{self.directory / record_file(shard)} must have more than {position} samples, as {SHARDS_FILE} says, "
                f"got {len(here)}; finish what was cut off, or delete {MANIFEST_FILE} and prepare again"
            )
        key, places = here[position]
        files: dict[str, bytes] = {}
        for home, record, entry in places:
            files |= read_sample(home, record, entry)
        return Sample(key, shard, files, self.manifest.image.format, self.specs)

    @property
    def own_extensions(self) -> tuple[str, ...]:
        """The members of a sample that lie in the data set itself, not in a layer."""
        of_conditions = (each for entry in self.manifest.conditions for each in entry.extensions)
        return (self.manifest.image.format, "json", "txt", *of_conditions)

    def keys(self, shard: str) -> list[str]:
        """The keys of a shard's samples, in order, without reading them."""
        return [key for key, _ in self._places(shard)]

    def torch(self, condition: str) -> "TorchView":
        """See it as a torch data set: items of image, condition and caption."""
        return TorchView(self, condition)

    def _by_key(self, key: str) -> Sample:
        numbers = self._numbers_of(key)
        if not numbers:
            raise KeyError(f"{self.directory} has no sample with the key {key}")
        return self[numbers[0]]

    def _numbers_of(self, key: str) -> list[int]:
        """The number of the sample of a key; empty if there is none."""
        if self._whole and self.layers:
            raise KeyError("a data set opened for whole samples is read by number; open it without whole=True")
        return [number for number in find_key(self.directory, len(self), key) if self._key_at(number) == key]

    def _key_at(self, number: int) -> str:
        shard = int(np.searchsorted(self._stops, number, side="right"))
        first = int(self._stops[shard - 1]) if shard else 0
        return self._places(self._names[shard])[number - first][0]

    def _count(self, samples_by_shard: Mapping[str, int]) -> dict[str, int]:
        counts = dict(samples_by_shard)
        if self._whole:
            in_layers = [_samples_by_shard(layer.directory) for layer in self.layers]
            for name, samples in counts.items():
                if any(layer.get(name, 0) < samples for layer in in_layers):
                    counts[name] = len(self._places(name))
        return {name: samples for name, samples in counts.items() if samples}

    def _join(self, shard: str) -> list[tuple[str, Places]]:
        """Find every sample of a shard, in the data set and in the layers."""
        record, sha256 = _read_record(self.directory, shard)
        found = []
        for layer in self.layers:
            try:
                added, _ = read_bound_record(layer.directory, shard)
            except FileNotFoundError:
                if record.samples and self._whole:
                    raise _no_record(layer.directory, shard) from None
                continue
            if added.base_sha256 != sha256:
                raise ShardCorrupt(
                    f"{layer.directory / record_file(shard)} must belong to the data set's shard {sha256[:12]}, got "
                    f"{added.base_sha256[:12]}; remove the layer and prepare it again"
                )
            found.append((layer.directory, added, {entry.key: entry for entry in added.samples}))
        joined = []
        for entry in record.samples:
            places = [(home, of, entries[entry.key]) for home, of, entries in found if entry.key in entries]
            if len(places) == len(self.layers) or not self._whole:
                joined.append((entry.key, [(self.directory, record, entry), *places]))
        return joined

    def _prepare_cache(self) -> None:
        self._places = lru_cache(RECENT_SHARDS)(self._join)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_places"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare_cache()


@dataclass(frozen=True, slots=True)
class TorchView:
    """A data set for torch.utils.data.DataLoader; picklable."""

    dataset: Dataset
    condition: str

    def __post_init__(self) -> None:
        """Refuse a condition that has no picture; ConfigError."""
        shown = [name for name, spec in self.dataset.specs.items() if spec.shown]
        if self.condition not in shown:
            raise ConfigError(
                f"condition must be one that {self.dataset.directory} has pictures of, {', '.join(shown) or 'none'}, "
                f"got {self.condition}"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> TorchItem:
        """Read a sample; KeyError if a layer has rejected it: a data set opened with whole=True leaves those out."""
        return torch_item(self.dataset[number], self.condition)


def open_dataset(location: str | Path | Directory, layers: Sequence[str] | None = None, whole: bool = False) -> Dataset:
    """Open a finished data set: a path, or any URL that fsspec has a driver for, hf://datasets/... among them.

    `layers` are the names of the layers to join, by default all finished ones; with `whole`, only samples that every
    one of them has are there. Reads dataset.json and shards.jsonl, of the layers too, and no record unless it has to
    count. Raises ManifestError if the data set or a layer is unfinished, or a layer is another data set's.
    """
    directory = location if isinstance(location, Directory) else Directory(str(location))
    base = Part(directory, load_dataset(directory))
    names = _layers_there(directory, finished=True) if layers is None else layers
    parts = [_open_layer(base, name, finished=True) for name in names]
    return Dataset(base, parts, whole, _samples_by_shard(directory))


def open_unfinished(directory: Directory, samples_by_shard: Mapping[str, int]) -> Dataset:
    """Open what there is of a data set and its layers; raises what `open_dataset` raises but for what is unfinished.

    `samples_by_shard` holds every committed shard's name, in order, and its number of samples.
    """
    base = Part(directory, read_manifest(directory))
    refuse_layer(directory, base.manifest)
    parts = [_open_layer(base, name, finished=False) for name in _layers_there(directory, finished=False)]
    return Dataset(base, parts, False, samples_by_shard)


def finished_layers(directory: Directory) -> list[Part]:
    """Open every layer of a finished data set that is finished; ManifestError if one is another data set's."""
    base = Part(directory, load_dataset(directory))
    return [_open_layer(base, name, finished=True) for name in _layers_there(directory, finished=True)]


def _layers_there(directory: Directory, finished: bool) -> list[str]:
    """The names of the layers that have a dataset.json, with `finished` one that says that they are complete."""
    homes = {name: directory / LAYERS / name for name in layer_names(directory)}
    there = {name: home for name, home in homes.items() if home.exists(MANIFEST_FILE)}
    return [name for name, home in there.items() if not finished or read_manifest(home).complete]


def _open_layer(base: Part, name: str, finished: bool) -> Part:
    directory = base.directory / LAYERS / name
    manifest = load_finished(directory) if finished else read_manifest(directory)
    refuse_other_base(base.directory, directory, manifest, base.manifest)
    return Part(directory, manifest)


def refuse_other_base(directory: Directory, layer: Directory, manifest: Manifest, base: Manifest) -> None:
    """Raise ManifestError if a layer that lies in a data set was made of another one."""
    if manifest.inputs.get("base") != base.fingerprint:
        raise ManifestError(
            f"{layer / MANIFEST_FILE} must be a layer of {directory}, got one of another data set; remove it"
        )


def _samples_by_shard(directory: Directory) -> dict[str, int]:
    lines = (json.loads(line) for line in directory.read(SHARDS_FILE).splitlines())
    return {line["name"]: line["samples"] for line in lines}


def _read_record(home: Directory, name: str) -> tuple[ShardRecord, str]:
    try:
        return read_bound_record(home, name)
    except FileNotFoundError:
        raise _no_record(home, name) from None


def _no_record(home: Directory, name: str) -> ShardCorrupt:
    where = home / record_file(name)
    return ShardCorrupt(f"{where} must be a shard's record, got none; prepare again to make the shard anew")
