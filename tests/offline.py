"""What runs in tests are given: this process and no network, with nobody to tell, unless a test says otherwise."""

from collections.abc import Callable
from pathlib import Path

from pipeline.environment import Environment, silent
from pipeline.execution.inline import Executor, InlineExecutor
from stages.weights.store import WeightsStore


def offline(
    executor: Executor | None = None, weights_dir: Path | None = None, say: Callable[[str], None] = silent
) -> Environment:
    """Work inline without an `executor`; weights come from `weights_dir` or from this machine's caches."""
    return Environment(executor or InlineExecutor(), WeightsStore(weights_dir, allow_network=False), say)
