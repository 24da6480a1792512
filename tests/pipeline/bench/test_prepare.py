"""The bench of preparation in small: its contenders make the same data, and its figures are those of the run."""

import gc
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.bench.detectors import random_pidinet
from pipeline.bench.inputs import SPLIT, BenchInputs, inputs_for, write_inputs
from pipeline.bench.networks import Timing
from pipeline.bench.one_pass import INLINE as EVERY_INLINE
from pipeline.bench.one_pass import NETWORKS
from pipeline.bench.one_pass import ON_RAY as ON_EVERY_RAY
from pipeline.bench.plain_prepare import prepare_plainly
from pipeline.bench.prepare import ALONE, INLINE, ON_RAY, PLAIN
from pipeline.bench.timed_runs import (
    plan_work,
    steady_commits,
    time_conditions,
    time_encoding,
    time_run,
    time_shares,
)
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.resources import Resources
from stages.annotators.color import ColorConfig
from stages.annotators.segmentation.annotator import SegmentationConfig
from stages.annotators.sketch.annotator import SketchConfig
from stages.hardware.warning_filters import Ignored, warnings_ignored
from stages.records import UInt8Array
from tests.pipeline.bench.bench_command import assert_consistent, bench_for_machines


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> BenchInputs:
    folder = tmp_path_factory.mktemp("bench")
    annotators = (
        SketchConfig(weights=str(random_pidinet(folder / "pidinet.pth"))),
        ColorConfig(),
        SegmentationConfig(),
    )
    made = BenchInputs(folder / "inputs", 64, samples_per_shard=4, shards=1, annotators=annotators, device="cpu")
    write_inputs(made)
    return made


def samples(tars: Path) -> dict[str, dict[str, bytes]]:
    import webdataset

    files = [str(tar) for tar in sorted(tars.glob("*.tar"))]
    with warnings_ignored(Ignored(category=ResourceWarning)):  # webdataset leaves the last tar open
        read = list(webdataset.WebDataset(files, shardshuffle=False))
        gc.collect()
    return {each["__key__"]: {name: each[name] for name in each if not name.startswith("__")} for each in read}


def pixels(content: bytes) -> UInt8Array:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image, np.uint8)


def mean_difference(name: str, theirs: dict[str, bytes], ours: dict[str, bytes]) -> float:
    return float(abs(pixels(theirs[name]).astype(int) - pixels(ours[name])).mean())


def test_the_plain_loop_makes_the_members_that_condset_makes(inputs: BenchInputs, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    ((_, file),) = inputs.annotators[0].models
    weights, shard = Path(file or ""), inputs.samples_per_shard
    keys = list(
        prepare_plainly(inputs.root, SPLIT, tmp_path / "plain", inputs.size_pixels, weights, shard, inputs.device)
    )
    job, work = plan_work(inputs, tmp_path / "ours", InlineExecutor())
    list(InlineExecutor().run(job.plans, work, lambda samples: None))
    plain, ours = samples(tmp_path / "plain"), samples(tmp_path / "ours/shards")
    assert len(keys) == inputs.images_with_untimed
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


def test_a_run_is_timed_between_its_first_and_its_last_commit_but_one(inputs: BenchInputs) -> None:
    seconds = time_run(inputs, InlineExecutor())
    alone = time_conditions(inputs)
    assert seconds > 0
    assert alone > 0


@pytest.mark.parametrize(
    ("commits", "workers", "seconds"),
    [
        ([10.0, 12.0, 14.0, 15.0], 1, 4.0),  # two timed shards, 2 seconds each
        ([9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0], 2, 4.0),  # 4 timed shards, a second each
        ([10.0, 10.0, 10.0, 14.0, 14.0, 14.0, 18.0, 18.0, 18.0, 21.0, 21.0, 21.0], 3, 8.0),  # in step
    ],
)
def test_a_run_is_timed_without_the_first_and_the_last_shard_of_each_worker(
    commits: list[float], workers: int, seconds: float
) -> None:
    assert steady_commits(commits, workers) == seconds


def test_a_run_of_several_workers_has_shards_for_each(inputs: BenchInputs, tmp_path: Path) -> None:
    both = replace(inputs, root=tmp_path / "inputs", workers=2)
    write_inputs(both)
    alone, together = (
        plan_work(both, tmp_path / str(workers), InlineExecutor(), workers)[0].plans for workers in (1, 2)
    )
    assert (len(alone), len(together)) == (3, 6)
    assert {plan.rows for plan in (*alone, *together)} == {both.samples_per_shard}


def test_encoding_alone_is_timed(inputs: BenchInputs) -> None:
    assert time_encoding(inputs) > 0


def test_the_images_of_a_round_are_whole_shards_whose_length_suits_the_device(
    tmp_path: Path,
) -> None:
    machine = Resources(cpus=24, gpus=4, node_cpus=24)
    on_cpu = inputs_for(Timing(64, images=17, rounds=1, device="cpu"), tmp_path, (ColorConfig(),), machine)
    on_gpu = inputs_for(Timing(64, images=17, rounds=1, device="cuda"), tmp_path, (ColorConfig(),), machine)
    assert (on_cpu.images, on_cpu.images_with_untimed, on_cpu.workers) == (32, 64, 3)
    assert (on_gpu.images, on_gpu.images_with_untimed, on_gpu.workers) == (17, 51, 4)


def test_the_shares_of_a_run_sum_to_one_and_the_networks_take_part(inputs: BenchInputs) -> None:
    shares = time_shares(inputs)
    assert sum(shares.places.values()) == pytest.approx(1)
    assert shares.places["sketch"] > 0
    assert shares.gpu_busy is None


@pytest.mark.slow
@pytest.mark.ray
def test_preparing_is_measured_beside_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    table = bench_for_machines("prepare", "--images-timed", "2")
    assert_consistent(table, "sketch")
    assert [row["name"] for row in table["rows"]] == [PLAIN, ALONE, INLINE, ON_RAY]
    assert table["title"].startswith("sketch, color and segmentation at 64x64, ")
    assert table["title"].endswith("random weights, 1 rounds of 2 images")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.weights
def test_one_pass_over_every_condition_is_measured_beside_its_networks(shared: Path) -> None:
    weights = ["--weights-dir", str(shared / "weights")]
    table = bench_for_machines("prepare", "--every-condition", "--images-timed", "2", *weights)
    assert [row["name"] for row in table["rows"]] == [NETWORKS, ON_EVERY_RAY, EVERY_INLINE]
    assert table["rows"][0]["bottleneck"] == "matrix products"
    assert all(row["limit_share"] > 0 for row in table["rows"])
    assert sum(table["time_shares"].values()) == pytest.approx(1)
    assert table["title"].startswith("sketch, depth, keypose, color, canny and segmentation at 64x64, ")
    assert ", random weights of MiDaS dpt_hybrid and RTMO-M, the published ones of PiDiNet, " in table["title"]
