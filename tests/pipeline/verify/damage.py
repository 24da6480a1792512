"""Tools for damaging a data set: a copy of a sound one, and ways to change it that leave everything else consistent.

`rewrite` and its like make what a bug in condset or a careful forger would make: tar, record, shards.jsonl, totals and
card all agree, and only what is inside is wrong.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from pipeline.dataset.ledger import records
from pipeline.dataset.manifest import Manifest, read_manifest, summarise, write_manifest
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import SHARDS, SampleEntry, ShardRecord, record_file
from pipeline.dataset.shards import commit_shard, read_sample
from pipeline.dataset.storage import Directory
from pipeline.publish.card import CARD_FILE, render_card
from stages.records import EncodedSample, Rejection

Members: TypeAlias = dict[str, bytes]
Wanted: TypeAlias = Callable[[Members], bool]


@dataclass(frozen=True, slots=True)
class Said:
    """What verify must say of a defect: one problem, there, with these words (a regular expression)."""

    shard: str
    key: str
    words: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a sound data set, to be damaged; `random` chooses the shard, the sample and the byte."""

    path: Path
    random: Random

    @property
    def directory(self) -> Directory:
        return Directory(str(self.path))

    @property
    def shards(self) -> Directory:
        return self.directory / SHARDS

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.directory)

    def shard(self) -> ShardRecord:
        """Draw a shard of several samples."""
        return self.random.choice([record for record in records(self.directory) if len(record.samples) > 1])

    def sample(self, wanted: Wanted = lambda members: True) -> tuple[ShardRecord, SampleEntry]:
        """Draw a sample that is neither the first nor the last of its shard, and whose members are as wanted."""
        samples = [(record, entry) for record in records(self.directory) for entry in record.samples[1:-1]]
        return self.random.choice([each for each in samples if wanted(self.read(*each))])

    def rejecting_shard(self) -> ShardRecord:
        """Draw a shard that has samples and rejections."""
        return self.random.choice([record for record in records(self.directory) if record.samples and record.rejected])

    def edit_json(self, name: str, change: Callable[[Any], object]) -> None:
        """Change the content of a JSON file in place."""
        path = self.path / name
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    def flip(self, name: str, position: int) -> None:
        """Flip one bit of the byte at a position."""
        content = bytearray((self.path / name).read_bytes())
        content[position] ^= 1 << self.random.randrange(8)
        (self.path / name).write_bytes(content)

    def put_record(self, record: ShardRecord) -> None:
        """Replace a record, and nothing else."""
        self.directory.write(record_file(record.name), record.to_json())

    def read(self, record: ShardRecord, entry: SampleEntry) -> Members:
        return read_sample(self.directory, record, entry)

    def encoded(self, record: ShardRecord) -> list[EncodedSample]:
        """Every sample of a shard, as it was given to be written."""
        return [
            EncodedSample(entry.key, tuple(sorted(self.read(record, entry).items())), entry.width, entry.height)
            for entry in record.samples
        ]

    def commit(self, record: ShardRecord, samples: list[EncodedSample]) -> None:
        """Commit other samples in place of a shard's, under the same numerics."""
        plan = ShardPlan(int(record.name), record.start, record.stop)
        outcomes: list[EncodedSample | Rejection] = [*samples, *record.rejected]
        fingerprint = self.manifest.fingerprint
        self.directory.remove(record_file(record.name))  # a shard that is committed is never replaced
        commit_shard(self.directory, plan, fingerprint, record.numerics, outcomes, record.base_sha256)

    def rewrite(self, record: ShardRecord, samples: list[EncodedSample]) -> None:
        """Commit other samples in place of a shard's, and derive everything anew."""
        self.commit(record, samples)
        self.derive()

    def rewrite_sample(
        self, change: Callable[[Members], Members], wanted: Wanted = lambda members: True
    ) -> tuple[str, str]:
        """Replace the members of one sample, consistently; returns its shard and key."""
        record, entry = self.sample(wanted)
        samples = [
            replace(sample, members=tuple(sorted(change(dict(sample.members)).items())))
            if sample.key == entry.key
            else sample
            for sample in self.encoded(record)
        ]
        self.rewrite(record, samples)
        return record.name, entry.key

    def rewrite_member(
        self, extension: str, change: Callable[[bytes], bytes], wanted: Wanted = lambda members: True
    ) -> tuple[str, str]:
        """Replace one member of one sample, consistently; returns its shard and key."""
        return self.rewrite_sample(lambda members: members | {extension: change(members[extension])}, wanted)

    def derive(self) -> None:
        """Write shards.jsonl, rejected.jsonl, the totals and the card as they follow from the records."""
        finished = summarise(self.directory, self.manifest)
        self.directory.write(CARD_FILE, render_card(self.directory, finished).encode())
        write_manifest(self.directory, finished)
