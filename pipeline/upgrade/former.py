"""Format 1 as it lies on disk.

    DATASET/dataset.json   index.parquet   shards/0000000.{tar,json}   layers/<name>/{dataset.json, shards/...}

The records lay beside their tars and the index was one file, which told of itself in its metadata. What is read here is
not judged: `condset verify` does that, when it has been brought over.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline.dataset.conditions import ModelUse
from pipeline.dataset.fingerprint import Inputs
from pipeline.dataset.index import open_part
from pipeline.dataset.manifest import FORMER_FORMAT, FORMER_INDEX, MANIFEST_FILE, Totals
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import SHARD_DIGITS
from pipeline.dataset.record import RECORD_SUFFIX, SHARDS, ShardRecord
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError
from stages.sources.index.dropped import from_metadata
from stages.sources.index.schema import SCHEMA

LISTED_BY = b"condset.listed_by"
ADDED_COLUMNS = ("texts", "numbers")
"""Of the index: what format 1 did not list. They are maps, and empty in every row that it has listed."""


@dataclass(frozen=True, slots=True)
class FormerCondition:
    """What made a condition; what it is follows from the configuration."""

    algorithm_version: int
    models: tuple[ModelUse, ...]


@dataclass(frozen=True, slots=True)
class FormerManifest:
    """dataset.json of format 1, as far as it does not follow from the rest."""

    complete: bool
    fingerprint: str
    inputs: Inputs
    config: Mapping[str, Any]
    """As `PrepareConfig` dumped it."""
    conditions: tuple[FormerCondition, ...]
    labels: Mapping[str, str]
    numerics: Numerics
    totals: Totals
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FormerIndex:
    """index.parquet: what it said of itself."""

    rows: int
    sha256: str
    dropped: Mapping[str, int]
    listed_by: str


def read_former_manifest(directory: Directory) -> FormerManifest | None:
    """Read dataset.json of format 1; None if it is not of that format. ManifestError if it is, and broken."""
    try:
        fields = json.loads(directory.read(MANIFEST_FILE))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if not isinstance(fields, dict) or fields.get("format") != FORMER_FORMAT:
        return None
    try:
        return FormerManifest(
            complete=fields["complete"],
            fingerprint=fields["fingerprint"],
            inputs=fields["inputs"],
            config=fields["config"],
            conditions=tuple(map(_condition, fields["conditions"])),
            labels=fields["labels"],
            numerics=Numerics(**fields["numerics"]),
            totals=Totals(**fields["totals"]),
            dropped=fields["dropped"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        where = directory / MANIFEST_FILE
        raise ManifestError(f"{where} must have format {FORMER_FORMAT}'s fields, got {error!r}; restore it") from None


def _condition(fields: Mapping[str, Any]) -> FormerCondition:
    models = tuple(ModelUse(**model) for model in fields["models"])
    return FormerCondition(fields["algorithm_version"], models)


def read_former_index(directory: Directory) -> FormerIndex:
    """Hash index.parquet and read what it says of itself; ManifestError if it is none of format 1."""
    try:
        with directory.open(FORMER_INDEX) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file does
            part = open_part(file)
            names, rows = part.schema_arrow.names, part.metadata.num_rows
            metadata = part.metadata.metadata or {}
            index = FormerIndex(rows, sha256, from_metadata(metadata), metadata.get(LISTED_BY, b"").decode())
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _no_index(directory, str(error)) from None
    expected = [name for name in SCHEMA.names if name not in ADDED_COLUMNS]
    if names != expected:
        raise _no_index(directory, f"columns {names}")
    return index


def former_batches(directory: Directory) -> Iterator[pa.RecordBatch]:
    """Read the rows of index.parquet, a row group at a time, with the columns that an index has now."""
    with directory.open(FORMER_INDEX) as file:
        yield from _batches(directory, file)


def _batches(directory: Directory, file: BinaryIO) -> Iterator[pa.RecordBatch]:
    try:
        part = open_part(file)
        for group in range(part.num_row_groups):
            table = part.read_row_group(group, use_threads=False)
            for name in ADDED_COLUMNS:
                empty = pa.array([[]] * table.num_rows, SCHEMA.field(name).type)
                table = table.add_column(SCHEMA.get_field_index(name), name, empty)
            yield from table.cast(SCHEMA).to_batches()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _no_index(directory, str(error)) from None


def _no_index(directory: Directory, got: str) -> ManifestError:
    return ManifestError(
        f"{directory / FORMER_INDEX} must be format {FORMER_FORMAT}'s index, got {' '.join(got.split())}; restore it"
    )


def former_shards(home: Directory) -> list[str]:
    """The names of the shards of a data set or a layer that have a record beside their tar, in order."""
    stems = (name.removesuffix(RECORD_SUFFIX) for name in (home / SHARDS).names() if name.endswith(RECORD_SUFFIX))
    return sorted(stem for stem in stems if len(stem) == SHARD_DIGITS and stem.isdecimal())


def former_record_file(shard: str) -> str:
    """The path of a record in its data set or layer."""
    return f"{SHARDS}/{shard}{RECORD_SUFFIX}"


def read_former_record(home: Directory, shard: str) -> ShardRecord:
    """Read a record, whose fields are the same as ever; ShardCorrupt if it is none."""
    name = former_record_file(shard)
    return ShardRecord.from_json(home.read(name), str(home / name))
