"""Fidelity by re-extraction, end to end on the tiny base: what is written, what is drawn again, what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.executor import InlineExecutor
from pipeline.storage import Directory
from pipeline.verify.dataset import verify
from stages.errors import ConfigError, WeightsError
from stages.records import Condition
from stages.sources.names import hashed_key
from stages.weights import WeightsStore
from train.data import TrainingSet
from train.evaluation import Evaluated, EvaluationJob, Surroundings, evaluate
from train.fidelity.pictures import Variant
from train.guide import Guide
from train.run_directory import RUN_FILE
from train.sample import SampleJob, sample

from .conftest import prepare_scenes
from .tiny_runs import save_parts, write_tiny_run

if TYPE_CHECKING:
    from train.stable_diffusion import StableDiffusion

SAMPLES = 4
SIDE_PIXELS = 128
NAME = "CIEDE2000"


class Listener:
    """Keeps what an evaluation says and how far it has drawn; interrupts it after so many samples."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.said: list[str] = []
        self.drawn: list[tuple[int, int]] = []
        self._stop_after = stop_after

    def surroundings(self) -> Surroundings:
        return Surroundings(InlineExecutor, WeightsStore(allow_network=False), self.said.append, self._drawn)

    def _drawn(self, done: int, total: int) -> None:
        self.drawn.append((done, total))
        if done == self._stop_after:
            raise KeyboardInterrupt


def run_job(job: EvaluationJob, listener: Listener | None = None) -> Evaluated:
    """Evaluate as a new process does: extracting leaves torch with other threads, and those with other last bits."""
    torch.set_num_threads(1)
    return evaluate(job, (listener or Listener()).surroundings())


def pictures(out: Path) -> list[Path]:
    return sorted((out / "pictures").glob("*/*.png"))


def times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in pictures(out)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight scenes of 128 x 128 pixels, in two shards, as JPEG."""
    source = {"kind": "synthetic", "count": 8, "width_pixels": SIDE_PIXELS, "height_pixels": SIDE_PIXELS}
    image = {"size_pixels": SIDE_PIXELS, "format": "jpg"}
    annotators = [
        {"kind": "color"},
        {"kind": "canny"},
        {"kind": "segmentation"},
        {"kind": "keypose", "from": "annotations"},
    ]
    return prepare_scenes(
        tmp_path_factory.mktemp("scenes") / "data",
        source=source,
        image=image,
        annotators=annotators,
        samples_per_shard=4,
    )


@pytest.fixture(scope="module")
def run(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with random weights for color."""
    folder = tmp_path_factory.mktemp("run") / "run"
    write_tiny_run(folder, tiny_base)
    return folder


