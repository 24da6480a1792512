"""The ledger: which shards are committed. The folder of the records is the ledger, one record a shard.

Only names are read: 100,000 committed shards are recognised without opening one of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.dataset.index import PARTS
from pipeline.dataset.plan import SHARD_DIGITS, ShardPlan
from pipeline.dataset.record import RECORD_SUFFIX, RECORDS, SHARDS, ShardRecord, read_record, record_file
from pipeline.dataset.storage import Directory
from stages.errors import ShardConflict, ShardCorrupt
from stages.locations import PARTIAL


def committed_names(home: Directory) -> list[str]:
    """The names of the committed shards, in order."""
    stems = (name.removesuffix(RECORD_SUFFIX) for name in (home / RECORDS).names() if name.endswith(RECORD_SUFFIX))
    return sorted(stem for stem in stems if len(stem) == SHARD_DIGITS and stem.isdecimal())


def make_folders(home: Directory) -> None:
    """Make the folders of a data set's or a layer's shards and records."""
    for folder in (SHARDS, RECORDS):
        (home / folder).make()


def remove_partials(home: Directory) -> None:
    """Remove what attempts that were cut off have left in a data set, its index among it, or in a layer."""
    for place in _places(home):
        place.remove_partials()


def has_partials(home: Directory) -> bool:
    """Whether an attempt that was cut off, or one that is being made, has left something there."""
    return any(name.endswith(PARTIAL) for place in _places(home) for name in place.names())


def _places(home: Directory) -> tuple[Directory, ...]:
    return (home, home / PARTS, home / SHARDS, home / RECORDS)


def missing(plans: Iterable[ShardPlan], home: Directory) -> list[ShardPlan]:
    """The plans whose shards are not committed yet."""
    committed = set(committed_names(home))
    return [plan for plan in plans if plan.name not in committed]


@dataclass(frozen=True, slots=True)
class CommitCheck:
    """Holds committed shards against the data set that they are about to be called complete in."""

    home: Directory
    fingerprint: str
    tar_bytes: Mapping[str, int]
    """Of the tars that are there."""

    def __call__(self, record: ShardRecord) -> None:
        """Raise ShardConflict if a record is another data set's, ShardCorrupt if its tar has not the size it should."""
        where = self.home / record_file(record.name)
        if record.plan != ShardPlan(int(record.name), record.start, record.stop).digest(self.fingerprint):
            raise ShardConflict(
                f"{where} must be the record of a shard of this data set, got one of another, which a second run has "
                "written; remove it and its tar, and prepare again"
            )
        if not self.is_whole(record.tar, record.tar_bytes):
            raise ShardCorrupt(
                f"{self.home / SHARDS / record.tar} must have {record.tar_bytes} bytes, as its record says, got "
                f"{self.tar_bytes.get(record.tar, 'no file')}; delete {record_file(record.name)} and prepare again"
            )

    def is_whole(self, tar: str, expected_bytes: int) -> bool:
        """Whether a tar has its size; a shard without one, of which every sample was rejected, lacks nothing."""
        return not tar or self.tar_bytes.get(tar) == expected_bytes


def commit_check(home: Directory, fingerprint: str) -> CommitCheck:
    """Look at what lies in shards/, once, to hold any number of records against it."""
    return CommitCheck(home, fingerprint, (home / SHARDS).sizes())


def records(home: Directory) -> Iterator[ShardRecord]:
    """Read every committed shard's record, in order; ShardCorrupt if one cannot be read."""
    for name in committed_names(home):
        yield read_record(home, name)
