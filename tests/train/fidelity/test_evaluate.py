"""Fidelity by re-extraction, end to end on the tiny base: what is written, what is drawn again, what is refused."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import verify
from stages.errors import ConfigError, WeightsError
from stages.hardware.process import torch_threads
from stages.image.decode import decode_stored
from stages.records import Condition
from stages.sources.index.names import hashed_key
from stages.weights.store import WeightsStore
from tests.train.conftest import prepare_scenes
from tests.train.fidelity.evaluations import (
    INLINE,
    SIDE_PIXELS,
    Listener,
    large_scenes,
    picture,
    plant,
    run_job,
    times,
)
from tests.train.tiny_runs import save_parts, write_tiny_run
from train.data.training_set import TrainingSet
from train.fidelity.evaluate import Evaluated, EvaluationJob
from train.runs.directory import RUN_FILE
from train.sampling.controls import Control
from train.sampling.pictures import SampleJob, sample
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion

SAMPLES = 4
NAME = "CIEDE2000"
VARIANTS = ("real", "with", "shuffled", "without")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return large_scenes(tmp_path_factory.mktemp("scenes") / "data")


@pytest.fixture(scope="module")
def run(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with random weights for color."""
    folder = tmp_path_factory.mktemp("run") / "run"
    write_tiny_run(folder, tiny_base)
    return folder


