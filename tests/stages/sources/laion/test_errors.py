import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from stages.errors import SourceError
from stages.sources.index.dropped import from_metadata
from stages.sources.laion.source import LaionSource

GOOD = {"URL": ["http://x/1.jpg"], "TEXT": ["a cat"], "punsafe": [0.5]}


def write(directory: Path, columns: dict[str, Any], name: str = "a.parquet") -> None:
    pq.write_table(pa.table(columns), directory / name)


def list_all(directory: Path, **settings: object) -> int:
    source = LaionSource.model_validate({"root": str(directory), **settings})
    return sum(batch.num_rows for batch in source.batches())


def test_a_pattern_must_match_a_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source.files \*\*/\*.parquet must match files in .*, got none; fix the"):
        list_all(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"b\.parquet must be a parquet file, got no file; fix source\.root or"):
        list_all(tmp_path, files="b.parquet")


def test_a_file_that_is_no_parquet_is_found_before_the_first_row(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "z.parquet").write_bytes(b"URL,TEXT\nhttp://x,a cat\n")
    batches = LaionSource(root=str(tmp_path)).batches()
    with pytest.raises(SourceError, match=r"z\.parquet must be a readable parquet file, got .*magic bytes not found"):
        next(batches)


def test_a_file_that_is_cut_within_its_data_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"URL": [f"http://x/{n}" for n in range(50_000)], "TEXT": ["cat"] * 50_000})
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:5000] + bytes(50_000) + content[55_000:])
    with pytest.raises(SourceError, match=r"a\.parquet must be a readable parquet file, got "):
        list_all(tmp_path)


def test_a_column_that_unpacks_a_thousandfold_is_refused(tmp_path: Path) -> None:
    table = pa.table({"URL": ["http://x/1.jpg"], "TEXT": ["x" * (70 << 20)]})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, compression="zstd")
    with pytest.raises(SourceError, match=r"a\.parquet column TEXT must unpack to at most 100 times its size, got 734"):
        list_all(tmp_path)


def test_a_pipe_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet must be a readable parquet file, got .* is no regular file"):
        list_all(tmp_path)


def test_captions_in_lists_and_long_texts_are_read_as_everywhere(tmp_path: Path) -> None:
    columns = {"URL": [f"http://x/{number}" for number in range(5)]}
    columns["URL"][4] += "y" * 9_000
    write(tmp_path, columns | {"TEXT": [["a", " b "], ["", "c"], [], ["x" * 9_000], ["d"]]})
    write(tmp_path, columns | {"TEXT": [b"a cat", b"x" * 9_000, b"\xff", None, b"b"]}, "b.parquet")
    batches = list(LaionSource(root=str(tmp_path), deduplicate=()).batches())
    captions = [each for batch in batches for each in batch.column("captions").to_pylist()]
    assert captions == [["a", "b"], ["c"], ["a cat"]]
    dropped = sum((Counter(from_metadata(batch.schema.metadata)) for batch in batches), Counter())
    assert dropped == {"missing_url": 2, "missing_caption": 5}


def test_a_missing_column_names_what_was_found(tmp_path: Path) -> None:
    write(tmp_path, {"link": ["http://x"], "TEXT": ["a cat"]})
    with pytest.raises(
        SourceError, match=r"a\.parquet must have a column url or image_url, got link, TEXT; set source.columns.url$"
    ):
        list_all(tmp_path)


def test_a_filter_without_its_column_names_the_filter(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(
        SourceError,
        match=r"must have a column pwatermark for source.filters.max_watermark, got URL, TEXT, punsafe; "
        r"set source.columns.watermark, or do without source.filters.max_watermark",
    ):
        list_all(tmp_path, filters={"max_watermark": 0.5, "max_unsafe": 0.5})
    with pytest.raises(SourceError, match=r"must have a column hash or .* for source.deduplicate"):
        list_all(tmp_path, deduplicate=["hash"])


def test_a_column_of_one_file_must_be_in_every_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, {"URL": ["http://x/2.jpg"], "TEXT": ["a dog"]}, "b.parquet")
    assert list_all(tmp_path) == 2
    with pytest.raises(SourceError, match=r"b\.parquet must have a column punsafe for source.filters.max_unsafe"):
        list_all(tmp_path, filters={"max_unsafe": 0.5})


def test_a_wrong_override_names_what_was_found(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(
        SourceError, match=r"source.columns.caption must be a column of .*a\.parquet, got 'text'; it has URL, TEXT"
    ):
        list_all(tmp_path, columns={"caption": "text"})


def test_an_override_takes_the_place_of_a_known_column(tmp_path: Path) -> None:
    write(tmp_path, GOOD | {"alt": ["another cat"]})
    (batch,) = LaionSource.model_validate({"root": str(tmp_path), "columns": {"caption": "alt"}}).batches()
    assert batch.column("captions").to_pylist() == [["another cat"]]


def test_two_columns_with_one_name_ask_for_an_override(tmp_path: Path) -> None:
    write(tmp_path, GOOD | {"url": ["http://x/2.jpg"]})
    with pytest.raises(SourceError, match=r"must have one column of url, got URL, url; set source.columns.url"):
        list_all(tmp_path)
    assert list_all(tmp_path, columns={"url": "url"}) == 1


def test_a_column_of_another_type_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    write(tmp_path, GOOD | {"pwatermark": [datetime(2021, 1, 1)]})
    assert list_all(tmp_path) == 1
    with pytest.raises(SourceError, match=r"column pwatermark must hold numbers, got timestamp\[us\]; set source.col"):
        list_all(tmp_path, filters={"max_watermark": 0.5})
    write(tmp_path, GOOD | {"TEXT": [17]})
    with pytest.raises(SourceError, match=r"column TEXT must hold text, got int64; set source.columns.caption"):
        list_all(tmp_path)


def test_a_bad_regular_expression_is_refused_with_the_settings() -> None:
    with pytest.raises(
        ValidationError, match=r"must be a regular expression of RE2, got '\(cat' \(.*missing \): \(cat\)"
    ):
        LaionSource.model_validate({"root": "x", "filters": {"caption_pattern": "(cat"}})


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        LaionSource.model_validate({"root": "x", "filters": {"min_aesthetic": float("nan")}})
