"""The manifest: what a data set says of itself as a whole. Everything in it is derived from the config and the records.

before the first shard:  dataset.json (complete = false)
after the last one:      records ──> shards.jsonl, rejected.jsonl, keys.npy, totals ──> dataset.json (complete = true)
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.config import PrepareConfig
from pipeline.dataset.conditions import ConditionEntry
from pipeline.dataset.fingerprint import FORMAT_VERSION, Inputs, fingerprint
from pipeline.dataset.keys import KEYS_FILE, KeyCollector
from pipeline.dataset.ledger import commit_check, records
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.record import RECORDS, ShardRecord, read_record
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError
from stages.locations import is_hidden
from stages.settings import Mark, marks, plain

MANIFEST_FILE = "dataset.json"
SHARDS_FILE = "shards.jsonl"
REJECTED_FILE = "rejected.jsonl"
LAYERS = "layers"
"""The folder of a data set's layers, each a directory of the same shape."""
FORMER_FORMAT = 1
FORMER_INDEX = "index.parquet"
"""By which a data set of format 1 is known that has no dataset.json yet."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The stored images, as far as all of them are alike."""

    format: str
    """Their extension: jpg or png."""
    sizes_pixels: tuple[tuple[int, int], ...]
    """Width and height of every size that occurs; each record has the size of each of its samples."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Where the pairs came from."""

    kind: str
    split: str


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
    source: SourceFacts
    image: ImageFacts
    samples_per_shard: int
    conditions: tuple[ConditionEntry, ...]
    labels: Mapping[str, str]
    """Category id, in decimal, to name; empty without label maps."""
    numerics: Numerics
    totals: Totals
    config: Mapping[str, Any]
    """The resolved configuration, as `PrepareConfig` dumps it: for making more of it, and for people to read."""
    marks: Mapping[str, str]
    """Dotted name of a setting to its mark, "place" or "manner": those are no part of what was made."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many rows of the source are not candidates, by the filter that dropped them."""
    format: int = FORMAT_VERSION

    @property
    def size_pixels(self) -> tuple[int, int]:
        """Width and height of the images, which all have the same."""
        (size,) = self.image.sizes_pixels
        return size

    def settings_of(self, entry: ConditionEntry, leave_out: Collection[Mark] = ()) -> dict[str, Any]:
        """Return the `[[annotators]]` table that made a condition, without the settings of these marks."""
        position = self.conditions.index(entry)
        table: dict[str, Any] = self.config["annotators"][position]
        return {
            name: value
            for name, value in table.items()
            if self.marks.get(f"annotators.{position}.{name}") not in leave_out
        }

    def to_json(self) -> bytes:
        fields = {"format": self.format} | asdict(self)
        fields["conditions"] = [entry.to_fields() for entry in self.conditions]
        return json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"


def describe(
    config: PrepareConfig,
    inputs: Inputs,
    conditions: tuple[ConditionEntry, ...],
    labels: Mapping[str, str],
    numerics: Numerics,
    totals: Totals,
    dropped: Mapping[str, int],
) -> Manifest:
    """Describe a data set, or a layer, that is about to be made."""
    return Manifest(
        name=config.name,
        split=config.source.split,
        complete=False,
        fingerprint=fingerprint(inputs),
        inputs=inputs,
        source=SourceFacts(config.source.kind, config.source.split),
        image=ImageFacts(config.image.format, (config.image.size_pixels,)),
        samples_per_shard=config.samples_per_shard,
        conditions=conditions,
        labels=labels,
        numerics=numerics,
        totals=totals,
        config=plain(config),
        marks=marks(config),
        dropped=dict(dropped),
    )


