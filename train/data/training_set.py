"""What training reads: finished data sets of one condition, joined by key with their layers.

    DATASET/shards/0000000 ──key──┬── layers/<condition>/shards/0000000    (if the condition was added later)
                                  └── layers/latents/shards/0000000        (if images were encoded)

Everything that does not fit together is refused before the first step. The invariant: a sample is read by its offset
in the record, and its crc32 is checked on the way.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.dataset.conditions import ConditionEntry
from pipeline.dataset.manifest import (
    LAYERS,
    MANIFEST_FILE,
    SHARDS_FILE,
    Manifest,
    layer_names,
    load_finished,
    read_manifest,
)
from pipeline.dataset.record import SampleEntry, ShardRecord, read_bound_record, record_file
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from stages.errors import ConfigError, ManifestError, ShardCorrupt
from stages.records import Condition
from stages.settings import Mark

RECENT_SHARDS = 32
"""Records that are kept: a window of samples spans a few shards."""


@dataclass(frozen=True, slots=True)
class Joined:
    """One shard of samples that every layer in use has as well."""

    dataset: int
    name: str
    samples: int


class TrainingSet:
    """One finished data set and the layers of it that are read; safe to use from several threads."""

    def __init__(self, directory: Directory, condition: Condition, use_latents: bool) -> None:
        """Open a data set for one condition, and for its latents if they are wanted and there.

        Raises ManifestError if it or a layer in use is not finished, ConfigError if it does not have the condition.
        """
        self.directory = directory
        self.manifest = load_finished(directory)
        homes = _homes(directory, self.manifest)
        if condition not in homes:
            there = ", ".join(sorted(homes)) or "none"
            raise ConfigError(
                f"--data {directory} must have the condition {condition.value}, got {there}; "
                f"`condset prepare CONFIG --onto {directory}` adds it"
            )
        self.condition, self.settings, self.making = _entry_of(homes[condition], condition)
        self.latents: ConditionEntry | None = None
        used = {homes[condition]}
        if use_latents and Condition.LATENTS in homes:
            self.latents, *_ = _entry_of(homes[Condition.LATENTS], Condition.LATENTS)
            used.add(homes[Condition.LATENTS])
        self._layers = sorted((home for home in used if home != directory), key=str)
        self.fingerprints = [self.manifest.fingerprint, *(load_finished(layer).fingerprint for layer in self._layers)]
        """Of the data set and of each layer in use."""
        self._entries = lru_cache(RECENT_SHARDS)(self._join)

    @property
    def size_pixels(self) -> tuple[int, int]:
        """Width and height of its images."""
        return self.manifest.size_pixels

    @property
    def image_extension(self) -> str:
        return self.manifest.image.format

    def shards(self, number: int) -> list[Joined]:
        """List its shards with the number of samples that can be used; `number` is the data set's own."""
        counts = _counts(self.directory)
        in_layers = [_counts(layer) for layer in self._layers]
        joined = []
        for name, samples in counts.items():
            if any(layer.get(name, 0) < samples for layer in in_layers):
                samples = len(self._entries(name))
            if samples:
                joined.append(Joined(number, name, samples))
        return joined

    def read(self, name: str, position: int) -> tuple[str, dict[str, bytes]]:
        """Read the key and the members, with those of the layers, of one sample; ShardCorrupt if it is damaged."""
        key, places = self._entries(name)[position]
        members: dict[str, bytes] = {}
        for home, record, entry in places:
            members |= read_sample(home, record, entry)
        return key, members

    def _join(self, name: str) -> list[tuple[str, list[tuple[Directory, ShardRecord, SampleEntry]]]]:
        """Find every sample of a shard in the data set and in each layer."""
        record, sha256 = _read_record(self.directory, name)
        found = [(self.directory, record, {entry.key: entry for entry in record.samples})]
        for layer in self._layers:
            added, _ = _read_record(layer, name)
            if added.base_sha256 != sha256:
                raise ShardCorrupt(
                    f"{layer / record_file(name)} must belong to the data set's shard {sha256[:12]}, got "
                    f"{added.base_sha256[:12]}; delete the layer and make it again"
                )
            found.append((layer, added, {entry.key: entry for entry in added.samples}))
        keys = [entry.key for entry in record.samples if all(entry.key in entries for _, _, entries in found)]
        return [(key, [(home, of, entries[key]) for home, of, entries in found]) for key in keys]


