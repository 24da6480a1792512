import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.bench.index import bench_index, write_rows
from pipeline.commands.look.bench import app


def test_the_bench_measures_a_listing_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bench = bench_index(rows=3000)
    assert bench.rows == 3000
    assert 300 < bench.rows_listed < 2700
    assert bench.seconds > 0
    assert bench.cpu_seconds > 0
    assert 50 * 10**6 < bench.peak_memory_bytes < 1500 * 10**6
    assert bench.rows_per_second == 3000 / bench.seconds
    assert [path.name for path in tmp_path.iterdir()] == ["condset-bench-index-3000"], "only the rows are kept"


def test_the_rows_are_like_those_of_laion_aesthetics_and_made_once(tmp_path: Path, shared: Path) -> None:
    write_rows(tmp_path, 2000)
    (path,) = tmp_path.glob("*.parquet")
    made = path.stat().st_mtime_ns
    table = pq.read_table(path)
    assert table.num_rows == 2000
    assert set(pq.read_schema(shared / "laion" / "test_1000.parquet").names[:2]) < set(table.schema.names)
    assert 1900 < len(set(table["URL"].to_pylist())) < 2000
    assert 1900 < len(set(table["hash"].to_pylist())) < 2000
    write_rows(tmp_path, 2000)
    assert path.stat().st_mtime_ns == made


def test_the_command_prints_figures_for_machines_and_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for_machines = CliRunner().invoke(app, ["index", "--rows", "2000", "--json"])
    assert for_machines.exit_code == 0, for_machines.output
    figures = json.loads(for_machines.stdout)
    assert figures["rows"] == 2000
    assert figures["rows_per_second"] == pytest.approx(2000 / figures["seconds"])
    for_people = CliRunner().invoke(app, ["index", "--rows", "2000"])
    assert for_people.stdout.startswith("2,000 synthetic rows of LAION metadata in ")
    assert f"{figures['rows_listed']:,} listed" in for_people.stdout
