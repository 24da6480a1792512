"""How fast and in how little memory ten million rows of LAION become an index: `condset bench index`.

    seed ──> parquet files like LAION's, kept in a temporary directory ──fresh process──> index/*.parquet ──> IndexBench

The rows are listed by a process of their own, whose peak memory is that of the listing and of the libraries it imports.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.bench.measure import fresh, peak_memory_bytes
from pipeline.dataset.listing import write_index
from pipeline.dataset.storage import Directory
from stages.locations import PARTIAL
from stages.sources.laion.filters import LaionFilters
from stages.sources.laion.source import LaionSource

ROWS_PER_FILE = 1_000_000
REPEATED_ROWS = 50
"""One row in so many has the URL of another, and one in so many the hash of another."""
CAPTION_WORDS = 10
WORDS = """a the of in and with on for by vintage portrait landscape painting photo print poster sunset mountain forest
river castle woman man child dog cat horse flower garden city street night light gold blue red green white black modern
abstract original canvas oil watercolor wall art decor bedroom kitchen wedding dress fashion style design logo"""
FILTERS = LaionFilters(
    min_aesthetic=5.3,
    max_watermark=0.8,
    max_unsafe=0.5,
    min_similarity=0.28,
    min_width_pixels=256,
    min_height_pixels=256,
    max_aspect_ratio=3.0,
    min_caption_characters=5,
    max_caption_characters=1000,
    caption_exclude_pattern=r"(?i)\blogo\b",
)
"""Every kind of filter; together they leave a quarter of the rows."""


@dataclass(frozen=True, slots=True)
class IndexBench:
    """What listing took."""

    rows: int
    rows_listed: int
    """What the filters and duplicates left of them."""
    seconds: float
    cpu_seconds: float
    """Of all threads."""
    peak_memory_bytes: int

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


def bench_index(rows: int = 10_000_000, filters: LaionFilters = FILTERS) -> IndexBench:
    """List `rows` synthetic rows in a process of its own, filtered and without duplicates, and measure it."""
    data = Path(tempfile.gettempdir()) / f"condset-bench-index-{rows}"
    source = LaionSource(root=str(data), filters=filters, deduplicate=("url", "hash"))
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        fresh(write_rows, data, rows)
        return fresh(_measure, source, out, rows)


def _measure(source: LaionSource, out: str, rows: int) -> IndexBench:
    started, cpu = time.perf_counter(), time.process_time()
    index = write_index(Directory(out), source, 0)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return IndexBench(rows, index.rows, seconds, cpu_seconds, peak_memory_bytes())


def write_rows(directory: Path, rows: int) -> None:
    """Write parquet files with the columns, types and distributions of LAION-Aesthetics, unless they are there."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, rows, ROWS_PER_FILE)):
        path = directory / f"part-{number:05d}.parquet"
        if not path.exists():
            table = _synthetic_rows(number, min(ROWS_PER_FILE, rows - start))
            partial = path.with_suffix(PARTIAL)
            pq.write_table(table, partial, row_group_size=1 << 17)
            partial.rename(path)


def _synthetic_rows(seed: int, rows: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    numbers, hashes = _with_repetitions(rng, rows), _with_repetitions(rng, rows)
    hosts = pa.array([f"https://cdn{host}.example-{host % 97}.com/images/products/" for host in range(1000)])
    places = hosts.take(pa.array(numbers % len(hosts)))
    words = pa.array(WORDS.split())
    chosen = [words.take(pa.array(rng.integers(0, len(words), rows))) for _ in range(CAPTION_WORDS)]
    sizes = rng.lognormal(6.5, 0.6, (2, rows)).round()
    sizes[:, rng.random(rows) < 0.01] = np.nan
    columns = {
        "URL": pc.binary_join_element_wise(places, pa.array(numbers).cast(pa.string()), ".jpg", ""),
        "TEXT": pc.binary_join_element_wise(*chosen, " "),
        "WIDTH": pa.array(sizes[0]),
        "HEIGHT": pa.array(sizes[1]),
        "similarity": pa.array(rng.normal(0.32, 0.03, rows)),
        "punsafe": pa.array(rng.beta(0.2, 4, rows).astype(np.float32)),
        "pwatermark": pa.array(rng.beta(0.5, 1.5, rows).astype(np.float32)),
        "AESTHETIC_SCORE": pa.array(rng.normal(5.3, 0.5, rows).astype(np.float32)),
        "hash": pa.array(hashes),
    }
    return pa.table(columns)


def _with_repetitions(rng: np.random.Generator, rows: int) -> npt.NDArray[np.int64]:
    numbers = rng.integers(0, 2**63, rows)
    repeated = rng.integers(0, rows, (2, rows // REPEATED_ROWS))
    numbers[repeated[0]] = numbers[repeated[1]]
    return numbers
