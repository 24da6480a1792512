"""The processor and the GPUs, as torch and the NVIDIA driver see them."""

import os
import shutil
import subprocess
from collections.abc import Iterator

from pipeline.doctor.finding import Finding, Level
from pipeline.doctor.torch_report import TorchReport
from stages.hardware.cores import usable_cores


def examine_devices(torch: TorchReport | str) -> Iterator[Finding]:
    """Say what the networks can run on. `torch`: its report, or why it cannot be imported."""
    import psutil

    cores = f"{psutil.cpu_count(logical=False) or '?'} cores, {psutil.cpu_count()} threads"
    if usable_cores() < (psutil.cpu_count() or 1):
        cores += f", {usable_cores()} of them for this process"
    if isinstance(torch, str):
        yield Finding("processor", Level.OK, cores)
        yield Finding("torch", Level.PROBLEM, f"cannot be imported: {torch}", "reinstall torch")
        return
    yield Finding("processor", Level.OK, f'{cores}; dtype = "auto" is {torch.dtype}')
    driver = _driver()
    if not torch.gpus:
        yield _no_gpu(torch, driver)
    for name, memory_bytes in torch.gpus:
        text = f"{name}, {memory_bytes / 2**30:.0f} GiB, driver {driver or 'unknown'}"
        if torch.said:
            yield Finding("GPU", Level.WARNING, f"{text}. {torch.said}", "install a torch that is built for this GPU")
        else:
            yield Finding("GPU", Level.OK, text)


def _no_gpu(torch: TorchReport, driver: str | None) -> Finding:
    """Say why torch sees no GPU."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    slow = "the networks run on the processor, which is slow for more than a few thousand images"
    if driver is None:
        return Finding("GPU", Level.WARNING, "none: no NVIDIA driver answers here", slow)
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Finding("GPU", Level.WARNING, f"none: CUDA_VISIBLE_DEVICES is {hidden!r}", "unset it to use the GPU")
    if torch.toolkit is None:
        found = f"none: this torch is built for processors alone, the driver is {driver}"
        return Finding("GPU", Level.PROBLEM, found, "install a torch with CUDA, or pass --device cpu")
    found = f"none: torch for {torch.toolkit} cannot use driver {driver}. {torch.said}".strip()
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
