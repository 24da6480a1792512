"""A retry that is killed at any instant loses no sample, and the next one goes on."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.record import read_record
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.retry import retry_rejected
from pipeline.verify.dataset import verify
from stages.records import Reason
from stages.weights.store import WeightsStore
from tests.misbehaving_server import MisbehavingServer
from tests.offline import offline
from tests.pipeline.conftest import Make, Run
from tests.pipeline.execution.web_index import fetch_table, jpeg, write_web_index

WAYS = ["photo", "missing", "down", "photo", "photo"]
STEPS = [
    "tar synced",
    "tar linked",
    "partial removed",
    "folder synced",
    "record synced",
    "record put in place",
    "folder synced",
    "tar removed",
]

KILLED_BEFORE = """
import os, sys
from pipeline.dataset.record import read_record
from pipeline.dataset.shards import EncodedSample, Replacement, read_sample, recommit_shard
from pipeline.dataset.storage import Directory

home, whole, steps = Directory(sys.argv[1]), Directory(sys.argv[2]), int(sys.argv[3])

def counted(step):
    def run(*arguments, **named):
        global steps
        if steps == 0:
            os._exit(9)
        steps -= 1
        return step(*arguments, **named)
    return run

for name in ("fsync", "link", "unlink", "replace", "remove"):
    setattr(os, name, counted(getattr(os, name)))
former, record = read_record(home, "0000000"), read_record(whole, "0000000")
kept = {entry.key: entry for entry in former.samples}
outcomes = [
    kept.get(entry.key)
    or EncodedSample(entry.key, tuple(read_sample(whole, record, entry).items()), entry.width, entry.height)
    for entry in record.samples
]
recommit_shard(home, Replacement(former, "0000000.r1.tar"), former.numerics, [*outcomes, *record.rejected])
"""


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer([jpeg(number) for number in range(5)]) as serving:
        yield serving


@pytest.mark.slow
def test_killed_before_each_step_a_retry_has_lost_nothing_and_the_next_one_completes_it(
    server: MisbehavingServer, make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    config = make_config(fetch=fetch_table(), max_rejected_fraction=1.0)

    def retry(out: Path) -> None:
        reasons = frozenset({Reason.HTTP_5XX})
        retry_rejected(config, Directory(str(out)), offline(), reasons)

    write_web_index(tmp_path / "data", server, WAYS)
    run_inline(config, tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "whole")
    server.is_fixed = True
    retry(tmp_path / "whole")
    before, whole = samples(tmp_path / "data"), samples(tmp_path / "whole")
    assert len(whole) == len(before) + 1
    for steps in range(len(STEPS) + 1):
        out = tmp_path / f"killed{steps}"
        shutil.copytree(tmp_path / "data", out)
        arguments = [str(out), str(tmp_path / "whole"), str(steps)]
        process = subprocess.run([sys.executable, "-c", KILLED_BEFORE, *arguments], stderr=subprocess.PIPE)
        assert (process.returncode, process.stderr) == (9 if steps < len(STEPS) else 0, b"")
        assert samples(out) == (before if steps <= STEPS.index("record synced") + 1 else whole), steps
        retry(out)
        assert samples(out) == whole
        assert read_manifest(Directory(str(out))).totals.rejected_by_reason == {"http_404": 1}
        assert [str(each) for each in verify(Directory(str(out)), True, WeightsStore(), "cpu").problems] == [], steps


def samples(out: Path) -> dict[str, dict[str, bytes]]:
    """Key to members of the only shard, as its record gives them."""
    home = Directory(str(out))
    record = read_record(home, "0000000")
    return {entry.key: read_sample(home, record, entry) for entry in record.samples}
