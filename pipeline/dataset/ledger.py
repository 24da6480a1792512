"""The ledger: which shards are committed. The folder of the records is the ledger, one record a shard.

Only names are read: 100,000 committed shards are recognised without opening one of them.
"""

from collections.abc import Iterable, Iterator

from pipeline.dataset.index import PARTS
from pipeline.dataset.plan import SHARD_DIGITS, ShardPlan
from pipeline.dataset.record import RECORD_SUFFIX, RECORDS, SHARDS, ShardRecord, read_record
from pipeline.dataset.storage import Directory


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
    for place in (home, home / PARTS, home / SHARDS, home / RECORDS):
        place.remove_partials()


def missing(plans: Iterable[ShardPlan], home: Directory) -> list[ShardPlan]:
    """The plans whose shards are not committed yet."""
    committed = set(committed_names(home))
    return [plan for plan in plans if plan.name not in committed]


def records(home: Directory) -> Iterator[ShardRecord]:
    """Read every committed shard's record, in order; ShardCorrupt if one cannot be read."""
    for name in committed_names(home):
        yield read_record(home, name)
