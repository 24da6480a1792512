"""Which samples of a data set are chosen: by a condition, a list of keys, or a share of all keys.

    index row, sample ──> Choice ──> is it in?

A share goes by the hash of the key alone: the same key falls into the same part in every data set, and whether others
come or go changes nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.dataset.keys import key_hash
from pipeline.dataset.reader import Dataset
from pipeline.derive.where import Where
from stages.errors import ConfigError

Mask = npt.NDArray[np.bool_]


class Choice(Protocol):
    """Says of rows of the index whether they are chosen."""

    def __call__(self, table: pa.Table) -> Mask: ...


@dataclass(frozen=True, slots=True)
class ByKeys:
    """The samples of a list."""

    keys: frozenset[str]

    def __call__(self, table: pa.Table) -> Mask:
        return np.fromiter((key in self.keys for key in table.column("key").to_pylist()), np.bool_, table.num_rows)


@dataclass(frozen=True, slots=True)
class ByShare:
    """The samples whose keys' hashes lie in [first, stop), as shares of all hashes."""

    first: float
    stop: float

    def __call__(self, table: pa.Table) -> Mask:
        hashes = np.fromiter((key_hash(key) / 2**64 for key in table.column("key").to_pylist()), np.float64)
        return (self.first <= hashes) & (hashes < self.stop)


@dataclass(frozen=True, slots=True)
class All:
    """The samples that every one of several choices has."""

    choices: tuple[Choice, ...]

    def __call__(self, table: pa.Table) -> Mask:
        chosen = np.ones(table.num_rows, np.bool_)
        for choice in self.choices:
            chosen &= choice(table)
        return chosen

    def check(self, dataset: Dataset) -> None:
        """Refuse what this data set cannot answer: a score that its source has not measured, a key that it has not."""
        for choice in self.choices:
            if isinstance(choice, Where):
                choice.check_names(list(dataset[0].scores) if len(dataset) else [])
            if isinstance(choice, ByKeys):
                missing = [key for key in sorted(choice.keys) if key not in dataset]
                if missing:
                    raise ConfigError(
                        f"--keys must name samples of {dataset.directory}, got {len(missing)} that are none, first "
                        f"{missing[0]}; leave them out"
                    )


def read_keys(path: Path) -> frozenset[str]:
    """Read a file of keys, one a line; ConfigError if it cannot be read or has none."""
    try:
        keys = frozenset(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--keys {path} must be a text file with one key on each line, got {error}; correct it"
        ) from None
    if not keys:
        raise ConfigError(f"--keys {path} must have one key on each line, got an empty file; correct it")
    return keys


def parse_shares(text: str) -> list[ByShare]:
    """Cut all hashes into parts, "0.98 0.02"; ConfigError if they are no shares of a whole."""
    try:
        parts = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        parts = []
    if not parts or any(not 0 < part <= 1 for part in parts) or sum(parts) > 1 + 1e-9:
        raise ConfigError(f"--split must be shares above 0 that sum to at most 1, such as '0.98 0.02', got {text!r}")
    stops = np.cumsum(parts).tolist()
    if abs(stops[-1] - 1) < 1e-9:
        stops[-1] = 1.0 + 1e-9  # a hash of all ones is 1.0 as a float
    return [ByShare(first, stop) for first, stop in zip([0.0, *stops], stops, strict=False)]


def choose(where: str | None, keys: Path | None) -> All:
    """Combine the options of a command; ConfigError as they say."""
    choices: list[Choice] = []
    if where is not None:
        choices.append(Where(where))
    if keys is not None:
        choices.append(ByKeys(read_keys(keys)))
    return All(tuple(choices))
