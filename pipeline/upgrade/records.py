"""Records on their way from shards/ to records/: the same but for the digests by which they belong to what is around.

    plan          digest of the data set's fingerprint and the rows, of the new fingerprint
    base_sha256   in a layer: of the record below, as it lies in records/

A record that did not belong to what is around keeps its digests, and `condset verify` names it as before. One record of
each thread is in memory.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from pipeline.dataset.ledger import committed_names, make_folders
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import record_file
from pipeline.dataset.storage import Directory
from pipeline.upgrade.former import former_record_file, former_shards, read_former_record

THREADS = 8
"""Records are small: one at a time would wait for the disk or the store."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, and of how many files how many are done."""


@dataclass(frozen=True, slots=True)
class RecordMove:
    """The records of a data set or a layer, and the digests that change in them."""

    home: Directory
    former_fingerprint: str
    fingerprint: str
    base: Directory | None
    """In a layer: the data set below, whose records are in their place already."""

    def __call__(self, shard: str) -> None:
        """Write the record of a shard into its new place; ShardCorrupt if the former one is none."""
        record = read_former_record(self.home, shard)
        plan = ShardPlan(int(shard), record.start, record.stop)
        if record.plan == plan.digest(self.former_fingerprint):
            record = replace(record, plan=plan.digest(self.fingerprint))
        if self.base is not None:
            with suppress(FileNotFoundError):
                if record.base_sha256 == _sha256(self.base, former_record_file(shard)):
                    record = replace(record, base_sha256=_sha256(self.base, record_file(shard)))
        with self.home.publish(record_file(shard)) as file:
            file.write(record.to_json())


def _sha256(home: Directory, name: str) -> str:
    return hashlib.sha256(home.read(name)).hexdigest()


def move_records(move: RecordMove, progress: Progress) -> None:
    """Write all records of a data set or a layer that are not in their new place yet; the former ones stay."""
    make_folders(move.home)
    there = set(committed_names(move.home))
    shards = [shard for shard in former_shards(move.home) if shard not in there]
    _in_threads(move, shards, progress, "writing records")


def remove_former_records(home: Directory, progress: Progress) -> int:
    """Remove the records beside the tars; returns how many there were."""
    shards = former_shards(home)
    _in_threads(lambda shard: home.remove(former_record_file(shard)), shards, progress, "removing the former records")
    return len(shards)


def _in_threads(task: Callable[[str], None], shards: Sequence[str], progress: Progress, what: str) -> None:
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="upgrade")
    try:
        for done, _ in enumerate(pool.map(task, shards), 1):
            progress(what, done, len(shards))
    finally:
        pool.shutdown(cancel_futures=True)
