"""How fast a run is, and how much of its time it waits for data."""

import time
from collections.abc import Callable


class Throughput:
    """Counts steps and time, over the run and since the last line of metrics."""

    def __init__(self, samples_a_step: int, clock: Callable[[], float] = time.perf_counter) -> None:
        """Count `samples_a_step` samples of all workers for each step; `clock` gives seconds."""
        self._samples_a_step = samples_a_step
        self._clock = clock
        self._started = self._since = clock()
        self._waited = self._waited_since = 0.0
        self._steps = 0
        self._losses: list[float] = []

    @property
    def overall(self) -> float:
        """Samples per second since the start."""
        return self._steps * self._samples_a_step / max(self._clock() - self._started, 1e-9)

    @property
    def waiting_share(self) -> float:
        """Of the time since the start: what the loop waited for batches."""
        return self._waited / max(self._clock() - self._started, 1e-9)

    def stepped(self, loss: float, waited_seconds: float) -> None:
        """A step is done, which waited so long for its batches."""
        self._steps += 1
        self._waited += waited_seconds
        self._waited_since += waited_seconds
        self._losses.append(loss)

    def take(self) -> dict[str, float]:
        """Return the metrics since the last call: mean loss, images per second, share of waiting."""
        seconds = max(self._clock() - self._since, 1e-9)
        values = {
            "loss": sum(self._losses) / len(self._losses),
            "images_per_second": len(self._losses) * self._samples_a_step / seconds,
            "data_wait_share": self._waited_since / seconds,
        }
        self._since = self._clock()
        self._waited_since = 0.0
        self._losses = []
        return values
