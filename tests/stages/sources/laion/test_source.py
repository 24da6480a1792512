from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.sources.index.dropped import from_metadata
from stages.sources.index.schema import SCHEMA
from stages.sources.laion.columns import LaionColumns
from stages.sources.laion.files import find_files, read_batches
from stages.sources.laion.source import LaionSource
from tests.stages.sources.laion.oracle import Listing, comparable, list_rows, values
from tests.stages.sources.laion.tables import rows_of, write_tables

ROWS = 20_000

FILTERS: list[dict[str, Any]] = [
    {},
    {"min_aesthetic": 6.0},
    {"max_aesthetic": 6.0},
    {"min_aesthetic": 0.0, "max_aesthetic": 5.5},
    {"max_watermark": 0.5},
    {"max_unsafe": 0.5},
    {"min_similarity": 0.4},
    {"min_width_pixels": 512},
    {"min_height_pixels": 512},
    {"max_aspect_ratio": 1.5},
    {"min_caption_characters": 20},
    {"max_caption_characters": 20},
    {"caption_pattern": "(?i)cat|雪"},
    {"caption_exclude_pattern": r"(?i)\blogo\b"},
    {
        "min_aesthetic": 4.5,
        "max_aesthetic": 9.0,
        "max_watermark": 0.9,
        "min_similarity": 0.25,
        "min_width_pixels": 100,
        "min_height_pixels": 100,
        "max_aspect_ratio": 5,
        "min_caption_characters": 4,
        "max_caption_characters": 60,
        "caption_pattern": "a",
        "caption_exclude_pattern": "1985",
    },
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A directory of four files, and all of their rows in order, as the oracle reads them."""
    directory = tmp_path_factory.mktemp("laion")
    return directory, [values(row) for row in rows_of(write_tables(directory, ROWS, seed=5))]


def listed(source: LaionSource) -> Listing:
    """List a source into plain rows and the sum of its counts."""
    listing, dropped = Listing(), Counter[str]()
    for batch in source.batches():
        assert batch.schema.equals(SCHEMA)
        batch.validate(full=True)
        listing.rows += batch.to_pylist()
        dropped.update(from_metadata(batch.schema.metadata))
    listing.dropped = dict(dropped)
    return listing


def check(found: Listing, expected: Listing) -> None:
    assert found.dropped == expected.dropped
    assert list(found.dropped) == list(expected.dropped), "counts come in the order of the filters"
    assert [comparable(row) for row in found.rows] == [comparable(row) for row in expected.rows]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: ",".join(filters) if len(filters) < 3 else "all")
def test_each_filter_lists_and_counts_what_the_oracle_does(
    tables: tuple[Path, list[dict[str, Any]]], filters: dict[str, Any]
) -> None:
    directory, rows = tables
    source = LaionSource.model_validate({"root": str(directory), "filters": filters})
    expected = list_rows(rows, filters)
    assert 100 < len(expected.rows) < ROWS - 100
    check(listed(source), expected)


@pytest.mark.parametrize("deduplicate", [(), ("url",), ("hash",), ("url", "hash"), ("hash", "url")])
def test_duplicates_are_those_of_the_oracle(
    tables: tuple[Path, list[dict[str, Any]]], deduplicate: tuple[str, ...]
) -> None:
    directory, rows = tables
    source = LaionSource.model_validate({"root": str(directory), "deduplicate": deduplicate})
    expected = list_rows(rows, {}, deduplicate)
    assert all(expected.dropped[f"duplicate_{name}"] > 500 for name in deduplicate)
    check(listed(source), expected)


@pytest.mark.parametrize(("sample", "seed"), [(1, 0), (1000, 0), (1000, 1), (10**6, 0)])
def test_the_sample_is_that_of_the_oracle(tables: tuple[Path, list[dict[str, Any]]], sample: int, seed: int) -> None:
    directory, rows = tables
    filters = {"min_aesthetic": 5.0}
    source = LaionSource.model_validate(
        {"root": str(directory), "filters": filters, "deduplicate": ["url", "hash"], "sample": sample, "seed": seed}
    )
    check(listed(source), list_rows(rows, filters, ("url", "hash"), sample, seed))


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_the_rows_that_are_read_do_not_depend_on_batches(
    tables: tuple[Path, list[dict[str, Any]]], share: float
) -> None:
    files = find_files(str(tables[0]), ["*.parquet"], LaionColumns(), {})
    chosen = np.flatnonzero(np.random.default_rng(0).random(ROWS) < share)
    meanings = ["url", "caption", "hash"]  # no number: NaN differs from NaN
    whole, cut = (
        [batch for batch in read_batches(files, meanings, chosen, batch_rows) if batch.num_rows]
        for batch_rows in (ROWS, 123)
    )
    assert len(cut) > 3 * len(whole)
    assert pa.Table.from_batches(cut).equals(pa.Table.from_batches(whole))
    assert pa.Table.from_batches(whole)["number"].to_numpy().tolist() == chosen.tolist()


def test_the_sample_does_not_depend_on_how_rows_are_cut_into_files(tmp_path: Path) -> None:
    table = pa.table({"url": [f"http://x/{number}" for number in range(5000)], "text": ["cat"] * 5000})
    layouts = {"one": [table], "many": [table.slice(start, 617) for start in range(0, 5000, 617)]}
    found = []
    for name, parts in layouts.items():
        for number, part in enumerate(parts):
            path = tmp_path / name / f"{number}.parquet"
            path.parent.mkdir(exist_ok=True)
            pa.parquet.write_table(part, path, row_group_size=100 if name == "many" else 5000)
        found.append(listed(LaionSource(root=str(tmp_path / name), sample=300)))
    check(found[0], found[1])
