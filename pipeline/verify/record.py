"""Check a shard's record: that it is one, of this shard and this data set, and that it accounts for every row.

The invariant: every row of the plan is a sample or a rejection of the record, once, in the order of the index.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence

from pipeline.config import PrepareConfig
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord, read_record, record_file
from pipeline.dataset.shards import is_tar_of
from pipeline.dataset.storage import Directory
from pipeline.verify.field_types import mistyped
from pipeline.verify.manifest import unusable_numerics
from pipeline.verify.problem import REMAKE_SHARD, Problem
from stages.errors import ShardCorrupt
from stages.records import IndexRow


def read_own_record(
    home: Directory, plan: ShardPlan, fingerprints: frozenset[str], config: PrepareConfig, base_sha256: str
) -> ShardRecord | Problem:
    """Read the record of a plan, or say why it is none, or another's.

    It must be made for one of the fingerprints and, in a layer, be bound to the record with `base_sha256`.
    """
    name = record_file(plan.name)
    try:
        record = read_record(home, plan.name)
    except FileNotFoundError:
        return Problem(plan.name, "", f"{name} must be there, got none; prepare again")
    except ShardCorrupt as error:
        return Problem(plan.name, "", str(error))
    what = mistyped(record)
    if what:
        what = f"must have the format's types, got {what}"
    elif (record.name, record.start, record.stop) != (plan.name, plan.start, plan.stop):
        expected, got = f"rows {plan.start} to {plan.stop}", f"rows {record.start} to {record.stop}"
        what = f"must be of shard {plan.name} with {expected}, got {record.name} with {got}"
    elif record.plan not in {plan.digest(each) for each in fingerprints}:
        what = "must be a record of this data set, got one of another fingerprint"
    elif not (is_tar_of(record.tar, plan.name) if record.samples else record.tar == ""):
        what = f"must name the tar of its {len(record.samples)} samples as the shard, got {record.tar!r}"
    elif record.base_sha256 != base_sha256:
        what = "must be bound to the record below it, got another base_sha256"
    else:
        what = unusable_numerics(config, record.numerics)
    return Problem(plan.name, "", f"{name} {what}; {REMAKE_SHARD}") if what else record


def check_record(record: ShardRecord, rows: Sequence[IndexRow], config: PrepareConfig) -> Iterator[Problem]:
    """Yield what is wrong with a record's samples and rejections; without rows, only what it shows by itself."""
    width, height = config.image.size_pixels
    for entry in record.samples:
        if (entry.width, entry.height) != (width, height):
            got = f"{entry.width}x{entry.height}"
            yield _problem(record, entry.key, f"must give the sample {width}x{height} pixels, got {got}")
    if rows:
        yield from _check_keys(record, rows)


def _problem(record: ShardRecord, key: str, what: str) -> Problem:
    return Problem(record.name, key, f"{record_file(record.name)} {what}; {REMAKE_SHARD}")


def _check_keys(record: ShardRecord, rows: Sequence[IndexRow]) -> Iterator[Problem]:
    """Find the rows that are not accounted for, and keys of no row.

    Keys are counted, since one may be in the index twice: the second row is rejected as a duplicate of the first.
    """
    recorded = Counter([each.key for each in record.samples] + [each.key for each in record.rejected])
    listed = Counter(row.key for row in rows)
    lost = deque((listed - recorded).elements())
    for key in (recorded - listed).elements():
        if key in listed:
            what = f"must have the key {listed[key]} times, like the index, got it {recorded[key]} times"
        else:
            place = f"in place of {lost.popleft()}" if lost else "besides"
            what = f"must have only the keys of its rows in the index, got this one {place}"
        yield _problem(record, key, what)
    for key in lost:
        yield _problem(record, key, "must have the key among its samples or rejections, got neither")
    if recorded == listed:
        yield from _check_order(record, rows)


def _check_order(record: ShardRecord, rows: Sequence[IndexRow]) -> Iterator[Problem]:
    """Walk along samples and rejections in the order of the index, up to the first that is out of line."""
    samples, rejected = deque(record.samples), deque(record.rejected)
    for row in rows:
        if row.rejection is None and samples and samples[0].key == row.key:
            samples.popleft()
        elif rejected and rejected[0].key == row.key and row.rejection in (None, rejected[0]):
            rejected.popleft()
        else:
            expected = "list the key in the order of the index"
            if row.rejection:
                expected = f"reject the key as {row.rejection.reason}, like the index"
            yield _problem(record, row.key, f"must {expected}, got something else")
            return
