"""Cores are counted as a container or a batch system allows them."""

import os
from pathlib import Path

import pytest

from stages.hardware.cores import usable_cores

MINE = len(os.sched_getaffinity(0))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def test_without_a_quota_the_affinity_mask_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == MINE
    assert usable_cores(write(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"})) == MINE


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"},
        {
            "proc/self/cgroup": "0::/a/b",
            "sys/fs/cgroup/a/cpu.max": "100000 100000",
            "sys/fs/cgroup/a/b/cpu.max": "max 1",
        },
        {
            "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/x",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "80000",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000",
        },
    ],
    ids=["a container's own root", "a group above", "version 1"],
)
def test_a_quota_of_one_core_or_less_is_one(files: dict[str, str], tmp_path: Path) -> None:
    assert usable_cores(write(tmp_path, files)) == 1


def test_a_quota_above_the_mask_changes_nothing(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": f"{100_000 * (MINE + 3)} 100000"}
    assert usable_cores(write(tmp_path, files)) == MINE


def test_a_quota_of_version_1_that_is_none_counts_nothing(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/cpu/"
    files = {"proc/self/cgroup": "3:cpu:/", f"{group}cpu.cfs_quota_us": "-1", f"{group}cpu.cfs_period_us": "100000"}
    assert usable_cores(write(tmp_path, files)) == MINE