def read_manifest(directory: Directory) -> Manifest:
    """Read dataset.json; ManifestError if it is missing, malformed or of another format."""
    where = directory / MANIFEST_FILE
    try:
        fields = json.loads(directory.read(MANIFEST_FILE))
    except (FileNotFoundError, NotADirectoryError):
        if directory.exists(FORMER_INDEX):
            raise _of_former_format(directory / FORMER_INDEX, f"`condset upgrade {directory}`") from None
        raise ManifestError(f"{where} must be a data set's manifest, got none; `condset prepare` makes one") from None
    except ValueError as error:
        raise ManifestError(f"{where} must be JSON, got {error}; remove it and prepare again") from None
    try:
        _check_format(where, directory, fields)
        image = fields.pop("image")
        sizes = tuple((width, height) for width, height in image["sizes_pixels"])
        return Manifest(
            source=SourceFacts(**fields.pop("source")),
            image=ImageFacts(image["format"], sizes),
            conditions=tuple(map(ConditionEntry.from_fields, fields.pop("conditions"))),
            numerics=Numerics(**fields.pop("numerics")),
            totals=Totals(**fields.pop("totals")),
            **fields,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(
            f"{where} must have format {FORMAT_VERSION}'s fields, got {error!r}; prepare again"
        ) from None


def _check_format(where: Directory, directory: Directory, fields: Mapping[str, Any]) -> None:
    found = fields["format"]
    if found == FORMER_FORMAT:
        of_layer = "`condset upgrade` of the data set whose layer it is"
        is_layer = "base" in fields.get("inputs", {})
        raise _of_former_format(where, of_layer if is_layer else f"`condset upgrade {directory}`")
    if found != FORMAT_VERSION:
        raise ManifestError(f"{where} must have format {FORMAT_VERSION}, got {found}; read it with its own condset")


def _of_former_format(where: Directory, command: str) -> ManifestError:
    return ManifestError(
        f"{where} must have format {FORMAT_VERSION}, got {FORMER_FORMAT}; {command} brings it over and touches no tar"
    )


def load_finished(directory: Directory) -> Manifest:
    """Read the manifest of a complete data set; ManifestError if it is not complete yet."""
    manifest = read_manifest(directory)
    if not manifest.complete:
        raise ManifestError(
            f"{directory} must be complete, got one that is still being made; run `condset prepare` again"
        )
    return manifest


def refuse_layer(directory: Directory, manifest: Manifest) -> None:
    """Raise ManifestError if what was named as a data set is a layer of one."""
    if "base" in manifest.inputs:
        name = directory.location.rstrip("/").rpartition("/")[2]
        raise ManifestError(
            f"{directory} must be a data set, got a layer of one; name the data set that it lies in, whose {LAYERS}/"
            f"{name} it is"
        )


def load_dataset(directory: Directory) -> Manifest:
    """Read the manifest of a complete data set; ManifestError if it is not complete yet, or a layer."""
    refuse_layer(directory, read_manifest(directory))
    return load_finished(directory)


def layer_names(directory: Directory) -> list[str]:
    """The names of a data set's layers, finished or not, sorted; what is hidden is none."""
    return sorted(name for name in (directory / LAYERS).names() if not is_hidden(name))


def write_manifest(directory: Directory, manifest: Manifest) -> None:
    """Write dataset.json: with `complete` false to claim a directory, with true as the last file of a data set."""
    directory.write(MANIFEST_FILE, manifest.to_json())


def publish_manifest(directory: Directory, manifest: Manifest) -> None:
    """Write the first dataset.json of a directory; ShardConflict if there is one, which it is never taken from."""
    with directory.publish(MANIFEST_FILE) as file:
        file.write(manifest.to_json())


def refuse_other_sizes(directory: Directory, manifest: Manifest) -> None:
    """Raise ShardCorrupt if a tar of a complete data set has not the size that its record gives; none is opened.

    Records are read only where shards.jsonl says otherwise: a retry that was killed has not derived it anew.
    """
    check = commit_check(directory, manifest.fingerprint)
    for line in map(json.loads, directory.read(SHARDS_FILE).splitlines()):
        if not check.is_whole(line["tar"], line["bytes"]):
            check(read_record(directory, line["name"]))


def summarise(
    directory: Directory, manifest: Manifest, check: Callable[[ShardRecord], None] = lambda record: None
) -> Manifest:
    """Derive shards.jsonl, rejected.jsonl, the key file and the totals from the records; returns the complete manifest.

    Raises ManifestError if the records do not account for every row of the index, and what `check` raises of one.
    """
    samples = tar_bytes = accounted = 0
    reasons: Counter[str] = Counter()
    keys = KeyCollector()
    with directory.create(SHARDS_FILE) as lines, directory.create(REJECTED_FILE) as rejected:
        for record in records(directory):
            check(record)
            samples += len(record.samples)
            tar_bytes += record.tar_bytes
            accounted += len(record.samples) + len(record.rejected)
            reasons.update(str(each.reason) for each in record.rejected)
            keys.add(record)
            lines.write(shard_line(record))
            rejected.writelines(rejected_lines(record))
    if accounted != manifest.totals.rows:
        raise ManifestError(
            f"{directory / RECORDS} must account for all {manifest.totals.rows} rows of the index, got {accounted}; "
            "`condset verify` names the shard"
        )
    directory.write(KEYS_FILE, keys.content())
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
        fields = {"shard": record.name, "key": each.key, "reason": str(each.reason), "detail": each.detail}
        yield json.dumps(fields, ensure_ascii=False).encode() + b"\n"