def open_training_sets(locations: Sequence[str], condition: Condition, use_latents: bool) -> list[TrainingSet]:
    """Open data sets that are trained on together.

    Latents are used if every one of them has them. Raises ConfigError if they differ in image size or in how the
    condition was made, and what `TrainingSet` raises.
    """
    sets = [TrainingSet(Directory(location), condition, use_latents) for location in locations]
    if use_latents and any(each.latents is None for each in sets):
        sets = [TrainingSet(Directory(location), condition, False) for location in locations]
    for other in sets[1:]:
        refuse_unlike(sets[0], other, "--data")
    return sets


def refuse_unlike(first: TrainingSet, other: TrainingSet, option: str) -> None:
    """Raise ConfigError if two data sets differ in image size or in how the condition was made.

    `option` is the one that named the other.
    """
    if other.size_pixels != first.size_pixels:
        raise ConfigError(
            f"{option} {other.directory} must have images of {_size(first)} as {first.directory}, got "
            f"{_size(other)}; prepare it with the same image.size_pixels"
        )
    ours, theirs = _making(first), _making(other)
    if ours != theirs:
        differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        shown = ", ".join(f"{name} {ours.get(name)!r} and {theirs.get(name)!r}" for name in differing)
        raise ConfigError(
            f"{option} {other.directory} must have its {first.condition.name} made as in {first.directory}, got "
            f"{shown}; prepare it with the same settings"
        )


def _making(data: TrainingSet) -> dict[str, Any]:
    """What a condition is a function of, beside the image."""
    hashes = {f"weights of {model.name}": model.sha256 for model in data.condition.models}
    return data.making | hashes | {"algorithm_version": data.condition.algorithm_version}


def _size(data: TrainingSet) -> str:
    return "x".join(str(side) for side in data.size_pixels)


def _homes(directory: Directory, base: Manifest) -> dict[str, Directory]:
    """Find the directory, of the data set or of a layer, of each condition.

    Raises ManifestError if a layer belongs to another data set.
    """
    homes = {entry.name: directory for entry in base.conditions}
    for name in layer_names(directory):
        layer = directory / LAYERS / name
        if not layer.exists(MANIFEST_FILE):  # not finished yet, or no layer
            continue
        manifest = read_manifest(layer)
        if manifest.inputs.get("base") != base.fingerprint:
            raise ManifestError(
                f"{layer / MANIFEST_FILE} must be a layer of {directory}, got one of another data set; remove it"
            )
        homes |= {entry.name: layer for entry in manifest.conditions}
    return homes


def _entry_of(home: Directory, condition: Condition) -> tuple[ConditionEntry, dict[str, Any], dict[str, Any]]:
    """What a manifest says of a condition, the table that it was made with, and what of the table shows in the values.

    Two data sets of one training may differ in the rest: where weights lie, how the network ran.
    """
    manifest = read_manifest(home)
    entry = next(entry for entry in manifest.conditions if entry.name == condition)
    return entry, manifest.settings_of(entry), manifest.settings_of(entry, leave_out=tuple(Mark))


def _counts(directory: Directory) -> dict[str, int]:
    lines = (json.loads(line) for line in directory.read(SHARDS_FILE).splitlines())
    return {line["name"]: line["samples"] for line in lines}


def _read_record(home: Directory, name: str) -> tuple[ShardRecord, str]:
    try:
        return read_bound_record(home, name)
    except FileNotFoundError:
        where = home / record_file(name)
        raise ShardCorrupt(f"{where} must be a shard's record, got none; prepare again to remake the shard") from None
