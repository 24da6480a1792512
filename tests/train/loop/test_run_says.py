"""What a run says and counts besides its losses: captions that are cut, previews that are no pictures."""

import json
from pathlib import Path

import pytest

from stages.errors import ConfigError
from tests.train.training_runs import run_alone, small_job
from train.loop.run import train
from train.loop.watch import SilentWatcher
from train.loop.worker import Worker
from train.runs.metrics import read_metrics


class Sentences(SilentWatcher):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def test_captions_that_are_cut_are_counted_and_said_once(color_data: Path, own_model: Path, tmp_path: Path) -> None:
    file = own_model / "tokenizer" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": 4}))
    diffusion = {"kind": "stable_diffusion", "model": str(own_model)}
    watch = Sentences()
    train(small_job(color_data, tmp_path / "run", diffusion=diffusion, loop={"max_steps": 2}), Worker(), watch)
    assert [line["captions_cut"] for line in read_metrics(tmp_path / "run")] == [4, 4]
    assert watch.said[1:] == [
        "4 captions were cut by step 1, which have more tokens than the base model reads; metrics.jsonl counts them"
    ]


def test_a_preview_that_is_no_picture_is_said_and_training_goes_on(color_data: Path, tmp_path: Path) -> None:
    looks = {"preview_every": 1, "preview_samples": 1, "preview_steps": 2, "guidance": 1e38}
    watch = Sentences()
    job = small_job(color_data, tmp_path / "run", loop={"max_steps": 1, "batch_size": 1}, validation=looks)
    assert train(job, Worker(), watch).steps == 1
    assert not list((tmp_path / "run" / "previews").glob("*"))
    (said,) = watch.said[1:]
    assert said.startswith("no preview of step 1: the picture of sample ")
    assert "from seed 0" in said


def test_more_preview_steps_than_time_steps_are_refused_before_the_first_step(color_data: Path, tmp_path: Path) -> None:
    job = small_job(color_data, tmp_path / "run", validation={"preview_every": 1, "preview_steps": 1000})
    expected = r"^validation\.preview_steps must be at most 999 for a base model of 1000 time steps, got 1000"
    with pytest.raises(ConfigError, match=expected):
        run_alone(job)
