"""What a run is given beside its configuration: who does the work, where weights are found, who hears of it.

    command, benchmark, test ──> Environment ──> prepare, prepare_layer, retry_rejected, evaluate

The invariant: none of it decides what is made; equal configurations and weights give equal bytes in every environment.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.execution.inline import Executor
from stages.weights.store import WeightsStore


def silent(sentence: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Who works, with which weights, and who is told."""

    executor: Executor
    """Whoever plans or runs something on it ends its workers, by `with closing(environment.executor)`: when `prepare`
    and its like return, none is left. It can be used again after that."""
    weights: WeightsStore
    say: Callable[[str], None] = silent
    """Takes sentences for the user."""
    take_over: bool = False
    """Whether another machine's lease of the directory is taken over without waiting for signs of life."""
