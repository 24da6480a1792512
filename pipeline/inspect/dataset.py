"""`condset inspect`: what is in a data set, finished or not.

    records ───────────────────────────> counts, sizes, rejections            of every sample
    index, records ─────────────────────> licences of the photographs          of every sample
    records ──evenly_spaced──> read_sample ──> originals, captions, ...  of some samples, and it says of how many

Nothing is checked here that `condset verify` checks; a sample that cannot be read at all is an error.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.dataset.ledger import records
from pipeline.dataset.manifest import Manifest, read_manifest
from pipeline.dataset.reader import Dataset, open_unfinished
from pipeline.dataset.record import ShardRecord
from pipeline.dataset.storage import Directory
from pipeline.inspect.distribution import Distribution, distribution
from pipeline.inspect.evenly_spaced import evenly_spaced
from pipeline.inspect.statistics import ConditionStatistics, Tally, tally_for
from pipeline.publish.licenses import count_licenses
from stages.annotators.keypose.skeleton import SCORE_THRESHOLD
from stages.errors import ShardCorrupt
from stages.records import Condition

EXAMPLES = 3
CAPTION_BIN_CHARACTERS = 25
LAST_CAPTION_BIN = 200


@dataclass(frozen=True, slots=True)
class Rejected:
    """The candidates that were rejected for one reason."""

    reason: str
    count: int
    examples: tuple[tuple[str, str], ...]
    """Key and detail of the first ones."""


@dataclass(frozen=True, slots=True)
class Captions:
    """All captions of the examined samples."""

    per_sample: Distribution
    characters: Distribution
    captions_by_characters: Mapping[str, int]
    """Length in bins of 25 characters, "200 and more" is the last."""
    non_ascii_share: float
    """Of the captions: how many have a character outside of ASCII."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Conditions that were added to the data set later."""

    name: str
    complete: bool
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What the examined samples hold."""

    samples: int
    """How many were examined, evenly spaced over the data set."""
    original_width_pixels: Distribution
    original_height_pixels: Distribution
    captions: Captions
    member_bytes: Mapping[str, Distribution]
    """Extension to the size of that file."""
    conditions: Mapping[str, ConditionStatistics]
    """Of the data set and its layers; of a layer, over the samples that it has."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in a data set."""

    name: str
    split: str
    complete: bool
    fingerprint: str
    shards: int
    """Committed so far."""
    shards_planned: int
    rows: int
    """Candidates in the index."""
    samples: int
    rejected: int
    tar_bytes: int
    layers: tuple[Layer, ...]
    image_sizes: Mapping[str, int]
    """"512x512" to the number of samples of that size."""
    licenses: Mapping[str, int]
    """Licence of the photograph, as the source states it, to the number of samples."""
    rejections: tuple[Rejected, ...]
    contents: Contents | None
    """None without a single sample."""


def inspect_data_set(
    directory: Directory,
    examine: int,
    progress: Callable[[int, int], None] = lambda examined, of: None,
) -> Inspection:
    """Describe the data set, with statistics over `examine` of its samples (0: all).

    Raises ManifestError if the directory holds no data set, ShardCorrupt if a record or a sample cannot be read.
    """
    manifest = read_manifest(directory)
    counts = _Counts()
    for record in records(directory):
        counts.add(record)
    samples = sum(counts.samples_by_shard.values())
    dataset = open_unfinished(directory, counts.samples_by_shard)
    contents = _Contents(dataset)
    examined = min(examine or samples, samples)
    for shard, position in evenly_spaced(counts.samples_by_shard, examine):
        contents.add(shard, position)
        progress(contents.samples, examined)
    return Inspection(
        name=manifest.name,
        split=manifest.split,
        complete=manifest.complete,
        fingerprint=manifest.fingerprint,
        shards=len(counts.samples_by_shard),
        shards_planned=manifest.totals.shards,
        rows=manifest.totals.rows,
        samples=samples,
        rejected=counts.reasons.total(),
        tar_bytes=counts.tar_bytes,
        layers=tuple(
            Layer(each.name, each.manifest.complete, tuple(entry.name for entry in each.manifest.conditions))
            for each in dataset.layers
        ),
        image_sizes=dict(counts.image_sizes.most_common()),
        licenses=count_licenses(directory, manifest.samples_per_shard),
        rejections=tuple(
            Rejected(reason, count, tuple(counts.examples[reason])) for reason, count in sorted(counts.reasons.items())
        ),
        contents=contents.result() if examined else None,
    )


