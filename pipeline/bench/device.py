"""The device that a bench measures: how a title names it, how a worker uses it, and when it has finished.

A GPU takes work and says at once that it has it: whatever is timed ends with `finish`.
"""

from pipeline.config import ExecutionConfig
from pipeline.execution.resources import Allocation, allocate, this_machine


def device_name(device: str) -> str:
    """Name "cpu" by the threads that compute on it, "cuda" by the GPU's model."""
    import torch

    return f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name()


def worker_allocation(device: str) -> Allocation:
    """Return the batch size and threads that `condset prepare` gives a worker on this device."""
    return allocate(ExecutionConfig.model_validate({"device": device}), this_machine(), inline=True)


def finish(device: str) -> None:
    """Wait until everything that the device was given is computed; on a CPU it is."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
