"""The names of tars that `--retry-rejected` writes, and which tars their records no longer name.

    0000000.tar ──first retry──> 0000000.r1.tar ──third retry──> 0000000.r3.tar

The number is that of the retry of the whole data set, so that it does not depend on how often a worker was lost.
"""

import re

from pipeline.dataset.plan import SHARD_DIGITS
from pipeline.dataset.record import SHARDS, read_record
from pipeline.dataset.storage import Directory

RETRIED_TAR = re.compile(rf"([0-9]{{{SHARD_DIGITS}}})\.r([1-9][0-9]*)\.tar")


def retried_tar(shard: str, retry: int) -> str:
    """The file name of a shard's tar that retry 1, 2, ... has written."""
    return f"{shard}.r{retry}.tar"


def is_tar_of(name: str, shard: str) -> bool:
    """Whether a shard's record may name a file as its tar."""
    match = RETRIED_TAR.fullmatch(name)
    return name == f"{shard}.tar" or (match is not None and match[1] == shard)


def last_retry(home: Directory) -> int:
    """The highest number of a retry among the tars; 0 without one."""
    return max((int(match[2]) for name in (home / SHARDS).names() if (match := RETRIED_TAR.fullmatch(name))), default=0)


def replaced_tars(home: Directory) -> list[str]:
    """The tars of retried shards that their records do not name: a retry was cut off before or after its record.

    Only the records of shards that have a retried tar are read; a shard without record is not committed and not judged.
    """
    names = set((home / SHARDS).names())
    replaced = []
    for shard in sorted({match[1] for name in names if (match := RETRIED_TAR.fullmatch(name))}):
        try:
            named = read_record(home, shard).tar
        except FileNotFoundError:
            continue
        replaced += [name for name in names if is_tar_of(name, shard) and name != named]
    return sorted(replaced)