@pytest.fixture(scope="module")
def job(run: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluationJob:
    return EvaluationJob(
        runs=(run,),
        data=str(scenes),
        out=tmp_path_factory.mktemp("evaluation") / "out",
        samples=SAMPLES,
        sampler=SamplerSettings(2),
        dtype="float32",
        execution=INLINE,
    )


@pytest.fixture(scope="module")
def done(job: EvaluationJob) -> Evaluated:
    """The evaluation in `job.out`."""
    return run_job(job)


def test_every_variant_is_a_sound_data_set_with_the_samples_captions(done: Evaluated, job: EvaluationJob) -> None:
    truth: dict[str, Mapping[str, bytes]] = {}
    data = TrainingSet(Directory(job.data), Condition.COLOR, use_latents=False)
    for shard in data.shards(0):
        truth |= dict(data.read(shard.name, position) for position in range(shard.samples))
    for variant in VARIANTS:
        directory = Directory(str(job.out / variant))
        assert verify(directory, True, WeightsStore(allow_network=False), "cpu", lambda rows: None).problems == ()
        made = TrainingSet(directory, Condition.COLOR, use_latents=False)
        assert made.size_pixels == (SIDE_PIXELS, SIDE_PIXELS)
        found = dict(made.read(shard.name, n) for shard in made.shards(0) for n in range(shard.samples))
        assert {key: members["txt"] for key, members in found.items()} == {
            hashed_key(f"0000000.tar/{key}"): truth[key]["txt"] for key in sorted(truth)[:SAMPLES]
        }


def test_the_real_pictures_are_better_than_the_random_base(done: Evaluated) -> None:
    (figure,) = done.report.figures
    assert (figure.name, figure.ideal, figure.samples) == (NAME, 0, SAMPLES)
    assert 0 < figure.means["real"].mean < 1  # a JPEG of a JPEG
    assert figure.means["without"].low > figure.means["real"].high
    assert done.report.held_out


def test_figures_are_the_means_of_the_samples_and_differences_are_paired(done: Evaluated, job: EvaluationJob) -> None:
    lines = [json.loads(line) for line in (job.out / "samples.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == [f"{number:09d}" for number in range(SAMPLES)]
    (figure,) = done.report.figures
    for variant in VARIANTS:
        assert figure.means[variant].mean == pytest.approx(np.mean([line["color"][NAME][variant] for line in lines]))
    for control in ("without", "shuffled"):
        minus = [line["color"][NAME]["with"] - line["color"][NAME][control] for line in lines]
        estimate = figure.differences[control]
        assert estimate.mean == pytest.approx(np.mean(minus))
        assert min(minus) <= estimate.low <= estimate.mean <= estimate.high <= max(minus)
    assert json.loads((job.out / "eval.json").read_text())["complete"]


def test_a_picture_is_the_one_that_condset_sample_draws(done: Evaluated, job: EvaluationJob, tmp_path: Path) -> None:
    """Sample 1 from seed 1, with its own condition and with that of sample 0."""
    data = TrainingSet(Directory(job.data), Condition.COLOR, use_latents=False)
    shard = data.shards(0)[0].name
    for number in (0, 1):
        (tmp_path / f"{number}.png").write_bytes(data.read(shard, number)[1]["color.png"])
    prompt = data.read(shard, 1)[1]["txt"].decode()
    for variant, condition in (("with", "1.png"), ("shuffled", "0.png")):
        alone = SampleJob(
            prompt,
            tmp_path / variant,
            (Control(job.runs[0], tmp_path / condition),),
            sampler=SamplerSettings(2, seed=1),
            device="cpu",
            dtype="float32",
        )
        with torch_threads(1):
            (drawn,) = sample(alone, print).pictures
        found_hwc = decode_stored(picture(job.out, "0000000", 1)[f"{variant}.png"])
        with Image.open(drawn) as expected:
            np.testing.assert_array_equal(found_hwc, np.asarray(expected))


def test_the_sheet_shows_condition_and_every_variant(done: Evaluated, job: EvaluationJob) -> None:
    with Image.open(job.out / "sheet.png") as sheet:
        assert sheet.width > 5 * 192
        assert sheet.height > SAMPLES * 192


def test_a_finished_evaluation_is_recognised(done: Evaluated, job: EvaluationJob) -> None:
    before = times(job.out)
    again = run_job(job)
    assert again.was_complete
    assert again.report == done.report
    assert times(job.out) == before


def test_other_settings_in_the_same_directory_are_refused(done: Evaluated, job: EvaluationJob) -> None:
    with pytest.raises(ConfigError) as refused:
        run_job(replace(job, sampler=SamplerSettings(3, seed=4)))
    assert str(refused.value) == (
        f"{job.out} must hold this evaluation, got another one (seed 0 there, 4 here, steps 2 there, 3 here); give "
        "another --out"
    )


def test_pictures_that_follow_their_condition_are_told_from_those_that_follow_another(
    job: EvaluationJob, tmp_path: Path
) -> None:
    """The random base follows nothing, so the answer is planted: real pictures, each sample's own or the one before."""
    planted = replace(job, out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run_job(planted, Listener(stop_at="listing webdataset"))
    plant(planted.out, {"with": 0, "shuffled": 1})
    (figure,) = run_job(planted).report.figures
    assert figure.means["with"] == figure.means["real"]
    assert figure.means["shuffled"].low > 5 * figure.means["with"].high
    assert figure.differences["shuffled"].high < -1
    assert figure.differences["without"].high < -1


def test_another_condition_has_its_own_measure(
    job: EvaluationJob, tiny_base: "StableDiffusion", tmp_path: Path
) -> None:
    write_tiny_run(tmp_path / "run", tiny_base, "segmentation")
    (figure,) = run_job(replace(job, runs=(tmp_path / "run",), out=tmp_path / "out", samples=2)).report.figures
    assert figure.name == "mIoU"
    assert figure.means["real"].mean > 0.9 > figure.means["without"].mean


def test_a_missing_pose_network_is_said_before_anything_is_drawn(
    job: EvaluationJob, tiny_base: "StableDiffusion", tmp_path: Path
) -> None:
    write_tiny_run(tmp_path / "run", tiny_base, "keypose")
    with pytest.raises(WeightsError, match="rtmo"):
        run_job(replace(job, runs=(tmp_path / "run",), out=tmp_path / "out", samples=8))
    assert not (tmp_path / "out").exists()


def test_data_without_anything_to_measure_are_refused(
    job: EvaluationJob, tiny_base: "StableDiffusion", tmp_path: Path
) -> None:
    """The first two scenes of seed 3 have no people."""
    source = {"kind": "synthetic", "seed": 3, "count": 2, "width_pixels": 64, "height_pixels": 64}
    data = prepare_scenes(tmp_path / "data", source=source, annotators=[{"kind": "keypose", "from": "annotations"}])
    write_tiny_run(tmp_path / "run", tiny_base, "keypose")
    with pytest.raises(ConfigError) as refused:
        run_job(replace(job, runs=(tmp_path / "run",), data=str(data), out=tmp_path / "out"))
    assert str(refused.value) == (
        f"--data {data} must show something that keypose measures in its first 2 samples, got nothing (no person, for "
        "example); raise --samples"
    )


def test_a_protocol_needs_its_networks_its_size_and_its_number_of_pictures(job: EvaluationJob, tmp_path: Path) -> None:
    asked = replace(job, out=tmp_path / "out")
    with pytest.raises(WeightsError, match="weights of clip_vit_l14 must be in a file"):
        run_job(replace(asked, protocol="ip-adapter"))
    with pytest.raises(ConfigError, match="--protocol t2i-adapter must have pictures of 512x512, got 128x128"):
        run_job(replace(asked, protocol="t2i-adapter"))
    with pytest.raises(ConfigError) as refused:
        run_job(replace(asked, protocol="ip-adapter", pictures_per_caption=2))
    assert str(refused.value) == "--pictures-per-caption must be 4 in --protocol ip-adapter, got 2; leave it out"
    assert not (tmp_path / "out").exists()


def test_data_that_the_run_was_trained_on_are_named(job: EvaluationJob, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    described = json.loads((run / RUN_FILE).read_text())
    fingerprint = json.loads((Path(job.data) / "dataset.json").read_text())["fingerprint"]
    described["inputs"]["data.0"] = f"{fingerprint} {'0' * 64}"
    (tmp_path / "run" / RUN_FILE).write_text(json.dumps(described))
    listener = Listener()
    report = run_job(replace(job, runs=(tmp_path / "run",), out=tmp_path / "out", samples=2), listener)
    assert not report.report.held_out
    assert listener.said[0] == (
        f"warning: {tmp_path / 'run'} was trained on {job.data}; samples that it never saw tell more"
    )


def test_another_base_must_be_named(
    job: EvaluationJob, tiny_base: "StableDiffusion", run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    described = json.loads((run / RUN_FILE).read_text())
    (tmp_path / "run" / RUN_FILE).write_text(json.dumps(described | {"base": "f" * 64}))
    other = replace(job, runs=(tmp_path / "run",), out=tmp_path / "out", samples=2)
    with pytest.raises(ConfigError) as refused:
        run_job(other)
    assert str(refused.value) == (
        f"{tmp_path / 'run'} must be evaluated with the base that it was trained on, ffffffffffff, got "
        f"{tiny_base.identity[:12]}; give --base to choose it or another"
    )
    assert not (tmp_path / "out").exists()
    model = str(save_parts(tiny_base, tmp_path / "model"))
    report = run_job(replace(other, base=model)).report
    assert (report.base, report.inputs["base"]) == (model, tiny_base.identity)


def test_a_directory_with_something_else_is_refused(job: EvaluationJob, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError) as refused:
        run_job(replace(job, out=tmp_path))
    assert str(refused.value) == (
        f"{tmp_path} must be a new directory or an evaluation's, got one with notes.txt; give another --out"
    )
