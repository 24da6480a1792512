"""The libraries that only some of condset's work needs: which extra brings them, and what to type when one is missing.

    with needs("keypose"):
        import mmpose        ──not installed──> ConfigError: what is missing, and the command that installs it

They are imported nowhere else, and nowhere at module level: without an extra everything else works.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from stages.errors import ConfigError

ExtraName: TypeAlias = Literal["keypose", "eval", "s3"]


@dataclass(frozen=True, slots=True)
class Extra:
    """Libraries that are installed together."""

    purpose: str
    """What needs them, as the subject of a sentence."""
    libraries: Mapping[str, str]
    """The modules that are imported, to the distributions that bring them."""
    install: str
    """What to type."""


EXTRAS: Mapping[ExtraName, Extra] = {
    # mmpose asks for chumpy, which no longer builds, and all three for an OpenCV that overwrites the headless one: the
    # extra brings what they really need.
    "keypose": Extra(
        "the networks of keypose",
        {"mmpose": "mmpose", "mmengine": "mmengine", "mmcv": "mmcv-lite"},
        'pip install "condset[keypose]" && pip install --no-deps mmpose mmengine mmcv-lite',
    ),
    "eval": Extra(
        "FID",
        {"torch_fidelity": "torch-fidelity", "torchmetrics": "torchmetrics"},
        'pip install "condset[eval]"',
    ),
    "s3": Extra("s3:// locations", {"s3fs": "s3fs"}, 'pip install "condset[s3]"'),
}


def require(name: ExtraName) -> None:
    """Raise ConfigError unless the libraries of an extra are installed; imports none of them."""
    for library in EXTRAS[name].libraries:
        try:
            is_there = importlib.util.find_spec(library) is not None
        except ValueError:  # a module that the process made itself
            is_there = True
        if not is_there:
            raise _missing(name, library)


@contextmanager
def needs(name: ExtraName) -> Iterator[None]:
    """Name the extra if a library cannot be imported in this context, because it or one that it needs is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing(name, error.name or str(error)) from error


def _missing(name: ExtraName, library: str) -> ConfigError:
    extra = EXTRAS[name]
    return ConfigError(f"{extra.purpose} must have the library {library}, got none installed; {extra.install}")
