import json
from pathlib import Path

import pytest
import torch

from pipeline.bench.detectors import random_pidinet
from pipeline.config import PrepareConfig
from pipeline.dataset.manifest import load_finished, read_manifest
from pipeline.dataset.storage import Directory
from pipeline.run import plan_dataset, prepare
from stages.errors import ManifestError, ShardConflict, TooManyRejected, WeightsError
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree


def run_saying(config: PrepareConfig, out: Path) -> list[str]:
    said: list[str] = []
    prepare(config, Directory(str(out)), offline(say=said.append))
    return said


def test_every_row_of_the_index_is_accounted_for(data_set: Path) -> None:
    manifest = read_manifest(Directory(str(data_set)))
    totals = manifest.totals
    assert manifest.complete
    assert (totals.rows, totals.shards, totals.samples, totals.rejected) == (12, 3, 12, 0)
    lines = [json.loads(line) for line in (data_set / "shards.jsonl").read_text().splitlines()]
    assert [line["samples"] for line in lines] == [5, 5, 2]
    assert sum(line["bytes"] for line in lines) == totals.tar_bytes


def test_the_directory_holds_what_the_format_says(data_set: Path) -> None:
    shards = [each for number in range(3) for each in (f"records/000000{number}.json", f"shards/000000{number}.tar")]
    index = ["index.json", "index/0000000.parquet"]
    assert sorted(tree(data_set)) == sorted(
        [*shards, *index, "README.md", "dataset.json", "keys.npy", "rejected.jsonl", "shards.jsonl"]
    )


