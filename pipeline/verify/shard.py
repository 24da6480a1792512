"""Check one shard, of a data set or of a layer: its record, its tar, every sample in it.

    plan, index rows ──> record ──> tar ──> members of each sample ──(--deep)──> conditions, computed again

What a problem of the record explains is not reported again from the tar.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.config import PrepareConfig
from pipeline.dataset.index import Index
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import SHARDS, SampleEntry, ShardRecord, read_bound_record
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.verify.deep import DeepCheck
from pipeline.verify.manifest import read_index_rows
from pipeline.verify.problem import REMAKE_SHARD, Problem
from pipeline.verify.record import check_record, read_own_record
from pipeline.verify.sample import SampleCheck
from pipeline.verify.tar import CheckMembers, check_tar
from stages.records import IndexRow


@dataclass(frozen=True, slots=True)
class ShardFinding:
    """What came of checking one shard."""

    record: ShardRecord | None
    """None if it is missing, cannot be read or is another shard's."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ShardCheck:
    """What every shard is held against. Without `deep`, it may be called from several threads."""

    home: Directory
    """The data set or the layer."""
    config: PrepareConfig
    fingerprints: frozenset[str]
    """The record must be made for one of them."""
    indexed: Directory
    """The data set whose index the shards were made from."""
    index: Index | None
    """That index; None if the one there is another one by now."""
    base: Directory | None
    """In a layer: the data set below."""
    sample: SampleCheck
    deep: DeepCheck | None
    progress: Callable[[int], None]
    """Told of rows as they are checked; each shard tells of all of its rows."""

    def __call__(self, plan: ShardPlan) -> ShardFinding:
        """Find every defect of one shard; in a layer, of one whose shard below is sound.

        Raises ManifestError if the index's rows cannot be read, StorageError if the storage fails.
        """
        below, base_sha256 = self._below(plan)
        expected = len(below.samples) if below else plan.rows
        record = read_own_record(self.home, plan, self.fingerprints, self.config, base_sha256)
        if isinstance(record, Problem):
            self.progress(expected)
            return ShardFinding(None, (record,))
        rows = self._rows(plan, below)
        candidates = {row.key: row for row in rows if row.rejection is None}
        problems = list(check_record(record, rows, self.config))
        checked = 0

        def check_sample(entry: SampleEntry, members: dict[str, bytes]) -> Iterator[Problem]:
            nonlocal checked
            checked += 1
            yield from self._check_sample(record, entry.key, members, candidates.get(entry.key), below)
            self.progress(1)

        problems += self._check_tar(record, frozenset(each.key for each in problems), check_sample)
        self.progress(expected - checked)
        return ShardFinding(record, tuple(problems))

    def _below(self, plan: ShardPlan) -> tuple[ShardRecord | None, str]:
        """The record that a layer's shard belongs to, and its sha256."""
        if self.base is None:
            return None, ""
        return read_bound_record(self.base, plan.name)

    def _rows(self, plan: ShardPlan, below: ShardRecord | None) -> list[IndexRow]:
        """The rows of the index that a shard accounts for: in a layer, those of the samples below."""
        rows = read_index_rows(self.indexed, self.index, plan) if self.index else []
        if below is None:
            return rows
        keys = {entry.key for entry in below.samples}
        return [row for row in rows if row.rejection is None and row.key in keys]

    def _check_tar(
        self, record: ShardRecord, suspects: frozenset[str], check_sample: CheckMembers
    ) -> Iterator[Problem]:
        if not record.tar:
            name = f"{record.name}.tar"
            if (self.home / SHARDS).exists(name):
                what = f"{name} must not be there, since its record rejects every row; remove it"
                yield Problem(record.name, "", what)
            return
        try:
            with (self.home / SHARDS).open(record.tar) as file:
                yield from check_tar(file, record, suspects, check_sample)
        except FileNotFoundError as error:
            got = "a folder" if isinstance(error.__cause__, IsADirectoryError) else "none"
            yield Problem(record.name, "", f"{record.tar} must be there, got {got}; {REMAKE_SHARD}")

    def _check_sample(
        self,
        record: ShardRecord,
        key: str,
        members: dict[str, bytes],
        row: IndexRow | None,
        below: ShardRecord | None,
    ) -> Iterator[Problem]:
        found = list(self.sample(key, members, row))
        if self.deep and row and not found:
            found = list(self.deep(record, row, members | self._members_below(key, below)))
        yield from (Problem(record.name, key, f"{what}; {REMAKE_SHARD}") for what in found)

    def _members_below(self, key: str, below: ShardRecord | None) -> dict[str, bytes]:
        """The members that a layer's sample has in the data set below: its image and texts among them."""
        if self.base is None or below is None:
            return {}
        return read_sample(self.base, below, next(entry for entry in below.samples if entry.key == key))
