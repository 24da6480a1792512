"""What an evaluation says of captions and pictures: cut ones are counted, and one of no numbers is named."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages.errors import NonFinitePicture
from tests.train.fidelity.evaluations import INLINE, Listener, large_scenes, run_job
from tests.train.tiny_runs import write_tiny_run
from train.fidelity.evaluate import EvaluationJob
from train.fidelity.report import EVAL_FILE
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion


@pytest.fixture(scope="module")
def folder(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    write_tiny_run(folder / "run", tiny_base)
    large_scenes(folder / "data")
    return folder


def job_of(folder: Path, out: Path, guidance: float, base: str | None = None) -> EvaluationJob:
    return EvaluationJob(
        runs=(folder / "run",),
        data=str(folder / "data"),
        out=out,
        samples=2,
        sampler=SamplerSettings(1, guidance, seed=5),
        base=base,
        dtype="float32",
        execution=INLINE,
    )


def test_captions_that_are_cut_are_counted_and_said(folder: Path, own_model: Path, tmp_path: Path) -> None:
    file = own_model / "tokenizer" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": 4}))
    listener = Listener()
    report = run_job(job_of(folder, tmp_path / "out", 1, str(own_model)), listener).report
    assert report.captions_cut == json.loads((tmp_path / "out" / EVAL_FILE).read_text())["captions_cut"] == 2
    assert "2 of 2 captions are cut: they have more tokens than the base reads" in listener.said


def test_a_picture_that_is_no_picture_ends_it_and_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        NonFinitePicture,
        match=r"^the picture of 000000000, with, seed 5, '[^']+', must be finite, got inf or nan in",
    ):
        run_job(job_of(folder, tmp_path / "out", 1e38))
    assert not json.loads((tmp_path / "out" / EVAL_FILE).read_text())["complete"]