def test_the_same_configuration_gives_the_same_bytes(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    run_inline(make_config(), tmp_path / "a")
    run_inline(make_config(), tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_the_listing_of_a_run_that_ended_early_serves_its_own_settings_alone(make_config: Make, tmp_path: Path) -> None:
    out = Directory(str(tmp_path / "data"))
    plan_dataset(make_config(limit=5), out, offline())
    with pytest.raises(ShardConflict) as caught:
        plan_dataset(make_config(), out, offline())
    assert str(caught.value) == (
        f"{tmp_path}/data/index.json must be of this source and limit, got 5 rows of others; remove it and index/ "
        "to list again, or give another --out"
    )
    said: list[str] = []
    assert plan_dataset(make_config(limit=5, samples_per_shard=2), out, offline(say=said.append)).samples == 5
    assert said == []  # nothing is listed again


def test_a_finished_directory_is_recognised_and_left_alone(make_config: Make, run_inline: Run, data_set: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in data_set.rglob("*")}
    summary = prepare(make_config(), Directory(str(data_set)), offline())
    assert summary.shards_made == 0
    assert {path: path.stat().st_mtime_ns for path in data_set.rglob("*")} == times


def test_a_lost_shard_is_made_again_with_the_same_bytes(make_config: Make, run_inline: Run, data_set: Path) -> None:
    before = tree(data_set)
    (data_set / "records/0000001.json").unlink()
    (data_set / "shards/0000002.tar").unlink()
    (data_set / "records/0000002.json").unlink()
    (data_set / "shards/0000001.tar.dead.partial").write_bytes(b"cut off")
    run_inline(make_config(), data_set)
    assert tree(data_set) == before


def test_another_configuration_is_refused_with_the_difference(
    make_config: Make, run_inline: Run, data_set: Path
) -> None:
    before = tree(data_set)
    other = make_config(image={"size_pixels": 64, "quality": 80})
    with pytest.raises(ShardConflict, match=r"image\.quality 95 there, 80 here\); give another --out"):
        run_inline(other, data_set)
    assert tree(data_set) == before


def test_another_source_is_refused_although_the_index_is_trusted(
    make_config: Make, run_inline: Run, data_set: Path
) -> None:
    other = make_config(source={"kind": "synthetic", "count": 12, "seed": 9, "width_pixels": 96, "height_pixels": 80})
    with pytest.raises(ShardConflict, match=r"source\.seed 0 there, 9 here"):
        run_inline(other, data_set)


def test_shards_that_no_manifest_tells_of_are_taken_for_what_they_are(
    make_config: Make, run_inline: Run, data_set: Path
) -> None:
    before = tree(data_set)
    (data_set / "dataset.json").unlink()
    other = make_config(image={"size_pixels": 64, "quality": 80})
    with pytest.raises(
        ShardConflict,
        match=r"records/0000000\.json must be the record of a shard of this configuration, got one of another",
    ):
        run_inline(other, data_set)
    run_inline(make_config(), data_set)
    assert tree(data_set) == before


def test_a_directory_with_foreign_files_is_refused(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ShardConflict, match=r"must be a new directory or one of condset's, got one with thesis\.tex"):
        run_inline(make_config(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(("multiplies_bfloat16", "dtype"), [(False, "float32"), (True, "bfloat16")])
def test_what_auto_has_picked_is_said_and_recorded(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multiplies_bfloat16: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": multiplies_bfloat16})
    weights = random_pidinet(tmp_path / "random_pidinet.pth")
    sketch = {"kind": "sketch", "dtype": "auto", "weights": str(weights)}
    config = make_config(samples_per_shard=12, annotators=[{"kind": "color"}, sketch])
    said = run_saying(config, tmp_path / "data")
    assert f"1 of 1 shards to make on cpu, 1 threads a worker, batch 1, sketch in {dtype}" in said
    numerics = read_manifest(Directory(str(tmp_path / "data"))).numerics
    assert numerics.dtypes == {"color": "none", "sketch": dtype}


def test_a_resume_under_other_numerics_says_so(make_config: Make, run_inline: Run, data_set: Path) -> None:
    (data_set / "records/0000002.json").unlink()
    said = run_saying(make_config(execution={"device": "cpu", "batch_size": 4}), data_set)
    assert any("shard 0000000 was made under other numerics (batch_size 1 there, 4 here)" in each for each in said)


def test_a_resume_with_other_threads_on_a_cpu_has_nothing_to_say(
    make_config: Make, run_inline: Run, data_set: Path
) -> None:
    before = (data_set / "shards/0000002.tar").read_bytes()
    (data_set / "records/0000002.json").unlink()
    said = run_saying(make_config(execution={"device": "cpu", "threads_per_worker": 2}), data_set)
    assert not any("numerics" in each for each in said)
    assert (data_set / "shards/0000002.tar").read_bytes() == before


def test_workers_and_devices_are_no_part_of_the_fingerprint(make_config: Make, run_inline: Run, data_set: Path) -> None:
    config = make_config(execution={"device": "cpu", "threads_per_worker": 2, "batch_size": 4})
    assert run_inline(config, data_set).complete


def coco_with_holes(root: Path, images: int, missing: int, without_caption: int) -> dict[str, object]:
    """A COCO layout whose first images have no file and whose last have no caption."""
    from PIL import Image

    (root / "val2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    entries = [{"id": number, "file_name": f"{number}.png", "width": 70, "height": 70} for number in range(images)]
    for number in range(missing, images):
        Image.new("RGB", (70, 70), (number, 0, 0)).save(root / f"val2017/{number}.png")
    captions = [{"id": n, "image_id": n, "caption": f"image {n}"} for n in range(images - without_caption)]
    content = {"images": entries, "annotations": captions}
    (root / "annotations/captions_val2017.json").write_text(json.dumps(content))
    return {"kind": "coco", "root": str(root), "split": "val2017", "keypoints": False}


def test_lost_samples_are_counted_rejections_with_reasons(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    source = coco_with_holes(tmp_path / "coco", images=10, missing=1, without_caption=3)
    manifest = run_inline(make_config(source=source, max_rejected_fraction=0.3), tmp_path / "data")
    assert manifest.totals.rejected_by_reason == {"missing_file": 1, "no_caption": 3}
    rejected = [json.loads(line) for line in (tmp_path / "data/rejected.jsonl").read_text().splitlines()]
    assert rejected[0] == {
        "shard": "0000000",
        "key": "000000000000",
        "reason": "missing_file",
        "detail": "val2017/0.png must be a file below the source's root, got none",
    }


def test_an_outage_stops_the_run_before_its_shard_is_committed(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    source = coco_with_holes(tmp_path / "coco", images=10, missing=4, without_caption=0)
    with pytest.raises(
        TooManyRejected, match=r"shard 0000000 must lose at most 5% of its 5 rows, got 4 lost, first 0+: missing"
    ):
        run_inline(make_config(source=source), tmp_path / "data")
    assert list((tmp_path / "data/shards").iterdir()) == []
    for number in range(4):
        (tmp_path / f"coco/val2017/{number}.png").write_bytes((tmp_path / "coco/val2017/9.png").read_bytes())
    assert run_inline(make_config(source=source), tmp_path / "data").totals.samples == 10


def test_missing_weights_stop_the_run_before_anything_is_written(
    make_config: Make, run_inline: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match="pidinet"):
        run_inline(make_config(annotators=[{"kind": "sketch"}]), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_unfinished_data_set_is_not_taken_for_a_finished_one(data_set: Path) -> None:
    directory = Directory(str(data_set))
    assert load_finished(directory).complete
    content = json.loads((data_set / "dataset.json").read_text()) | {"complete": False}
    (data_set / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="must be complete, got one that is still being made"):
        load_finished(directory)
