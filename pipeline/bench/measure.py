"""What every bench shares: measurements in fresh processes, round after round, and the table of results.

contenders, each in a fresh process, round after round ──medians──> rows ──> table ──> lines for people | JSON

A process of its own, so that no contender inherits another's allocator, threads or caches. The invariant: every ratio
comes from one run on one machine; the reference is the first row. How much the rounds differ is said beside it: a
machine that is shared sways more than what is compared.
"""

import itertools
import math
import multiprocessing
import resource
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from pipeline.bench.limit import Bottleneck, Limit
from pipeline.tables import text_lines

Result = TypeVar("Result")
Name = TypeVar("Name", bound=str)
Say: TypeAlias = Callable[[str], None]
"""Takes a sentence for whoever waits."""

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Row:
    """One contender."""

    name: str
    images_per_second: float
    """From the median of all rounds."""
    ratio: float
    """Over the first row's."""
    ratio_by_round: tuple[float, ...]
    """The same of each round alone."""
    limit_share: float | None = None
    """Of what the machine can do at most; None if that was not measured."""
    bottleneck: Bottleneck | None = None
    """What sets that limit."""


@dataclass(frozen=True, slots=True)
class Table:
    """The result of one bench."""

    title: str
    """What was measured: sizes, device, weights, rounds."""
    rows: tuple[Row, ...]
    time_shares: Mapping[str, float] = field(default_factory=dict)
    """Where the wall time of a run in steady state goes; empty if that was not measured."""
    gpu_busy_share: float | None = None
    """Of the same time, as the GPU's driver counts it; None on a CPU, or if the driver does not tell."""

    def lines(self, images: int) -> list[str]:
        """Say it to people, with how long `images` images take with the last row's contender."""
        rows = [
            (
                row.name,
                f"{row.images_per_second:9.2f} images a second",
                f"{row.ratio:6.2f} x{_spread(row.ratio_by_round)}",
                "" if row.limit_share is None else f"{row.limit_share:6.1%} of the limit ({row.bottleneck})",
            )
            for row in self.rows
        ]
        said = [self.title, *(f"  {line}" for line in text_lines(rows))]
        if self.time_shares:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in self.time_shares.items())
            said.append(f"  where the time goes: {shares}")
        if self.gpu_busy_share is not None:
            said.append(f"  the GPU is busy in {self.gpu_busy_share:.1%} of it")
        said.append(f"  {images:,} images take {duration(images / self.rows[-1].images_per_second)} on this machine")
        return said

    def for_machines(self, images: int) -> dict[str, object]:
        """Return the same as plain values: the table's fields, `images` and `seconds_for_images`."""
        return asdict(self) | {"images": images, "seconds_for_images": images / self.rows[-1].images_per_second}


def _spread(ratios: Sequence[float]) -> str:
    """Say between what the ratios of the rounds lie; nothing of the reference, whose ratios are all 1."""
    least, most = min(ratios), max(ratios)
    return f" ({least:.2f} to {most:.2f})" if least < most else ""


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
    contenders: Mapping[Name, Callable[[], float]], rounds: int, say: Say, limits: Mapping[Name, Limit]
) -> tuple[Row, ...]:
    """Run every contender in every round; each returns its seconds per image; see `compared`."""
    by_round: dict[Name, list[float]] = {name: [] for name in contenders}
    for name in in_turn(contenders, rounds, say):
        by_round[name].append(contenders[name]())
    return compared(by_round, limits)


def compared(seconds_by_round: Mapping[Name, Sequence[float]], limits: Mapping[Name, Limit]) -> tuple[Row, ...]:
    """Reduce each contender's seconds per image, one for each round, to its row; the first is the reference.

    Who has no entry in `limits` has no share of it.
    """
    references = next(iter(seconds_by_round.values()))
    rows = []
    for name, seconds in seconds_by_round.items():
        median, limit = statistics.median(seconds), limits.get(name)
        row = Row(
            name=name,
            images_per_second=1 / median,
            ratio=statistics.median(references) / median,
            ratio_by_round=tuple(reference / each for reference, each in zip(references, seconds, strict=True)),
            limit_share=limit.seconds_per_image / median if limit else None,
            bottleneck=limit.bottleneck if limit else None,
        )
        rows.append(row)
    return tuple(rows)


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
