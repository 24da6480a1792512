"""`condset doctor`: what of this machine and this installation works, and what to do about the rest.

    libraries, processor, memory, GPUs, weights, disk (, Ray) (, network) ──> findings ──> a table; exit 2 for a problem

A finding is ok, a warning (it works, but slower or not for everything) or a problem (a command will fail). Examining
changes nothing on the machine, and no library's own warning reaches the terminal.
"""

import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

SHOWN = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "ray",
    "datasets",
    "webdataset",
    "huggingface-hub",
    "timm",
    "controlnet-aux",
    "mmpose",
    "mmcv-lite",
)
"""The libraries that decide what works; of condset's other requirements only those at fault are shown."""

ALTERNATIVES = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "mmcv-lite": ("mmcv",),
}
"""Distributions that bring the same module: any one of them will do, two overwrite each other's files."""

LITTLE_MEMORY_BYTES = 4 << 30
"""torch and its libraries take about 1 GiB in each worker, DPT-Hybrid's parameters 0.5 GiB more."""
LITTLE_DISK_BYTES = 20 << 30
"""COCO's 118,287 training images stored at 512 x 512, about 90 KB each, are 11 GB without their conditions."""


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Level
    found: str
    advice: str = ""
    """What to do about it; empty if nothing."""


def examine(
    weights_dir: Path | None = None,
    *,
    network: bool = False,
    check_ray: Callable[[], Finding] | None = None,
) -> list[Finding]:
    """Look at everything, with `network` at the servers of the weights too.

    `check_ray` starts Ray and says how that went; it is the caller's, since only the executor may import ray.
    """
    return [
        Finding("python", Level.OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *_libraries(),
        *_devices(),
        _memory(),
        *_weights(weights_dir),
        _disk(Path.cwd()),
        *([check_ray()] if check_ray else []),
        *(_servers() if network else []),
    ]


def show(findings: list[Finding]) -> None:
    """Print the findings as a table."""
    from rich.console import Console
    from rich.table import Column, Table

    colours = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
    table = Table(Column("what", no_wrap=True), "", Column("found", overflow="fold"), Column("do", overflow="fold"))
    for finding in findings:
        level = f"[{colours[finding.level]}]{finding.level}[/]"
        table.add_row(finding.subject, level, _plain(finding.found), _plain(finding.advice))
    Console().print(table)


def command(check_ray: Callable[[], Finding]) -> Callable[..., None]:
    """Return the typer command `doctor`. `check_ray` is called for `--ray` alone: only the executor may import ray."""

    def doctor(
        weights_dir: Annotated[
            Path | None, typer.Option(help="Where weights lie, as <model>/<file>.", envvar="CONDSET_WEIGHTS")
        ] = None,
        network: Annotated[bool, typer.Option("--network", help="Ask the servers of the weights too.")] = False,
        ray: Annotated[bool, typer.Option("--ray", help="Start a local Ray instance and stop it again.")] = False,
    ) -> None:
        """Say what of this machine and this installation works, and what to do about the rest."""
        findings = examine(weights_dir, network=network, check_ray=check_ray if ray else None)
        show(findings)
        if any(finding.level is Level.PROBLEM for finding in findings):
            raise typer.Exit(2)

    return doctor


def _libraries() -> Iterator[Finding]:
    """Compare what is installed with what condset's own metadata requires."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in metadata.requires("condset") or []]
    except metadata.PackageNotFoundError:
        yield Finding("condset", Level.PROBLEM, "not installed", "run it with `uv run condset`, or `pip install .`")
        return
    yield Finding("condset", Level.OK, metadata.version("condset"))
    for requirement in sorted(requirements, key=lambda requirement: requirement.name):
        if requirement.marker is None or requirement.marker.evaluate():
            names = (requirement.name, *ALTERNATIVES.get(requirement.name, ()))
            installed = {name: version for name in names if (version := _version(name))}
            finding = _library(requirement.name, installed, str(requirement.specifier))
            if finding.level is not Level.OK or requirement.name in SHOWN:
                yield finding


def _library(name: str, installed: dict[str, str], specifier: str) -> Finding:
    """Judge one requirement by the distributions that could meet it, name to version."""
    from packaging.specifiers import SpecifierSet

    if not installed:
        return Finding(name, Level.PROBLEM, "not installed", f"install '{name}{specifier}'")
    found = ", ".join(f"{distribution} {version}" for distribution, version in installed.items())
    if len(installed) > 1:
        advice = "uninstall all but one and reinstall that one: they hold the same files"
        return Finding(name, Level.WARNING, found, advice)
    distribution, version = next(iter(installed.items()))
    if not SpecifierSet(specifier).contains(version, prereleases=True):
        return Finding(name, Level.WARNING, found, f"install '{distribution}{specifier}'")
    return Finding(name, Level.OK, found)


def _devices() -> Iterator[Finding]:
    """Ask torch about the processor and the GPUs; what it only warns about becomes part of the finding."""
    import psutil

    cores = f"{psutil.cpu_count(logical=False) or '?'} cores, {psutil.cpu_count()} threads"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
    except (ImportError, OSError) as error:
        yield Finding("processor", Level.OK, cores)
        yield Finding("torch", Level.PROBLEM, f"cannot be imported: {error}", "reinstall torch")
        return
    from stages.hardware.precision import resolve_dtype

    yield Finding("processor", Level.OK, f'{cores}; dtype = "auto" is {resolve_dtype("auto", "cpu")}')
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
        devices = [
            torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count() if usable else 0)
        ]
    said = " ".join(dict.fromkeys(" ".join(str(warning.message).split()) for warning in heard))
    driver = _driver()
    if not usable:
        yield _no_gpu(torch.version.cuda or torch.version.hip, driver, said)
    for device in devices:
        text = f"{device.name}, {device.total_memory / 2**30:.0f} GiB, driver {driver or 'unknown'}"
        if said:
            yield Finding("GPU", Level.WARNING, f"{text}. {said}", "install a torch that is built for this GPU")
        else:
            yield Finding("GPU", Level.OK, text)


def _no_gpu(toolkit: str | None, driver: str | None, said: str) -> Finding:
    """Say why torch sees no GPU. `toolkit`: the CUDA or ROCm that it was built for; `said`: its own warnings."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    slow = "the networks run on the processor, which is slow for more than a few thousand images"
    if driver is None:
        return Finding("GPU", Level.WARNING, "none: no NVIDIA driver answers here", slow)
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Finding("GPU", Level.WARNING, f"none: CUDA_VISIBLE_DEVICES is {hidden!r}", "unset it to use the GPU")
    if toolkit is None:
        found = f"none: this torch is built for processors alone, the driver is {driver}"
        return Finding("GPU", Level.PROBLEM, found, "install a torch with CUDA, or pass --device cpu")
    found = f"none: torch for {toolkit} cannot use driver {driver}. {said}".strip()
    return Finding("GPU", Level.PROBLEM, found, "update the driver or install a torch for an older CUDA")


def _driver() -> str | None:
    """Return the NVIDIA driver's version, or None if nvidia-smi is not there or finds no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    question = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(answer.stdout.split()), None)


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


def _weights(weights_dir: Path | None) -> Iterator[Finding]:
    """Look for every model's file. Its size is compared, its hash is not: `condset weights check` does that."""
    from stages.weights.catalogue import MODELS
    from stages.weights.store import WeightsStore

    store = WeightsStore(weights_dir, allow_network=False)
    for name, model in MODELS.items():
        path = store.find(name)
        subject = f"weights {name}"
        if path is None:
            yield Finding(subject, Level.WARNING, "missing", f"to use it: condset weights fetch {name}")
        elif model.size_bytes not in (None, path.stat().st_size):
            found = f"{path.stat().st_size} of {model.size_bytes} bytes in {path}"
            yield Finding(subject, Level.PROBLEM, found, f"delete it and run condset weights fetch {name}")
        else:
            yield Finding(subject, Level.OK, str(path))


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


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _plain(text: str) -> str:
    """Keep rich from reading a path with brackets as markup."""
    from rich.markup import escape

    return escape(text)
