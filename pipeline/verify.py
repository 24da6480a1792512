"""`condset verify`: is this data set what it says it is?

    dataset.json, index.parquet ──> plans ──> each record and tar ──> each sample's members ──(--deep)──> its conditions
    records ──> shards.jsonl, rejected.jsonl, README.md as they should be

Nothing is repaired and nothing raises for a defect: each one is a `Problem` that names the shard and the key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.card import CARD_FILE, render_card
from pipeline.config import PrepareConfig, check_config
from pipeline.fingerprint import fingerprint
from pipeline.index import INDEX_FILE, IndexFile, open_index
from pipeline.ledger import committed_names
from pipeline.manifest import (
    MANIFEST_FILE,
    REJECTED_FILE,
    SHARDS_FILE,
    Manifest,
    read_manifest,
    rejected_lines,
    shard_line,
)
from pipeline.plan import plan_shards
from pipeline.shards import RECORD_SUFFIX, ShardRecord, read_record
from pipeline.storage import Directory
from pipeline.verify_deep import DeepCheck
from pipeline.verify_shard import Problem, check_shard
from stages.errors import ShardCorrupt
from stages.weights import WeightsStore

KNOWN_FILES = frozenset({MANIFEST_FILE, SHARDS_FILE, REJECTED_FILE, CARD_FILE, INDEX_FILE})


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found."""

    shards: int
    samples: int
    problems: tuple[Problem, ...]


def verify(
    directory: Directory,
    deep: bool,
    weights: WeightsStore,
    device: str,
    progress: Callable[[int], None] = lambda samples: None,
) -> Report:
    """Check every file, hash, count and member of a data set; with `deep`, compute every condition again.

    Raises ManifestError if dataset.json or the index cannot be read at all, and WeightsError if `deep` needs weights
    that are not there. Whatever else is wrong is in the report.
    """
    manifest = read_manifest(directory)
    index = open_index(directory)
    config = check_config(dict(manifest.config), f"{directory / MANIFEST_FILE} config", PrepareConfig)
    recompute = DeepCheck(config, manifest.numerics, weights, device) if deep else None
    shards = directory / "shards"
    problems = list(_check_manifest(manifest, index))
    plans = plan_shards(index.rows, config.samples_per_shard)
    problems += _check_names(directory, shards, {plan.name for plan in plans})
    sound: list[ShardRecord] = []
    seen: dict[str, str] = {}
    for plan in plans:
        try:
            record = read_record(shards, plan.name)
        except FileNotFoundError:
            problems.append(Problem(plan.name, "", f"record {plan.name}{RECORD_SUFFIX} is missing; prepare again"))
            continue
        except ShardCorrupt as error:
            problems.append(Problem(plan.name, "", str(error)))
            continue
        sound.append(record)
        for entry in record.samples:
            if entry.key in seen:
                problems.append(Problem(plan.name, entry.key, f"the key is in shard {seen[entry.key]} already"))
            seen[entry.key] = plan.name
        problems += check_shard(directory, plan, record, manifest, recompute)
        progress(plan.rows)
    problems += _check_derived(directory, manifest, sound)
    return Report(len(sound), sum(len(record.samples) for record in sound), tuple(problems))


def _check_manifest(manifest: Manifest, index: IndexFile) -> Iterator[Problem]:
    if not manifest.complete:
        yield Problem("", "", "dataset.json says that the data set is not complete; prepare again")
    if fingerprint(manifest.inputs) != manifest.fingerprint:
        yield Problem("", "", "dataset.json's fingerprint is not that of its inputs")
    if manifest.inputs.get("index.sha256") != index.sha256:
        yield Problem(
            "", "", f"index.parquet must have sha256 {manifest.inputs.get('index.sha256')}, got {index.sha256}"
        )
    if manifest.totals.rows != index.rows:
        yield Problem("", "", f"dataset.json must count the index's {index.rows} rows, got {manifest.totals.rows}")


def _check_names(directory: Directory, shards: Directory, planned: set[str]) -> Iterator[Problem]:
    """Find files that belong to nothing: what a reader's glob would take for data."""
    for name in sorted(shards.names()):
        stem, _, suffix = name.partition(".")
        if suffix == "json" and stem not in planned:
            yield Problem(stem, "", f"{name} is no record of this data set's plans; remove it")
        elif suffix == "tar" and name not in _tars_of_records(shards, stem):
            yield Problem(stem, "", f"{name} is a tar without a record; prepare again, or remove it")
        elif suffix not in ("json", "tar"):
            yield Problem(stem, "", f"{name} is no file of a shard; remove it")
    for name in sorted(set(directory.names()) - KNOWN_FILES - {"shards", "layers"}):
        yield Problem("", "", f"{name} is no file of a data set; remove it")


def _tars_of_records(shards: Directory, stem: str) -> set[str]:
    if stem not in committed_names(shards):
        return set()
    try:
        return {read_record(shards, stem).tar}
    except ShardCorrupt:
        return {f"{stem}.tar"}  # the record's own problem is reported with its shard


def _check_derived(directory: Directory, manifest: Manifest, records: list[ShardRecord]) -> Iterator[Problem]:
    """Compare the files that are derived from the records with what they should be."""
    expected = {
        SHARDS_FILE: b"".join(shard_line(record) for record in records),
        REJECTED_FILE: b"".join(line for record in records for line in rejected_lines(record)),
        CARD_FILE: render_card(directory, manifest).encode(),
    }
    for name, content in expected.items():
        if not directory.exists(name):
            yield Problem("", "", f"{name} is missing; prepare again")
        elif directory.read(name) != content:
            yield Problem("", "", f"{name} is stale: it does not follow from the records; prepare again")
    samples = sum(len(record.samples) for record in records)
    rejected = sum(len(record.rejected) for record in records)
    if (manifest.totals.samples, manifest.totals.rejected) != (samples, rejected):
        yield Problem(
            "",
            "",
            f"dataset.json must count the records' {samples} samples and {rejected} rejected, "
            f"got {manifest.totals.samples} and {manifest.totals.rejected}; prepare again",
        )
