"""Check which files there are: what must be there, and what a reader's glob would wrongly take for data.

Hidden files are let be: no reader sees them, and a copy that came through a hub or a desktop has some.
"""

import contextlib
from collections.abc import Iterable, Iterator

from pipeline.dataset.index import PARTS, Index
from pipeline.dataset.manifest import LAYERS
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import RECORD_SUFFIX, RECORDS, SHARDS
from pipeline.dataset.shards import is_tar_of, replaced_tars
from pipeline.dataset.storage import Directory
from pipeline.verify.problem import REMAKE_MANIFEST, Problem
from stages.errors import ShardCorrupt
from stages.locations import PARTIAL, is_hidden


def check_names(
    directory: Directory, required: Iterable[str], plans: Iterable[ShardPlan], is_complete: bool
) -> Iterator[Problem]:
    """Yield the files of a data set or a layer that are missing or foreign.

    `required` are the names besides shards/, records/ and layers/, some of which come only when all shards are made.
    The records and tars of the plans are not missed here.
    """
    there = set(directory.names())
    for name in sorted({*required} - there if is_complete else ()):
        yield Problem("", "", f"{name} must be there, got none; {REMAKE_MANIFEST}")
    for name in sorted(there - {*required, SHARDS, RECORDS, LAYERS}):
        yield from _foreign(name)
    records = set((directory / RECORDS).names())
    planned = {plan.name + RECORD_SUFFIX for plan in plans}
    for name in sorted(records - planned):
        yield from _foreign(f"{RECORDS}/{name}")
    for name in sorted((directory / SHARDS).names()):
        shard = name.partition(".")[0]
        # A tar whose record is foreign is reported with it, and that is enough.
        if not (is_tar_of(name, shard) and shard + RECORD_SUFFIX in planned | records):
            yield from _foreign(f"{SHARDS}/{name}")
    with contextlib.suppress(ShardCorrupt):  # which is reported with its shard
        for name in replaced_tars(directory):
            yield Problem(
                "",
                "",
                f"{SHARDS}/{name} must have been removed by the retry that replaced it, got it still there; prepare "
                "again",
            )


def check_parts(directory: Directory, index: Index) -> Iterator[Problem]:
    """Yield the files among the index's parts that index.json does not name."""
    for name in sorted({*(directory / PARTS).names()} - {part.file for part in index.parts}):
        yield from _foreign(f"{PARTS}/{name}")


def _foreign(name: str) -> Iterator[Problem]:
    if name.endswith(PARTIAL):
        yield Problem(
            "", "", f"{name} must have been removed by the run that wrote it, got it still there; prepare again"
        )
    elif not is_hidden(name):
        yield Problem("", "", f"{name} must not be there: it belongs to none of the shards and files; remove it")
