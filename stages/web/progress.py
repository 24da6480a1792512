"""How far a long transfer is: a bar that renews itself on a terminal, elsewhere (a log file) a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be (None if nobody knows)."""

Show: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
"""Shows the progress of what it is told the name of, as long as its block runs."""

LINE_INTERVAL_SECONDS = 30.0


@contextmanager
def no_progress(label: str) -> Iterator[Progress]:
    """Show nothing."""
    yield lambda passed, total: None


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show on stderr how many of a file's bytes have passed, as long as the block runs."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        lines = ProgressLines(label, console.out)
        yield lines.show
        lines.end()
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(label, total=None)
        yield lambda passed, total: bar.update(task, completed=passed, total=total)


class ProgressLines:
    """Says how far a transfer is: not more often than every `interval_seconds`, and once at its end."""

    def __init__(
        self, label: str, write: Callable[[str], None], interval_seconds: float = LINE_INTERVAL_SECONDS
    ) -> None:
        self._label, self._write, self._interval_seconds = label, write, interval_seconds
        self._started = self._said = self._last = time.monotonic()
        self._first: int | None = None
        self._passed = 0

    def show(self, passed: int, total: int | None) -> None:
        """Note how far it is, and say so if it is time."""
        if self._first is None:
            self._first = passed  # what an earlier attempt brought says nothing about the speed of this one
        self._passed, self._last = passed, time.monotonic()
        if self._last - self._said >= self._interval_seconds:
            self._said = self._last
            of = f" of {in_words(total)}" if total else ""
            rate = self._rate
            left = f", {(total - passed) / rate:.0f} s left" if total and rate else ""
            self._write(f"{self._label}: {in_words(passed)}{of}, {in_words(rate)}/s{left}")

    def end(self) -> None:
        """Say what it came to, if anything has passed at all."""
        if self._first is not None:
            self._write(f"{self._label}: {in_words(self._passed)}, {in_words(self._rate)}/s")

    @property
    def _rate(self) -> float:
        """Bytes per second until the last ones came."""
        return (self._passed - (self._first or 0)) / max(self._last - self._started, 1e-9)


def in_words(count_bytes: float) -> str:
    """Write a number of bytes as people do: 815.6 MB."""
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= bytes_each:
            return f"{count_bytes / bytes_each:.1f} {unit}"
    return f"{count_bytes:.0f} bytes"
