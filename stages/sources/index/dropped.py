"""Rows that a source passes over without listing them: how many, and why.

A source that filters says so with its batches: the schema metadata of a batch counts the rows that were passed over
since the batch before. Counts so travel with the rows, from whatever process lists them to the index that stores them,
and a listing that stops early has counted what it has read.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

import pyarrow as pa

METADATA_KEY = b"condset.dropped"


MOST_SUFFIXES = 20
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


def pass_over(counts: Counter[str], name: str, kind: str) -> None:
    """Count a file, or whatever `kind` says in the plural, by the suffix of its name: ".mp4 files"."""
    suffix = PurePosixPath(name).suffix.lower()
    known = f"{suffix} {kind}" if _SUFFIX.fullmatch(suffix) else f"other {kind}"
    counts[known if known in counts or len(counts) < MOST_SUFFIXES else f"other {kind}"] += 1


def with_dropped(batch: pa.RecordBatch, counts: Mapping[str, int]) -> pa.RecordBatch:
    """Return the batch with counts, by the filters' names in the order in which they are applied."""
    return batch.replace_schema_metadata(to_metadata(counts))


def to_metadata(counts: Mapping[str, int]) -> dict[bytes, bytes]:
    """Return counts as the metadata of a schema or a file."""
    return {METADATA_KEY: json.dumps(counts).encode()} if counts else {}


def from_metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, int]:
    """Return the counts of a schema's or a file's metadata; empty if there are none."""
    counts: dict[str, int] = json.loads((metadata or {}).get(METADATA_KEY, b"{}"))
    return counts
