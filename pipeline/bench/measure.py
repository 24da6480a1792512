"""What every bench shares: measurements in fresh processes, the limit of the machine, and the table of results.

contenders, each in a fresh process, round after round ──medians──> rows ──> table ──> lines for people | JSON

A process of its own, so that no contender inherits another's allocator, threads or caches. The invariant: every ratio
comes from one run on one machine; the reference is the first row.
"""

import itertools
import math
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

Result = TypeVar("Result")
Name = TypeVar("Name", bound=str)
Say: TypeAlias = Callable[[str], None]
"""Takes a sentence for whoever waits."""

MATRIX_SIDE = 2048
MATRIX_ROUNDS = 5
SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Row:
    """One contender."""

    name: str
    images_per_second: float
    """From the median of all rounds."""
    ratio: float
    """Over the first row's."""
    limit_share: float | None = None
    """Of the machine's limit: the network's FLOPs over the measured rate of matrix products in the same dtype."""


@dataclass(frozen=True, slots=True)
class Table:
    """The result of one bench."""

    title: str
    """What was measured: sizes, threads, weights, rounds."""
    rows: tuple[Row, ...]
    time_shares: Mapping[str, float]
    """Where the wall time of a run in steady state goes; empty if that was not measured."""

    def lines(self, images: int) -> list[str]:
        """Say it to people, with how long `images` images take with the last row's contender."""
        width = max(len(row.name) for row in self.rows)
        said = [self.title]
        for row in self.rows:
            limit = "" if row.limit_share is None else f"  {row.limit_share:6.1%} of the limit"
            said.append(
                f"  {row.name:{width}}  {row.images_per_second:9.2f} images a second  {row.ratio:6.2f} x{limit}"
            )
        if self.time_shares:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in self.time_shares.items())
            said.append(f"  where the time goes: {shares}")
        said.append(f"  {images:,} images take {duration(images / self.rows[-1].images_per_second)} on this machine")
        return said


def duration(seconds: float) -> str:
    """Say a time in the unit that suits it."""
    for size, unit in ((SECONDS_A_DAY, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def a_multiple(number: int, of: int) -> int:
    """Round up to a multiple: so many images that every core or batch has equally many."""
    return math.ceil(number / of) * of


def fresh(run: Callable[..., Result], *arguments: object) -> Result:
    """Run a measurement in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(run, *arguments).result()


def in_turn(contenders: Iterable[Name], rounds: int, say: Say) -> Iterator[Name]:
    """Yield every contender in every round, and say which one is measured next."""
    for number, contender in itertools.product(range(1, rounds + 1), contenders):
        say(f"round {number} of {rounds}: {contender}")
        yield contender


def rows_of(
    contenders: Mapping[str, Callable[[], Sequence[float]]],
    rounds: int,
    say: Say,
    limits: Mapping[str, float] | None = None,
) -> tuple[Row, ...]:
    """Run every contender in every round; each returns its seconds per image, the first is the reference.

    `limits` gives for some the least seconds that this machine could need for an image.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for name in in_turn(contenders, rounds, say):
        seconds[name] += contenders[name]()
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    reference = next(iter(medians.values()))
    least = limits or {}
    return tuple(
        Row(name, 1 / median, reference / median, least[name] / median if name in least else None)
        for name, median in medians.items()
    )


def matrix_rate(dtype: str) -> float:
    """FLOP a second of square matrix products in a dtype, one on each core at once: the best of a few."""
    import torch

    cores = torch.get_num_threads()
    left, right = (torch.randn(MATRIX_SIDE, MATRIX_SIDE, dtype=getattr(torch, dtype)) for _ in range(2))
    torch.set_num_threads(1)
    seconds = []
    try:
        with ThreadPoolExecutor(cores) as pool:
            for _ in range(MATRIX_ROUNDS):
                started = time.perf_counter()
                list(pool.map(lambda _: torch.mm(left, right), range(cores)))
                seconds.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(cores)
    return cores * 2 * MATRIX_SIDE**3 / min(seconds)


def flops_of(run: Callable[[], object]) -> int:
    """Count the FLOPs of the matrix products and convolutions of a call, as torch's own counter does."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def peak_memory_bytes() -> int:
    """The most memory that this process has had.

    Linux hands the parent's peak on to a child process as its ru_maxrss, even through exec; VmHWM begins anew.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
