"""How many cores this process may use: those of its affinity mask, as far as a container's quota pays for them.

    affinity (taskset, Slurm)  ──┐
    cgroup v2: cpu.max ──────────┼── the least, at least 1
    cgroup v1: cpu.cfs_quota_us ─┘   (Docker's --cpus, Kubernetes' limits)

A container of two cores on a machine of 128 that started 128 threads would be throttled to a crawl.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("sys/fs/cgroup")
OWN_GROUPS = Path("proc/self/cgroup")


def usable_cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use, at least 1; `root` is where the kernel's files are looked for."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The CPUs that each group above this process allows it, where one does."""
    for group in _own_groups(root):
        limit = _read(group / "cpu.max").split()
        if len(limit) == 2 and limit[0] != "max":
            yield float(limit[0]) / float(limit[1])
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        if quota and period and int(quota) > 0:
            yield int(quota) / int(period)


def _own_groups(root: Path) -> Iterator[Path]:
    """The folders of this process's groups and of those above them; in a container it sees its own as the root."""
    for line in _read(root / OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / CGROUPS / controllers  # of version 2, which names none, the folder itself
        own = mount / path.lstrip("/")
        yield own
        yield from (parent for parent in own.parents if parent == mount or mount in parent.parents)


def _read(path: Path) -> str:
    """The content of a kernel's file; empty if there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