@dataclass(slots=True)
class _Counts:
    """What the records alone tell."""

    samples_by_shard: dict[str, int] = field(default_factory=dict)
    image_sizes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    tar_bytes: int = 0

    def add(self, record: ShardRecord) -> None:
        self.samples_by_shard[record.name] = len(record.samples)
        self.image_sizes.update(f"{entry.width}x{entry.height}" for entry in record.samples)
        self.tar_bytes += record.tar_bytes
        for each in record.rejected:
            self.reasons[str(each.reason)] += 1
            examples = self.examples.setdefault(str(each.reason), [])
            if len(examples) < EXAMPLES:
                examples.append((each.key, each.detail))


class _Contents:
    """What the files of the examined samples tell."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._tallies = _tallies(dataset.manifest)
        in_layers = (_tallies(layer.manifest) for layer in dataset.layers)
        self._layer_tallies = {name: tally for tallies in in_layers for name, tally in tallies.items()}
        self._in_layers: Counter[str] = Counter()
        self._widths: list[int] = []
        self._heights: list[int] = []
        self._captions_per_sample: list[int] = []
        self._characters: list[int] = []
        self._non_ascii = 0
        self._member_bytes: dict[str, list[int]] = {}

    @property
    def samples(self) -> int:
        return len(self._widths)

    def add(self, shard: str, position: int) -> None:
        """Read one sample and count it; ShardCorrupt if that is impossible."""
        sample = self._dataset.read(shard, position)
        members = sample.files
        try:
            self._add_description(members)
            for tally in self._tallies.values():
                tally.add(members)
            for name, tally in self._layer_tallies.items():
                if tally.extension in members:
                    tally.add(members)
                    self._in_layers[name] += 1
        except (KeyError, OSError, SyntaxError, TypeError, ValueError) as error:
            raise ShardCorrupt(
                f"{self._dataset.directory} shard {shard} sample {sample.key} must be readable, got "
                f"{error!r}; `condset verify` says what is wrong"
            ) from None
        for extension, content in members.items():
            self._member_bytes.setdefault(extension, []).append(len(content))

    def _add_description(self, members: Mapping[str, bytes]) -> None:
        fields = json.loads(members["json"])
        captions: list[str] = fields["captions"]
        self._widths.append(int(fields["original_width"]))
        self._heights.append(int(fields["original_height"]))
        self._captions_per_sample.append(len(captions))
        self._characters += map(len, captions)
        self._non_ascii += sum(not caption.isascii() for caption in captions)

    def result(self) -> Contents:
        bins = Counter(
            min(length // CAPTION_BIN_CHARACTERS * CAPTION_BIN_CHARACTERS, LAST_CAPTION_BIN)
            for length in self._characters
        )
        tallies = self._tallies | {name: self._layer_tallies[name] for name in self._in_layers}
        return Contents(
            samples=self.samples,
            original_width_pixels=distribution(self._widths),
            original_height_pixels=distribution(self._heights),
            captions=Captions(
                per_sample=distribution(self._captions_per_sample),
                characters=distribution(self._characters),
                captions_by_characters={_bin_name(start): count for start, count in sorted(bins.items())},
                non_ascii_share=self._non_ascii / len(self._characters),
            ),
            member_bytes={extension: distribution(sizes) for extension, sizes in sorted(self._member_bytes.items())},
            conditions={name: tally.result() for name, tally in tallies.items()},
        )


def _bin_name(start: int) -> str:
    return f"{start} and more" if start == LAST_CAPTION_BIN else f"{start} to {start + CAPTION_BIN_CHARACTERS - 1}"


def _tallies(manifest: Manifest) -> dict[str, Tally]:
    names = {int(number): name for number, name in manifest.labels.items()}
    tallies = {}
    for entry in manifest.conditions:
        score_threshold = float(manifest.settings_of(entry).get("score_threshold", SCORE_THRESHOLD))
        tallies[entry.name] = tally_for(Condition(entry.name), score_threshold, names)
    return tallies
