import hashlib
import tomllib
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.sources.index.schema import SCHEMA, from_table
from stages.sources.laion.source import LaionSource


def rows_of(source: LaionSource) -> pa.Table:
    return pa.Table.from_batches([batch.replace_schema_metadata(None) for batch in source.batches()], SCHEMA)


def test_real_rows_of_laion_are_listed_in_their_order(shared: Path) -> None:
    table = pq.read_table(shared / "laion" / "test_1000.parquet")
    listed = from_table(rows_of(LaionSource(root=str(shared / "laion"), files="test_1000.parquet")))
    assert [row.image_uri for row in listed] == table["URL"].to_pylist()
    assert [row.captions for row in listed] == [(" ".join(text.split()),) for text in table["TEXT"].to_pylist()]
    assert [row.key for row in listed] == [hashlib.sha256(row.image_uri.encode()).hexdigest()[:20] for row in listed]
    assert {(row.width, row.height, row.source_url == row.image_uri, row.rejection) for row in listed} == {
        (0, 0, True, None)
    }
    assert not any(row.scores for row in listed)


def test_real_rows_that_img2dataset_reads_are_listed_and_told_apart_by_their_hash(shared: Path) -> None:
    settings = {"root": str(shared / "laion"), "files": "sample_image.parquet"}
    assert rows_of(LaionSource.model_validate(settings | {"deduplicate": []})).num_rows == 2
    assert rows_of(LaionSource.model_validate(settings | {"deduplicate": ["hash"]})).num_rows == 2
    assert rows_of(LaionSource.model_validate(settings)).num_rows == 1


@pytest.mark.parametrize("sample", [0, 7])
def test_files_behind_a_url_give_the_same_rows(tmp_path: Path, sample: int) -> None:
    files = fsspec.filesystem("memory")
    for number in range(3):
        urls = [f"http://x/{number}/{place}.jpg" for place in range(40)]
        table = pa.table({"url": urls, "caption": ["a cat"] * 40, "aesthetic": [float(place) for place in range(40)]})
        pq.write_table(table, tmp_path / f"part [{number}].parquet", row_group_size=9)
        files.makedirs("/laion/deep", exist_ok=True)
        files.put_file(str(tmp_path / f"part [{number}].parquet"), f"/laion/deep/part [{number}].parquet")
    settings = {"filters": {"min_aesthetic": 10.0}, "sample": sample}
    here = rows_of(LaionSource.model_validate(settings | {"root": str(tmp_path)}))
    there = rows_of(LaionSource.model_validate(settings | {"root": "memory://laion"}))
    assert there.equals(here)
    assert here.num_rows == (sample or 90)


def test_files_come_in_the_order_of_the_patterns_and_once(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        table = pa.table({"url": [f"http://x/{name}"], "text": ["a cat"]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    listed = rows_of(LaionSource(root=str(tmp_path), files=("c.parquet", "*.parquet")))
    assert listed["image_uri"].to_pylist() == ["http://x/c", "http://x/a", "http://x/b"]


def test_all_rows_have_the_scores_that_any_file_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["http://x/1"], "text": ["a"], "punsafe": [0.5]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"url": ["http://x/2"], "text": ["b"], "AESTHETIC": [6]}), tmp_path / "2.parquet")
    scores = [row.scores for row in from_table(rows_of(LaionSource(root=str(tmp_path))))]
    assert [list(each) for each in scores] == [["aesthetic", "unsafe"]] * 2
    assert scores[0]["unsafe"] == 0.5
    assert scores[1]["aesthetic"] == 6.0
    assert scores[0]["aesthetic"] != scores[0]["aesthetic"], "NaN stands for a score that is missing"


def test_a_smaller_sample_is_part_of_a_larger_one(tmp_path: Path) -> None:
    table = pa.table({"url": [f"http://x/{place}" for place in range(2000)], "text": ["a cat"] * 2000})
    pq.write_table(table, tmp_path / "a.parquet")
    keys = {
        (size, seed): set(rows_of(LaionSource(root=str(tmp_path), sample=size, seed=seed))["key"].to_pylist())
        for size in (50, 500)
        for seed in (0, 1)
    }
    assert keys[50, 0] < keys[500, 0]
    assert 90 < len(keys[500, 0] & keys[500, 1]) < 160, "a quarter of 500 is expected in both"


@pytest.mark.parametrize("condition", ["keypose", "color", "depth"])
def test_the_sets_of_the_paper_are_600_000_pairs_of_laion_aesthetics(condition: str) -> None:
    path = Path(__file__).parents[4] / "configs" / "prepare" / f"{condition}_laion.toml"
    tables = tomllib.loads(path.read_text())
    source = LaionSource.model_validate(tables["source"])
    assert (source.sample, source.filters.min_aesthetic) == (600_000, 6.5)
    assert [annotator["kind"] for annotator in tables["annotators"]] == [condition]
