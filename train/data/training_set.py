"""What training reads: finished data sets of one condition, joined by key with their layers.

    DATASET/shards/0000000 ──key──┬── layers/<condition>/shards/0000000    (if the condition was added later)
                                  └── layers/latents/shards/0000000        (if images were encoded)

Everything that does not fit together is refused before the first step. The invariant: a sample is read by its offset
in the record, and its crc32 is checked on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.dataset.conditions import ConditionEntry
from pipeline.dataset.manifest import (
    LAYERS,
    MANIFEST_FILE,
    Manifest,
    layer_names,
    load_finished,
    read_manifest,
)
from pipeline.dataset.reader import open_dataset, refuse_other_base
from pipeline.dataset.storage import Directory
from stages.errors import ConfigError
from stages.records import Condition
from stages.settings import Mark


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
        manifest = load_finished(directory)
        homes = _homes(directory, manifest)
        if condition not in homes:
            there = ", ".join(sorted(homes)) or "none"
            raise ConfigError(
                f"--data {directory} must have the condition {condition.value}, got {there}; "
                f"`condset prepare CONFIG --onto {directory}` adds it"
            )
        read = {condition: homes[condition]}
        if use_latents and Condition.LATENTS in homes:
            read[Condition.LATENTS] = homes[Condition.LATENTS]
        layers = sorted({home.layer for home in read.values() if home.layer})
        self._dataset = open_dataset(directory, layers, whole=True)
        self.manifest = self._dataset.manifest
        self.condition, made_by = homes[condition].entry, homes[condition].manifest
        self.settings = made_by.settings_of(self.condition)
        """The table that the condition was made with."""
        self.making = made_by.settings_of(self.condition, leave_out=tuple(Mark))
        """What of it shows in the values: two sets may differ in where weights lie and how the network ran."""
        self.latents = read[Condition.LATENTS].entry if Condition.LATENTS in read else None
        self.fingerprints = [self.manifest.fingerprint, *(layer.manifest.fingerprint for layer in self._dataset.layers)]
        """Of the data set and of each layer in use."""

    @property
    def size_pixels(self) -> tuple[int, int]:
        """Width and height of its images."""
        return self.manifest.size_pixels

    @property
    def image_extension(self) -> str:
        return self.manifest.image.format

    def shards(self, number: int) -> list[Joined]:
        """List its shards with the number of samples that can be used; `number` is the data set's own."""
        return [Joined(number, name, samples) for name, samples in self._dataset.shards.items()]

    def read(self, name: str, position: int) -> tuple[str, Mapping[str, bytes]]:
        """Read the key and the members, with those of the layers, of one sample; ShardCorrupt if it is damaged."""
        sample = self._dataset.read(name, position)
        return sample.key, sample.files

    def keys(self, name: str) -> list[str]:
        """The keys of the samples of a shard that can be used, in order."""
        return self._dataset.keys(name)


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


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a condition lies."""

    layer: str
    """Empty for the data set itself."""
    manifest: Manifest
    entry: ConditionEntry


def _homes(directory: Directory, base: Manifest) -> dict[str, _Home]:
    """Find the home of each condition; ManifestError if a layer belongs to another data set."""
    homes = {entry.name: _Home("", base, entry) for entry in base.conditions}
    for name in layer_names(directory):
        layer = directory / LAYERS / name
        if not layer.exists(MANIFEST_FILE):  # not begun yet, or no layer
            continue
        manifest = read_manifest(layer)
        refuse_other_base(directory, layer, manifest, base)
        homes |= {entry.name: _Home(name, manifest, entry) for entry in manifest.conditions}
    return homes
