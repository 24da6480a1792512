"""Those who look on at a run: they are told what it does, and may ask it to stop.

run ──say, started, stepped──> Watcher ──stop_requested──> run

On a terminal one line renews itself; elsewhere there is a line now and then.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.loop.interruption import Interruption, interruptible

LOG_INTERVAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a run says after a step."""

    done: int
    """Steps so far, of the whole run."""
    loss: float
    images_per_second: float
    data_wait_share: float
    """Of the time so far: what the loop waited for batches."""

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, {self.images_per_second:.1f} img/s, {self.data_wait_share:.0%} waiting for data"


class Watcher(Protocol):
    """Looks on at a run, from the thread that runs it."""

    def say(self, sentence: str) -> None:
        """Be told something in words."""
        ...

    def started(self, done: int, steps: int) -> None:
        """Steps are about to be taken, `done` of `steps` have been."""
        ...

    def stepped(self, report: StepReport) -> None:
        """A step is done."""
        ...

    def stop_requested(self) -> bool:
        """Whether the run should end after the step at hand."""
        ...


class SilentWatcher:
    """Looks on at the workers that have nothing to say."""

    def say(self, sentence: str) -> None: ...
    def started(self, done: int, steps: int) -> None: ...
    def stepped(self, report: StepReport) -> None: ...
    def stop_requested(self) -> bool:
        return False


@contextmanager
def terminal(clock: Callable[[], float] = time.monotonic) -> Iterator["Terminal"]:
    """Show a run on stderr; Ctrl-C and SIGTERM ask it to stop. `clock` gives seconds."""
    with interruptible() as interruption:
        watcher = Terminal(interruption, clock)
        try:
            yield watcher
        finally:
            watcher.close()


class Terminal:
    """Shows a run on stderr."""

    def __init__(self, interruption: Interruption, clock: Callable[[], float]) -> None:
        self._interruption = interruption
        self._clock = clock
        self._first = self._steps = 0
        self._started = self._logged = clock()
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("steps"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", start=False, numbers="")

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def started(self, done: int, steps: int) -> None:
        self._first, self._steps = done, steps
        self._started = self._logged = self._clock()
        self._bar.reset(self._task, total=steps, completed=done, numbers="")
        self._bar.start()

    def stepped(self, report: StepReport) -> None:
        self._bar.update(self._task, completed=report.done, numbers=str(report))
        if self._bar.disable and self._clock() - self._logged > LOG_INTERVAL_SECONDS:
            self._logged = self._clock()
            seconds_a_step = (self._logged - self._started) / max(1, report.done - self._first)
            left = seconds_a_step * (self._steps - report.done)
            self.say(f"step {report.done}/{self._steps}, {report}, {left:.0f} s left")

    def stop_requested(self) -> bool:
        return self._interruption.requested

    def close(self) -> None:
        self._bar.stop()
