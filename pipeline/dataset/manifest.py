"""The manifest: what a data set says of itself as a whole. Everything in it is derived from the config and the records.

before the first shard:  dataset.json (complete = false)
after the last one:      records ──> shards.jsonl, rejected.jsonl, totals ──> dataset.json (complete = true)
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.dataset.fingerprint import FORMAT_VERSION, Inputs
from pipeline.dataset.ledger import records
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.shards import ShardRecord
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError

MANIFEST_FILE = "dataset.json"
SHARDS_FILE = "shards.jsonl"
REJECTED_FILE = "rejected.jsonl"
LAYERS = "layers"
"""The folder of a data set's layers, each a directory of the same shape."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A network whose output is in the data set."""

    name: str
    file: str
    sha256: str
    license: str


@dataclass(frozen=True, slots=True)
class ConditionEntry:
    """One condition of the data set, and what made it."""

    name: str
    annotator: str
    algorithm_version: int
    extensions: tuple[str, ...]
    models: tuple[ModelUse, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all shards; all but `rows` and `shards` are 0 until the data set is complete."""

    rows: int
    shards: int
    samples: int = 0
    rejected: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    tar_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """dataset.json."""

    name: str
    split: str
    complete: bool
    fingerprint: str
    inputs: Inputs
    config: Mapping[str, Any]
    """The resolved configuration, as `PrepareConfig` dumps it."""
    conditions: tuple[ConditionEntry, ...]
    labels: Mapping[str, str]
    """Category id, in decimal, to name; empty without label maps."""
    numerics: Numerics
    totals: Totals
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many rows of the source are not candidates, by the filter that dropped them."""
    format: int = FORMAT_VERSION

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, indent=2).encode() + b"\n"


def read_manifest(directory: Directory) -> Manifest:
    """Read dataset.json; ManifestError if it is missing, malformed or of another format."""
    where = directory / MANIFEST_FILE
    try:
        fields = json.loads(directory.read(MANIFEST_FILE))
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestError(f"{where} must be a data set's manifest, got none; `condset prepare` makes one") from None
    except ValueError as error:
        raise ManifestError(f"{where} must be JSON, got {error}; remove it and prepare again") from None
    try:
        if fields["format"] != FORMAT_VERSION:
            raise ManifestError(f"{where} must have format {FORMAT_VERSION}, got {fields['format']}; use its condset")
        conditions = tuple(
            ConditionEntry(
                **entry
                | {
                    "extensions": tuple(entry["extensions"]),
                    "models": tuple(ModelUse(**model) for model in entry["models"]),
                }
            )
            for entry in fields.pop("conditions")
        )
        numerics, totals = Numerics(**fields.pop("numerics")), Totals(**fields.pop("totals"))
        return Manifest(conditions=conditions, numerics=numerics, totals=totals, **fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{where} must have format {FORMAT_VERSION}'s fields, got {error!r}; prepare again"
        ) from None


def load_finished(directory: Directory) -> Manifest:
    """Read the manifest of a complete data set; ManifestError if it is not complete yet."""
    manifest = read_manifest(directory)
    if not manifest.complete:
        raise ManifestError(
            f"{directory} must be complete, got one that is still being made; run `condset prepare` again"
        )
    return manifest


def layer_names(directory: Directory) -> list[str]:
    """The names of a data set's layers, finished or not, sorted; what is hidden is none."""
    return sorted(name for name in (directory / LAYERS).names() if not name.startswith("."))


def write_manifest(directory: Directory, manifest: Manifest) -> None:
    """Write dataset.json: with `complete` false to claim a directory, with true as the last file of a data set."""
    directory.write(MANIFEST_FILE, manifest.to_json())


def summarise(directory: Directory, manifest: Manifest) -> Manifest:
    """Derive shards.jsonl, rejected.jsonl and the totals from the records; returns the complete manifest.

    Raises ManifestError if the records do not account for every row of the index.
    """
    shards = directory / "shards"
    samples = tar_bytes = accounted = 0
    reasons: Counter[str] = Counter()
    with directory.create(SHARDS_FILE) as lines, directory.create(REJECTED_FILE) as rejected:
        for record in records(shards):
            samples += len(record.samples)
            tar_bytes += record.tar_bytes
            accounted += len(record.samples) + len(record.rejected)
            reasons.update(each.reason.value for each in record.rejected)
            lines.write(shard_line(record))
            rejected.writelines(rejected_lines(record))
    if accounted != manifest.totals.rows:
        raise ManifestError(
            f"{shards} must account for all {manifest.totals.rows} rows of the index, got {accounted}; "
            "`condset verify` names the shard"
        )
    totals = replace(
        manifest.totals,
        samples=samples,
        rejected=reasons.total(),
        rejected_by_reason=dict(sorted(reasons.items())),
        tar_bytes=tar_bytes,
    )
    return replace(manifest, complete=True, totals=totals)


def shard_line(record: ShardRecord) -> bytes:
    """One line of shards.jsonl."""
    fields = {
        "name": record.name,
        "tar": record.tar,
        "samples": len(record.samples),
        "rejected": len(record.rejected),
        "bytes": record.tar_bytes,
        "sha256": record.tar_sha256,
    }
    return json.dumps(fields).encode() + b"\n"


def rejected_lines(record: ShardRecord) -> Iterator[bytes]:
    """The lines of rejected.jsonl that come from one shard."""
    for each in record.rejected:
        fields = {"shard": record.name, "key": each.key, "reason": each.reason.value, "detail": each.detail}
        yield json.dumps(fields, ensure_ascii=False).encode() + b"\n"
