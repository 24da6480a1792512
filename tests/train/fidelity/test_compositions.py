"""Several adapters at once: what is drawn with which, and that each condition is measured on all of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import verify
from stages.errors import ConfigError
from stages.hardware.process import torch_threads
from stages.image.decode import decode_stored
from stages.records import Condition
from stages.weights.store import WeightsStore
from tests.train.fidelity.evaluations import INLINE, Listener, large_scenes, picture, plant, run_job
from tests.train.tiny_runs import write_tiny_run
from train.data.training_set import TrainingSet
from train.fidelity.evaluate import Evaluated, EvaluationJob
from train.fidelity.report import report_table
from train.runs.directory import RUN_FILE
from train.sampling.controls import Control
from train.sampling.pictures import SampleJob, sample
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion

VARIANTS = ("real", "with", "shuffled", "without", "only-color", "only-canny")
WEIGHTS = (0.75, 1.5)


@pytest.fixture(scope="module")
def runs(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Adapters with random weights for color and for canny, which takes one channel."""
    folder = tmp_path_factory.mktemp("runs")
    write_tiny_run(folder / "color", tiny_base)
    write_tiny_run(folder / "canny", tiny_base, "canny", in_channels=1)
    return folder / "color", folder / "canny"


@pytest.fixture(scope="module")
def job(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> EvaluationJob:
    folder = tmp_path_factory.mktemp("composition")
    return EvaluationJob(
        runs=runs,
        data=str(large_scenes(folder / "data")),
        out=folder / "out",
        weights=WEIGHTS,
        samples=3,
        sampler=SamplerSettings(1),
        dtype="float32",
        execution=INLINE,
    )


@pytest.fixture(scope="module")
def done(job: EvaluationJob) -> Evaluated:
    return run_job(job)


def test_every_condition_is_extracted_from_and_measured_on_every_variant(done: Evaluated, job: EvaluationJob) -> None:
    assert [(each.condition, each.name, each.samples) for each in done.report.figures] == [
        ("color", "CIEDE2000", 3),
        ("canny", "edge F1 within 2 px", 3),
    ]
    for figure in done.report.figures:
        assert tuple(figure.means) == VARIANTS
        assert tuple(figure.differences) == ("without", "shuffled", "only-color", "only-canny")
    for variant in VARIANTS:
        directory = Directory(str(job.out / variant))
        assert verify(directory, True, WeightsStore(allow_network=False), "cpu", lambda rows: None).problems == ()
        assert [entry.name for entry in TrainingSet(directory, Condition.CANNY, False).manifest.conditions] == [
            "color",
            "canny",
        ]
    assert tuple(done.report.inputs[f"weight.{condition}"] for condition in ("color", "canny")) == WEIGHTS
    assert done.report.runs == {"color": str(job.runs[0]), "canny": str(job.runs[1])}


@pytest.mark.parametrize(
    ("variant", "controls", "shown"),
    [("with", (0, 1), 1), ("shuffled", (0, 1), 0), ("only-color", (0,), 1), ("only-canny", (1,), 1)],
)
def test_a_picture_is_the_one_that_condset_sample_draws_with_the_same_adapters(
    variant: str, controls: tuple[int, ...], shown: int, done: Evaluated, job: EvaluationJob, tmp_path: Path
) -> None:
    data = TrainingSet(Directory(job.data), Condition.COLOR, use_latents=False)
    shard = data.shards(0)[0].name
    members = data.read(shard, shown)[1]
    for number, condition in enumerate(("color", "canny")):
        (tmp_path / f"{number}.png").write_bytes(members[f"{condition}.png"])
    prompt = data.read(shard, 1)[1]["txt"].decode()
    chosen = tuple(Control(job.runs[n], tmp_path / f"{n}.png", WEIGHTS[n]) for n in controls)
    alone = SampleJob(
        prompt, tmp_path / "out", chosen, sampler=SamplerSettings(1, seed=1), device="cpu", dtype="float32"
    )
    with torch_threads(1):
        (drawn,) = sample(alone, print).pictures
    found_hwc = decode_stored(picture(job.out, "0000000", 1)[f"{variant}.png"])
    with Image.open(drawn) as expected:
        np.testing.assert_array_equal(found_hwc, np.asarray(expected))


def test_a_composition_that_follows_both_is_told_from_each_alone(job: EvaluationJob, tmp_path: Path) -> None:
    """Planted: together the adapters give the real pictures, alone and shuffled those of the sample before."""
    planted = replace(job, out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run_job(planted, Listener(stop_at="listing webdataset"))
    plant(planted.out, {"with": 0, "shuffled": 1, "only-color": 1, "only-canny": 1})
    color, canny = run_job(planted).report.figures
    for control in ("only-color", "only-canny", "shuffled"):
        assert color.differences[control].high < 0 < canny.differences[control].low


def test_the_table_has_a_block_for_each_condition_and_the_sheet_every_picture(
    done: Evaluated, job: EvaluationJob
) -> None:
    blocks = [block.splitlines() for block in report_table(done.report).split("\n\n")]
    titles = ["real", "with adapters", "shuffled", "without", "color alone", "canny alone"]
    assert [block[0].split()[0] for block in blocks] == ["color", "with", "canny", "with", "means"]
    assert [cell.strip() for cell in blocks[0][0].split("  ") if cell] == ["color", *titles, "samples"]
    assert [cell.strip() for cell in blocks[1][0].split("  ") if cell] == [
        "with adapters minus",
        "without",
        "shuffled",
        "color alone",
        "canny alone",
    ]
    with Image.open(job.out / "sheet.png") as sheet:
        assert sheet.width > 8 * 192
        assert sheet.height > 3 * 192


def test_runs_of_one_condition_are_refused(job: EvaluationJob, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        run_job(replace(job, runs=(job.runs[0], job.runs[0]), out=tmp_path / "out"))
    assert str(refused.value) == (
        f"each RUN must be of a condition of its own, got color in {job.runs[0]} and in {job.runs[0]}; evaluate one "
        "of them"
    )


def test_a_weight_must_be_given_for_each_run_or_for_none(job: EvaluationJob, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        run_job(replace(job, weights=(1.0,), out=tmp_path / "out"))
    assert str(refused.value) == (
        "--weight must be given as often as RUN, 2 times, got 1; they are paired in the order in which they are typed"
    )
    assert not (tmp_path / "out").exists()


def test_other_weights_in_the_same_directory_are_refused(done: Evaluated, job: EvaluationJob) -> None:
    with pytest.raises(ConfigError, match=r"got another one \(weight.canny 1.5 there, 1.0 here\)"):
        run_job(replace(job, weights=(0.75, 1.0)))


def test_a_run_on_another_base_is_refused(job: EvaluationJob, tiny_base: "StableDiffusion", tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_tiny_run(other, tiny_base, "segmentation")
    described = json.loads((other / RUN_FILE).read_text())
    (other / RUN_FILE).write_text(json.dumps(described | {"base": "f" * 64}))
    with pytest.raises(ConfigError) as refused:
        run_job(replace(job, runs=(job.runs[0], other), out=tmp_path / "out"))
    assert str(refused.value) == (
        f"{other} must be evaluated with the base that it was trained on, ffffffffffff, got {tiny_base.identity[:12]}; "
        "give --base to choose it or another"
    )
