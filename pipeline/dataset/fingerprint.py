"""The fingerprint: what a data set is a function of, and the refusal to mix two data sets in one directory."""

import hashlib
import json
from collections.abc import Mapping
from typing import TypeAlias

from pipeline.config import PrepareConfig
from stages.errors import ShardConflict
from stages.settings import Mark, marks, plain

FORMAT_VERSION = 2

Inputs: TypeAlias = dict[str, str | int | float | bool | None]
"""Dotted name to value, flat, so that a difference can be shown field by field."""


def dataset_inputs(config: PrepareConfig, index_digest: str, weights_sha256: Mapping[str, str]) -> Inputs:
    """Collect what a data set is made from: not the root, the output, the device or the workers.

    The dtype that a user names is part of an annotator's settings; what "auto" becomes on a machine belongs to the
    numerics. A user's own weights file counts by its content, not by its path.
    """
    inputs: Inputs = {"format": FORMAT_VERSION, "index": index_digest}
    inputs |= {"samples_per_shard": config.samples_per_shard, "seed": config.seed}
    inputs |= listing_inputs(config) | flatten("image", plain(config.image))
    return inputs | _annotator_inputs(config, weights_sha256)


def listing_inputs(config: PrepareConfig) -> Inputs:
    """Collect what decides which candidates are listed, but for the collection itself."""
    inputs: Inputs = {"limit": config.limit}
    return inputs | _without_places("source", config.source)


def layer_inputs(config: PrepareConfig, base_fingerprint: str, weights_sha256: Mapping[str, str]) -> Inputs:
    """Collect what a layer is made from: the data set below it and the annotators."""
    inputs: Inputs = {"format": FORMAT_VERSION, "base": base_fingerprint}
    return inputs | _annotator_inputs(config, weights_sha256)


def _annotator_inputs(config: PrepareConfig, weights_sha256: Mapping[str, str]) -> Inputs:
    inputs: Inputs = {f"weights.{name}": sha256 for name, sha256 in weights_sha256.items()}
    for position, annotator in enumerate(config.annotators):
        name = f"annotators.{position}"
        inputs |= _without_places(name, annotator)
        inputs[f"{name}.algorithm_version"] = annotator.algorithm_version
    return inputs


def _without_places(name: str, settings: object) -> Inputs:
    """Flatten a table but for the settings that say where something lies: its content counts, by its hash."""
    places = {setting for setting, mark in marks(settings, name).items() if mark is Mark.PLACE}
    return {setting: value for setting, value in flatten(name, plain(settings)).items() if setting not in places}


def fingerprint(inputs: Inputs) -> str:
    """Hash the inputs to 64 hex digits."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def refuse_other(where: str, there: Inputs, here: Inputs) -> None:
    """Raise ShardConflict if a directory's data set was made from other inputs, naming each that differs."""
    differing = differences(there, here)
    if differing:
        raise ShardConflict(
            f"{where} must hold this data set, got another one ({differing}); give another --out, or a layer another "
            "name"
        )


def differences(there: Inputs, here: Inputs) -> str:
    """Name every input that differs, with both values; empty if none does."""
    names = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    return ", ".join(f"{name} {there.get(name)!r} there, {here.get(name)!r} here" for name in names)


def flatten(name: str, value: object) -> Inputs:
    """Give every plain value in nested tables its dotted name, below `name` unless that is empty."""
    if isinstance(value, dict):
        flat: Inputs = {}
        for key, inner in value.items():
            flat |= flatten(f"{name}.{key}" if name else key, inner)
        return flat
    if isinstance(value, list | tuple):
        return flatten(name, {str(position): inner for position, inner in enumerate(value)})
    assert value is None or isinstance(value, str | int | float | bool), "settings are plain values"
    return {name: value}
