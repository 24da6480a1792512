"""What verify says of sound data sets, that its advice fixes the others, and how it goes about its work."""

import re
from pathlib import Path
from random import Random

import pytest

from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import VerifyReport, rows_to_check, verify
from pipeline.verify.problem import Problem, folded
from stages.weights.store import WeightsStore
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.small_coco import write_coco
from tests.pipeline.verify.annotated_scenes import make_layered
from tests.pipeline.verify.damage import Copy

NO_WEIGHTS = WeightsStore(allow_network=False)


def check(path: Path, deep: bool = False) -> VerifyReport:
    return verify(Directory(str(path)), deep, NO_WEIGHTS, "cpu")


@pytest.fixture(scope="module")
def layered(make_config: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotated scenes, three of which are rejected, one of them alone in its shard; with a layer of color."""
    return make_layered(make_config, tmp_path_factory.mktemp("layered"))


def test_scenes_are_sound(data_set: Path) -> None:
    assert check(data_set) == VerifyReport(shards=3, samples=12, problems=())
    assert check(data_set, deep=True) == VerifyReport(shards=3, samples=12, problems=())


def test_a_data_set_with_rejections_and_a_layer_is_sound(layered: Path) -> None:
    assert check(layered) == VerifyReport(shards=4, samples=13, problems=())
    assert check(layered, deep=True) == VerifyReport(shards=4, samples=13, problems=())


def test_a_data_set_with_a_key_twice_is_sound_if_the_second_is_rejected(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    write_coco(tmp_path / "coco")
    source = {"kind": "coco", "root": str(tmp_path / "coco"), "split": "val2017", "keypoints": False}
    manifest = run_inline(make_config(source=source, max_rejected_fraction=1), tmp_path / "data")
    assert manifest.totals.rejected_by_reason["duplicate_key"] == 1
    assert check(tmp_path / "data", deep=True).problems == ()


def test_png_images_are_sound_too(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    run_inline(make_config(image={"size_pixels": [128, 64], "format": "png", "fit": "random_crop"}), tmp_path)
    assert check(tmp_path, deep=True).problems == ()


def test_nothing_is_written(layered: Path) -> None:
    before = tree(layered)
    check(layered, deep=True)
    assert tree(layered) == before


def test_hidden_files_and_those_of_a_hub_are_let_be(data_set: Path) -> None:
    for name in (".gitattributes", ".cache", "shards/.DS_Store", "records/.DS_Store", "index/.DS_Store"):
        (data_set / name).write_text("")
    assert check(data_set).problems == ()


def test_an_interrupted_data_set_lacks_its_records_and_nothing_else_is_said(data_set: Path) -> None:
    Copy(data_set, Random(0)).edit_json("dataset.json", lambda fields: fields.update(complete=False))
    for name in ("shards.jsonl", "rejected.jsonl", "README.md", "records/0000001.json", "records/0000002.json"):
        (data_set / name).unlink()
    assert [str(problem) for problem in check(data_set).problems] == [
        "dataset.json must be of a complete data set, got one still being made; prepare again",
        "shards 0000001 to 0000002: records/<shard>.json must be there, got none; prepare again",
    ]


@pytest.mark.parametrize("damage", ["tar", "record", "shards.jsonl", "README.md", "dataset.json", "partial"])
def test_the_advice_mends_the_data_set(damage: str, make_config: Make, run_inline: Run, data_set: Path) -> None:
    before = tree(data_set / "shards") | tree(data_set / "records")
    copy = Copy(data_set, Random(damage))
    match damage:
        case "tar":
            copy.flip("shards/0000001.tar", 700)
        case "record":
            (data_set / "records/0000001.json").unlink()
        case "dataset.json":
            copy.edit_json("dataset.json", lambda fields: fields["totals"].update(samples=1))
        case "partial":
            (data_set / "shards/0000001.tar.0.partial").write_bytes(b"")
        case name:
            (data_set / name).write_text("stale")
    (problem,) = check(data_set).problems
    if "delete its record" in problem.what:
        (data_set / f"records/{problem.shard}.json").unlink()
    if "delete dataset.json" in problem.what:
        (data_set / "dataset.json").unlink()
    assert problem.what.endswith("prepare again")
    run_inline(make_config(), data_set)
    assert check(data_set).problems == ()
    assert tree(data_set / "shards") | tree(data_set / "records") == before


def test_a_tar_that_cannot_be_read_is_a_problem(data_set: Path) -> None:
    (data_set / "shards/0000001.tar").unlink()
    (data_set / "shards/0000001.tar").mkdir()
    (problem,) = check(data_set).problems
    assert problem.shard == "0000001"
    assert re.search(r"^0000001\.tar must be there, got a folder; delete", problem.what)


@pytest.mark.parametrize("deep", [False, True])
def test_progress_is_told_of_every_row(layered: Path, deep: bool) -> None:
    told: list[int] = []
    verify(Directory(str(layered)), deep, NO_WEIGHTS, "cpu", told.append)
    assert sum(told) == rows_to_check(Directory(str(layered))) == 16 + 13
    assert max(told) <= 2, "it comes sample by sample, not shard by shard"


def test_progress_is_told_of_rows_that_are_lost_too(data_set: Path) -> None:
    (data_set / "records/0000000.json").unlink()
    (data_set / "shards/0000001.tar").unlink()
    told: list[int] = []
    verify(Directory(str(data_set)), False, NO_WEIGHTS, "cpu", told.append)
    assert sum(told) == 12


def test_only_consecutive_shards_are_folded() -> None:
    lost = [Problem(f"000000{n}", "", f"000000{n}.tar must be there") for n in (1, 2, 3, 5)]
    other = Problem("0000006", "", "0000006.tar must have 5 bytes")
    of_sample = [Problem("0000007", key, "jpg must be a JPEG") for key in "ab"]
    assert folded([*lost, other, *of_sample]) == [
        Problem("0000001 to 0000003", "", "<shard>.tar must be there"),
        lost[3],
        other,
        *of_sample,
    ]
