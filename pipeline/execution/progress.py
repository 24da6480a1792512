"""Live progress of a run: shards, samples, images per second, rejections by reason, time left.

On a terminal one line that renews itself; elsewhere (a log file, a batch system) a line now and then.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.dataset.record import ShardRecord

LOG_INTERVAL_SECONDS = 30.0


class RunProgress:
    """Shows a run; entered for its duration, told of annotated samples and of committed shards, from any thread."""

    def __init__(self, shards: int, rows: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Expect `shards` shards with `rows` rows of the index together; `clock` gives seconds."""
        self._lock = threading.Lock()
        self._clock = clock
        self._console = Console(stderr=True)
        self._shards_expected = shards
        self._rows_expected = rows
        self._shards = 0
        self._samples = 0
        self._started = clock()
        self._logged = self._started
        self.rejected: Counter[str] = Counter()
        self._bar = Progress(
            TextColumn("{task.fields[columns][shards]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[columns][rate]}"),
            TextColumn("{task.fields[columns][rejected]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=rows, columns=self._columns())

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def images_per_second(self) -> float:
        """Annotated samples per second since the start."""
        return self._samples / max(self._clock() - self._started, 1e-9)

    def annotated(self, samples: int) -> None:
        """Some samples went through the networks; their shard is not committed yet."""
        with self._lock:
            self._samples += samples
            self._show(samples)

    def committed(self, record: ShardRecord) -> None:
        """A shard is on disk."""
        with self._lock:
            self._shards += 1
            self.rejected.update(str(each.reason) for each in record.rejected)
            self._show(len(record.rejected))

    def _show(self, rows: int) -> None:
        self._bar.update(self._task, advance=rows, columns=self._columns())
        if self._bar.disable and self._clock() - self._logged > LOG_INTERVAL_SECONDS:
            self._logged = self._clock()
            columns = self._columns()
            done = self._samples + self.rejected.total()
            elapsed = self._clock() - self._started
            left = f"{elapsed / done * (self._rows_expected - done):.0f} s left" if done else "time left unknown"
            print(
                f"{columns['shards']}, {done}/{self._rows_expected} samples, {columns['rate']}, "
                f"{columns['rejected'] or 'none rejected'}, {left}",
                file=sys.stderr,
                flush=True,
            )

    def _columns(self) -> dict[str, str]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.rejected.items()))
        return {
            "shards": f"shards {self._shards}/{self._shards_expected}",
            "rate": f"{self.images_per_second:.1f} img/s",
            "rejected": f"rejected: {reasons}" if reasons else "",
        }
