"""What torch says of this machine, asked in a process of its own: importing it takes seconds, and may end a process.

    start() ──> a Python that imports torch ──one line of JSON──> TorchReport, or why there is none

Other things are looked at meanwhile.
"""

import json
import subprocess
import sys
import warnings
from dataclasses import asdict, dataclass

PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from pipeline.doctor.torch_report import main; main()"
"""Finds modules where this process does: a folder `pipeline` in the working directory is somebody else's."""


@dataclass(frozen=True, slots=True)
class TorchReport:
    """torch's answers."""

    toolkit: str | None
    """The CUDA or ROCm that it was built for."""
    dtype: str
    """What dtype = "auto" becomes on the processor."""
    gpus: tuple[tuple[str, int], ...]
    """Name and bytes of memory of each that it can use."""
    said: str
    """Its own warnings about them."""


def start() -> "subprocess.Popen[str]":
    """Start asking; `finish` has the answer."""
    command = [sys.executable, "-c", PROGRAM, *sys.path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(asked: "subprocess.Popen[str]") -> TorchReport | str:
    """Wait for torch's report; if it cannot be imported, what it said last."""
    answer, errors = asked.communicate()
    if asked.returncode:
        return next(reversed(errors.split("\n")[:-1]), f"it ended with {asked.returncode}")
    fields = json.loads(answer.splitlines()[-1])
    return TorchReport(**fields | {"gpus": tuple((name, memory) for name, memory in fields["gpus"])})


def main() -> None:
    """Print the report of this process's torch."""
    warnings.simplefilter("ignore")
    import torch

    from stages.hardware.precision import resolve_dtype

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
        devices = [
            torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count() if usable else 0)
        ]
    report = TorchReport(
        toolkit=torch.version.cuda or torch.version.hip,
        dtype=resolve_dtype("auto", "cpu"),
        gpus=tuple((device.name, device.total_memory) for device in devices),
        said=" ".join(dict.fromkeys(" ".join(str(warning.message).split()) for warning in heard)),
    )
    print(json.dumps(asdict(report)))
