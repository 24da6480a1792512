"""The numbers of a run: one line of metrics.jsonl each, and the same in TensorBoard.

A resumed run first removes the lines after its checkpoint: the file reads as if nothing had happened. Every line is
JSON that any reader takes: what is infinite or undefined is null, and the line's "not_finite" says what it was.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.locations import PARTIAL
from train.runs.write_errors import explain_write_errors

METRICS_FILE = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class MetricsLog:
    """Writes metrics.jsonl and TensorBoard's files; used by one process of a run."""

    def __init__(self, run: Path, steps_done: int) -> None:
        """Go on after `steps_done` steps; later lines belong to what was lost and are removed."""
        from torch.utils.tensorboard import SummaryWriter

        self._path = run / METRICS_FILE
        kept = [line for line in _lines(run) if line["step"] <= steps_done]
        partial = self._path.with_suffix(PARTIAL)
        with explain_write_errors(self._path):
            partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
            partial.replace(self._path)
            self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=steps_done + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add one line for a step; names may have one slash, as TensorBoard groups them.

        Raises CheckpointError if the file system does not take it.
        """
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        others = {name: str(value) for name, value in values.items() if name not in finite}
        line = {"step": step, **{name: finite.get(name) for name in values}} | (
            {"not_finite": others} if others else {}
        )
        with explain_write_errors(self._path), self._path.open("a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        for name, value in finite.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._board.close()


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Read the lines of a run so far; a last line that was cut off is left out, and so is what is not finite."""
    return [{name: value for name, value in line.items() if isinstance(value, (int, float))} for line in _lines(run)]


def _lines(run: Path) -> list[dict[str, Any]]:
    path = run / METRICS_FILE
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")[:-1]  # what follows the last newline was not finished
    return [json.loads(line) for line in lines]
