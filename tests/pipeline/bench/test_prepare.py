"""The bench of preparation in small: its contenders make the same data, and its figures are those of the run."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.bench.one_pass import INLINE as EVERY_INLINE
from pipeline.bench.one_pass import NETWORKS
from pipeline.bench.one_pass import ON_RAY as ON_EVERY_RAY
from pipeline.bench.plain_prepare import prepare_plainly
from pipeline.bench.prepare import ALONE, INLINE, ON_RAY, PLAIN
from pipeline.bench.sketch import random_pidinet
from pipeline.bench.timed_runs import (
    SAMPLES_PER_SHARD,
    SPLIT,
    Inputs,
    plan_work,
    time_conditions,
    time_run,
    time_shares,
    write_inputs,
)
from pipeline.executor import InlineExecutor
from stages.records import UInt8Array

from .bench_command import assert_consistent, bench_for_machines


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("bench")
    sketch = {"kind": "sketch", "weights": str(random_pidinet(folder / "pidinet.pth"))}
    made = Inputs(folder / "inputs", 64, shards=1, annotators=(sketch, {"kind": "color"}, {"kind": "segmentation"}))
    write_inputs(made)
    return made


def samples(tars: Path) -> dict[str, dict[str, bytes]]:
    import webdataset

    files = [str(tar) for tar in sorted(tars.glob("*.tar"))]
    read = list(webdataset.WebDataset(files, shardshuffle=False))
    return {each["__key__"]: {name: each[name] for name in each if not name.startswith("__")} for each in read}


def pixels(content: bytes) -> UInt8Array:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image, np.uint8)


def mean_difference(name: str, theirs: dict[str, bytes], ours: dict[str, bytes]) -> float:
    return float(abs(pixels(theirs[name]).astype(int) - pixels(ours[name])).mean())


def test_the_plain_loop_makes_the_members_that_condset_makes(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    weights = Path(str(inputs.annotators[0]["weights"]))
    keys = list(prepare_plainly(inputs.root, SPLIT, tmp_path / "plain", inputs.size_pixels, weights, SAMPLES_PER_SHARD))
    job, work = plan_work(inputs, tmp_path / "ours", InlineExecutor())
    list(InlineExecutor().run(job.plans, work, lambda samples: None))
    plain, ours = samples(tmp_path / "plain"), samples(tmp_path / "ours/shards")
    assert len(keys) == 3 * SAMPLES_PER_SHARD
    assert [*plain] == [*ours] == keys
    for key, theirs in plain.items():
        assert theirs.keys() == ours[key].keys()
        assert theirs["txt"] == ours[key]["txt"]
        assert (pixels(theirs["segmentation.png"]) == pixels(ours[key]["segmentation.png"])).all()
        assert pixels(theirs["sketch.png"]).shape == pixels(ours[key]["sketch.png"]).shape
        assert mean_difference("jpg", theirs, ours[key]) < 3
    # One square at this size, of a few pixels: theirs are the crop's, ours those of the stored JPEG.
    colors = [mean_difference("color.png", theirs, ours[key]) for key, theirs in plain.items()]
    assert sum(colors) / len(colors) < 8


def test_a_run_is_timed_between_its_first_and_its_last_commit_but_one(inputs: Inputs) -> None:
    (seconds,) = time_run(inputs, InlineExecutor())
    (alone,) = time_conditions(inputs)
    assert 0 < seconds < 1
    assert 0 < alone < 1


def test_the_shares_of_a_run_sum_to_one_and_the_networks_take_part(inputs: Inputs) -> None:
    shares = time_shares(inputs)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["sketch"] > 0


@pytest.mark.slow
@pytest.mark.ray
def test_preparing_is_measured_beside_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    table = bench_for_machines("prepare", "--images-timed", "2")
    assert_consistent(table, "sketch")
    assert [row["name"] for row in table["rows"]] == [PLAIN, ALONE, INLINE, ON_RAY]
    assert table["title"].startswith("sketch, color and segmentation at 64x64, ")
    assert table["title"].endswith(f"1 rounds of {SAMPLES_PER_SHARD} images")


@pytest.mark.slow
@pytest.mark.ray
def test_one_pass_over_every_condition_is_measured_beside_its_networks() -> None:
    table = bench_for_machines("prepare", "--every-condition", "--images-timed", "2")
    assert [row["name"] for row in table["rows"]] == [NETWORKS, ON_EVERY_RAY, EVERY_INLINE]
    assert sum(table["time_shares"].values()) == pytest.approx(1)
    assert table["title"].startswith("sketch, depth, keypose, color, canny and segmentation at 64x64, ")