@pytest.fixture(scope="module")
def job(run: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluationJob:
    return EvaluationJob(
        run=run,
        data=str(scenes),
        out=tmp_path_factory.mktemp("evaluation") / "out",
        samples=SAMPLES,
        steps=2,
        device="cpu",
        dtype="float32",
    )


@pytest.fixture(scope="module")
def done(job: EvaluationJob) -> Evaluated:
    """The evaluation in `job.out`."""
    return run_job(job)


def test_every_variant_is_a_sound_data_set_with_the_samples_captions(done: Evaluated, job: EvaluationJob) -> None:
    truth: dict[str, dict[str, bytes]] = {}
    data = TrainingSet(Directory(job.data), Condition.COLOR, use_latents=False)
    for shard in data.shards(0):
        truth |= dict(data.read(shard.name, position) for position in range(shard.samples))
    for variant in Variant:
        directory = Directory(str(job.out / variant))
        assert verify(directory, True, WeightsStore(allow_network=False), "cpu", lambda rows: None).problems == ()
        made = TrainingSet(directory, Condition.COLOR, use_latents=False)
        assert made.size_pixels == (SIDE_PIXELS, SIDE_PIXELS)
        found = dict(made.read(shard.name, n) for shard in made.shards(0) for n in range(shard.samples))
        assert {key: members["txt"] for key, members in found.items()} == {
            hashed_key(f"{key}.png"): truth[key]["txt"] for key in sorted(truth)[:SAMPLES]
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
    for variant in Variant:
        assert figure.means[variant].mean == pytest.approx(np.mean([line[NAME][variant] for line in lines]))
    for control in ("without", "shuffled"):
        minus = [line[NAME]["with"] - line[NAME][control] for line in lines]
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
    torch.set_num_threads(1)
    for variant, condition in ((Variant.WITH, "1.png"), (Variant.SHUFFLED, "0.png")):
        alone = SampleJob(
            prompt,
            tmp_path / variant,
            (Guide(job.run, tmp_path / condition),),
            seed=1,
            steps=2,
            device="cpu",
            dtype="float32",
        )
        (drawn,) = sample(alone).pictures
        with Image.open(drawn) as expected, Image.open(job.out / "pictures" / variant / "000000001.png") as found:
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


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
        run_job(replace(job, steps=3, seed=4))
    assert str(refused.value) == (
        f"{job.out} must hold this evaluation, got another one (seed 0 there, 4 here, steps 2 there, 3 here); give "
        "another --out"
    )


def test_an_interrupted_evaluation_goes_on_and_draws_nothing_twice(
    done: Evaluated, job: EvaluationJob, tmp_path: Path
) -> None:
    part = replace(job, out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run_job(part, Listener(stop_after=2))
    assert len(pictures(part.out)) == 2 * len(Variant)
    assert not json.loads((part.out / "eval.json").read_text())["complete"]
    before = times(part.out)
    listener = Listener()
    finished = run_job(part, listener)
    assert listener.drawn == [(number + 1, SAMPLES) for number in range(SAMPLES)]
    assert {path: times(part.out)[path] for path in before} == before
    assert finished.report.figures == done.report.figures
    names = [path.relative_to(part.out) for path in pictures(part.out)]
    assert [(part.out / name).read_bytes() for name in names] == [(job.out / name).read_bytes() for name in names]


def test_pictures_that_follow_their_condition_are_told_from_those_that_follow_another(
    job: EvaluationJob, tmp_path: Path
) -> None:
    """The random base follows nothing, so the answer is planted: real pictures, each sample's own or the one before."""
    planted = replace(job, out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run_job(planted, Listener(stop_after=SAMPLES))
    real = sorted((planted.out / "pictures" / "real").glob("*.png"))
    for number, picture in enumerate(real):
        shutil.copyfile(picture, planted.out / "pictures" / "with" / picture.name)
        shutil.copyfile(real[number - 1], planted.out / "pictures" / "shuffled" / picture.name)
    (figure,) = run_job(planted).report.figures
    assert figure.means["with"] == figure.means["real"]
    assert figure.means["shuffled"].low > 5 * figure.means["with"].high
    assert figure.differences["shuffled"].high < -1
    assert figure.differences["without"].high < -1


@pytest.mark.parametrize(("condition", "name"), [("segmentation", "mIoU"), ("canny", "edge F1 within 2 px")])
def test_other_conditions_have_their_own_measure(
    condition: str, name: str, job: EvaluationJob, tiny_base: "StableDiffusion", tmp_path: Path
) -> None:
    write_tiny_run(tmp_path / "run", tiny_base, condition)
    (figure,) = run_job(replace(job, run=tmp_path / "run", out=tmp_path / "out", samples=2)).report.figures
    assert figure.name == name
    assert figure.means["real"].mean > 0.9 > figure.means["without"].mean


def test_a_missing_pose_network_is_said_before_anything_is_drawn(
    job: EvaluationJob, tiny_base: "StableDiffusion", tmp_path: Path
) -> None:
    write_tiny_run(tmp_path / "run", tiny_base, "keypose")
    with pytest.raises(WeightsError, match="rtmo"):
        run_job(replace(job, run=tmp_path / "run", out=tmp_path / "out", samples=8))
    assert not (tmp_path / "out").exists()


def test_data_that_the_run_was_trained_on_are_named(job: EvaluationJob, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    described = json.loads((run / RUN_FILE).read_text())
    fingerprint = json.loads((Path(job.data) / "dataset.json").read_text())["fingerprint"]
    described["inputs"]["data.0"] = f"{fingerprint} {'0' * 64}"
    (tmp_path / "run" / RUN_FILE).write_text(json.dumps(described))
    listener = Listener()
    report = run_job(replace(job, run=tmp_path / "run", out=tmp_path / "out", samples=2), listener)
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
    other = replace(job, run=tmp_path / "run", out=tmp_path / "out", samples=2)
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
