"""One of the workers of a run, and what they agree on.

    worker 0 ──load, check──┐                      ┌──> all go on
    worker 1 ──load, check──┴─together: any error? ┴──> all raise the first one

Invariant: what stops one worker stops all of them at the same point, with the same error, so none waits for ever and
the worker that keeps the checkpoints can keep the last whole step.
"""

import contextlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from stages.errors import CondsetError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Worker:
    """Which of the workers this process is; with more than one, torch.distributed connects them."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Run a block on every worker; the first error of ours, or interrupt, of any of them is raised by all."""
        if self.count == 1:
            yield
            return
        error: BaseException | None = None
        try:
            yield
        except (CondsetError, KeyboardInterrupt) as raised:
            error = raised
        if self.sum(float(error is not None)):
            raise next(each for each in self.gather(error) if each is not None) from error

    def sum(self, value: float) -> float:
        """Add up a number over the workers."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=_device())
        distributed.all_reduce(total)
        return float(total)

    def gather(self, value: Value) -> list[Value]:
        """Collect a picklable value of each worker, by rank."""
        if self.count == 1:
            return [value]
        contents: list[bytes] = [b""] * self.count
        distributed.all_gather_object(contents, pickle.dumps(value))
        return [pickle.loads(content) for content in contents]


def _device() -> str:
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"
