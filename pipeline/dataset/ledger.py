"""The ledger: which shards are committed. The directory itself is the ledger, one record a shard.

Only names are read: 100,000 committed shards are recognised without opening one of them.
"""

from collections.abc import Iterable, Iterator

from pipeline.dataset.plan import SHARD_DIGITS, ShardPlan
from pipeline.dataset.shards import RECORD_SUFFIX, ShardRecord, read_record
from pipeline.dataset.storage import Directory


def committed_names(shards: Directory) -> list[str]:
    """The names of the committed shards, in order."""
    stems = (name.removesuffix(RECORD_SUFFIX) for name in shards.names() if name.endswith(RECORD_SUFFIX))
    return sorted(stem for stem in stems if len(stem) == SHARD_DIGITS and stem.isdecimal())


def missing(plans: Iterable[ShardPlan], shards: Directory) -> list[ShardPlan]:
    """The plans whose shards are not committed yet."""
    committed = set(committed_names(shards))
    return [plan for plan in plans if plan.name not in committed]


def records(shards: Directory) -> Iterator[ShardRecord]:
    """Read every committed shard's record, in order; ShardCorrupt if one cannot be read."""
    for name in committed_names(shards):
        yield read_record(shards, name)
