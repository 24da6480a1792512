"""Under which licences the photographs of a data set are published, as far as its source says.

index (key, licence) ∩ keys of the records' samples ──> licence to number of samples
"""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.index import IndexReader, open_index
from pipeline.dataset.ledger import committed_names
from pipeline.dataset.plan import ShardPlan, plan_shards
from pipeline.dataset.record import ShardRecord, read_record
from pipeline.dataset.storage import Directory
from stages.errors import ShardCorrupt

COLUMNS = ["key", "license", "rejected_reason"]


def count_licenses(directory: Directory, samples_per_shard: int) -> dict[str, int]:
    """Count the samples by the licence that the index gives for each, the most frequent first; "" is not stated.

    A record that is missing or cannot be read counts nothing: `condset verify`, which renders the data card with these
    counts, names it. Raises OSError if the index cannot be read.
    """
    committed = set(committed_names(directory))
    counts: Counter[str] = Counter()
    index = open_index(directory)
    with IndexReader(directory, index) as reader:
        for plan in plan_shards(index.rows, samples_per_shard):
            if plan.name not in committed:
                continue
            try:
                record = read_record(directory, plan.name)
            except ShardCorrupt:
                continue
            for each in pc.value_counts(_licenses(reader, plan, record)).to_pylist():
                counts[each["values"]] += each["counts"]
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _licenses(reader: IndexReader, plan: ShardPlan, record: ShardRecord) -> pa.ChunkedArray:
    """The licence of each sample of a shard."""
    table = reader.read(plan.start, plan.stop, COLUMNS)
    keys = pa.array([entry.key for entry in record.samples], pa.string())
    # A rejected row may have the key of a sample: duplicate_key.
    is_sample = pc.and_(pc.is_in(table["key"], keys), pc.equal(table["rejected_reason"], ""))
    return table["license"].filter(is_sample)
