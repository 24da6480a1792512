"""Look at everything that decides what works here.

    libraries, processor, memory, GPUs, disk (, Ray) (, network) ──> findings    weights ──> a state for each file

Examining changes nothing on the machine, and no library's own warning reaches the terminal.
"""

import platform
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.doctor import torch_report
from pipeline.doctor.devices import examine_devices
from pipeline.doctor.finding import Finding, Level
from pipeline.doctor.libraries import examine_libraries
from pipeline.doctor.weights import WeightsState, examine_weights

LITTLE_MEMORY_BYTES = 4 << 30
"""torch and its libraries take about 1 GiB in each worker, DPT-Hybrid's parameters 0.5 GiB more."""
LITTLE_DISK_BYTES = 20 << 30
"""COCO's 118,287 training images stored at 512 x 512, about 90 KB each, are 11 GB without their conditions."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found."""

    findings: tuple[Finding, ...]
    weights: tuple[WeightsState, ...]

    @property
    def has_problems(self) -> bool:
        levels = [each.level for each in self.findings] + [each.level for each in self.weights]
        return Level.PROBLEM in levels


def examine(
    weights_dir: Path | None = None,
    *,
    network: bool = False,
    check_ray: Callable[[], Finding] | None = None,
) -> Diagnosis:
    """Look at everything, with `network` at the servers of the weights too.

    `check_ray` starts Ray and says how that went; it is the caller's, since only the executor may import ray.
    """
    asked = torch_report.start()
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    libraries = [Finding("python", Level.OK, version), *examine_libraries()]
    machine = [_memory(), _disk(Path.cwd())]
    weights = examine_weights(weights_dir)
    devices = examine_devices(torch_report.finish(asked))
    more = [*([check_ray()] if check_ray else []), *(_servers() if network else [])]
    return Diagnosis((*libraries, *devices, *machine, *more), tuple(weights))


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    limit = Path("/sys/fs/cgroup/memory.max")
    total = memory.total
    if limit.is_file() and limit.read_text().strip().isdecimal():
        total = min(total, int(limit.read_text()))
    available = min(memory.available, total)
    found = f"{available / 2**30:.1f} GiB available of {total / 2**30:.1f} GiB"
    if available < LITTLE_MEMORY_BYTES:
        return Finding("memory", Level.WARNING, found, "use --workers 1 and one network at a time")
    return Finding("memory", Level.OK, found)


def _disk(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    found = f"{free / 2**30:.1f} GiB free in {directory}"
    if free < LITTLE_DISK_BYTES:
        return Finding("disk", Level.WARNING, found, "a whole COCO data set needs more: choose an --out elsewhere")
    return Finding("disk", Level.OK, found)


def _servers() -> list[Finding]:
    """Ask the hub and every other server of weights, all at once: without a network each takes its whole timeout."""
    from huggingface_hub import constants

    from stages.weights.catalogue import MODELS, HubFile

    sites = {
        f"https://{urlsplit(model.url).netloc}" for model in MODELS.values() if not isinstance(model.source, HubFile)
    }
    with ThreadPoolExecutor() as threads:
        return list(threads.map(_server, [constants.ENDPOINT, *sorted(sites)]))


def _server(site: str) -> Finding:
    from stages.web.download import why_unreachable

    reason = why_unreachable(site)
    if reason is None:
        return Finding("network", Level.OK, f"{site} answers")
    advice = "check HTTPS_PROXY, or fetch weights elsewhere and pass --weights-dir"
    return Finding("network", Level.WARNING, f"{site}: {reason}", advice)
