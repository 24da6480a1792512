"""Killed at any instant and run again, training ends with the adapter of an uninterrupted run, byte for byte."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train.training_runs import adapter_bytes
from train.runs.metrics import read_metrics

CONFIG = """
name = "killed"
condition = "color"
[adapter]
kind = "light"
[diffusion]
kind = "tiny"
[optimizer]
lr = 1e-3
ema_decay = 0.9
[loop]
max_steps = 40
batch_size = 2
device = "cpu"
threads = 1
log_every = 1
checkpoint_every = 3
[validation]
preview_every = 0
"""
STEPS = 40
KILLS = 5


def start(data: Path, config: Path, run: Path) -> subprocess.Popen[bytes]:
    program = "from train.cli import main; main()"
    command = [sys.executable, "-c", program, "train", str(config), "--data", str(data), "--out", str(run)]
    said = run.with_suffix(".stderr")
    with said.open("w") as stderr:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)


def wait_for_step(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not any(line["step"] >= step for line in read_metrics(run)):
        time.sleep(0.002)


@pytest.mark.slow
def test_a_run_that_is_killed_at_five_random_steps_ends_with_the_same_bytes(color_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "killed.toml"
    config.write_text(CONFIG)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(color_data, config, whole).wait() == 0
    steps = sorted(random.Random(6).sample(range(2, STEPS), KILLS))
    for step in steps:
        process = start(color_data, config, killed)
        wait_for_step(killed, step, process)
        assert process.poll() is None, killed.with_suffix(".stderr").read_text()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(color_data, config, killed).wait() == 0
    assert adapter_bytes(killed) == adapter_bytes(whole)
    assert [line["step"] for line in read_metrics(killed)] == list(range(1, STEPS + 1))
    assert not list((killed / "checkpoints").glob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_every_finished_step_and_says_how_to_go_on(
    color_data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    config, run = tmp_path / "killed.toml", tmp_path / "run"
    config.write_text(CONFIG.replace("checkpoint_every = 3", "checkpoint_every = 1000"))
    process = start(color_data, config, run)
    wait_for_step(run, 3, process)
    process.send_signal(number)
    process.wait()
    said = run.with_suffix(".stderr").read_text()
    assert process.returncode == 130, said
    assert "interrupted; every finished step is kept. Go on with: condset train" in said
    kept = int(next((run / "checkpoints").iterdir()).name.removeprefix("step-"))
    assert kept == read_metrics(run)[-1]["step"] >= 3
