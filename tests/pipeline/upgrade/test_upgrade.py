"""A data set of format 1 becomes, file by file, what `prepare` writes of its configuration now."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from pipeline.upgrade.upgrade import upgrade
from pipeline.verify.dataset import verify
from stages.locations import file_system
from tests.pipeline.conftest import Run, tree
from tests.pipeline.upgrade.conftest import NO_WEIGHTS, Formats, bring_over

DATA_SETS = ["layered", "rejected", "retried", "unfinished"]


def tars(data: Path) -> dict[str, tuple[int, int]]:
    """Each tar's inode and when it was written: a file that was written again has others."""
    return {str(path.relative_to(data)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in data.rglob("*.tar")}


def problems(data: Path) -> list[str]:
    return [str(each) for each in verify(Directory(str(data)), False, NO_WEIGHTS, "cpu").problems]


@pytest.mark.parametrize("name", DATA_SETS)
def test_an_upgraded_data_set_has_the_bytes_of_one_that_is_prepared_now(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    formats: Formats = request.getfixturevalue(name)
    data = formats.copy(tmp_path / "data")
    before = tars(data)
    bring_over(data)
    assert tree(data) == tree(formats.present)
    assert tars(data) == before


@pytest.mark.parametrize("name", ["layered", "rejected", "retried"])
def test_an_upgraded_data_set_is_sound(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    formats: Formats = request.getfixturevalue(name)
    bring_over(formats.copy(tmp_path / "data"))
    assert problems(tmp_path / "data") == []


def test_prepare_goes_on_with_an_upgraded_data_set(
    unfinished: Formats, alone: Formats, run_inline: Run, tmp_path: Path
) -> None:
    data = unfinished.copy(tmp_path / "data")
    bring_over(data)
    run_inline(unfinished.config, data)
    assert tree(data) == tree(alone.present)


def test_the_index_of_a_run_that_got_no_further_is_upgraded_and_used(
    layered: Formats, run_inline: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(layered.former / "index.parquet", data)
    bring_over(data)
    index = {"index.json", "index/0000000.parquet"}
    assert tree(data) == {name: content for name, content in tree(layered.present).items() if name in index}
    assert run_inline(layered.config, data).complete


def test_a_data_set_is_upgraded_where_it_lies(layered: Formats, tmp_path: Path) -> None:
    url = f"memory://{tmp_path}/data"
    files, path = file_system(url)
    files.put(str(layered.former), path, recursive=True)
    bring_over(url)
    files.get(path, str(tmp_path / "back"), recursive=True)
    assert tree(tmp_path / "back") == tree(layered.present)


def test_what_is_upgraded_already_is_left_alone(layered: Formats, tmp_path: Path) -> None:
    shutil.copytree(layered.present, tmp_path / "data")
    assert not upgrade(Directory(str(tmp_path / "data")), lambda said: None, lambda what, done, of: None)
    assert tree(tmp_path / "data") == tree(layered.present)


def test_it_is_told_how_far_it_is(layered: Formats, tmp_path: Path) -> None:
    data, told = layered.copy(tmp_path / "data"), []
    said: list[str] = []
    upgrade(Directory(str(data)), said.append, lambda what, done, of: told.append((what, done, of)))
    assert said == ["writing the index of 12 candidates in parts"]
    assert told == [
        (what, done, 3)
        for what in ["writing records", "removing the former records"]
        for _ in range(3)
        for done in (1, 2, 3)
    ]


def test_where_records_are_missing_the_data_set_is_one_still_being_made(
    alone: Formats, run_inline: Run, tmp_path: Path
) -> None:
    data = alone.copy(tmp_path / "data")
    (data / "shards/0000001.json").unlink()
    said = bring_over(data)
    assert said[-1].startswith(f"warning: {data}/records must account for all 12 rows of the index, got 7; ")
    assert not read_manifest(Directory(str(data))).complete
    assert "shard 0000001: records/0000001.json must be there, got none; prepare again" in problems(data)
    run_inline(alone.config, data)
    assert tree(data) == tree(alone.present)


def test_a_record_that_belonged_to_another_data_set_belongs_to_another_one_still(
    layered: Formats, tmp_path: Path
) -> None:
    data = layered.copy(tmp_path / "data")
    damage(data / "shards/0000001.json", plan="0" * 64)
    damage(data / "layers/canny/shards/0000002.json", base_sha256="0" * 64)
    bring_over(data)
    found = "\n".join(problems(data))
    assert "shard 0000001: records/0000001.json must be a record of this data set, got one of another" in found
    assert "layer canny shard 0000002: records/0000002.json must be bound to the record below it, got another" in found


def damage(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
