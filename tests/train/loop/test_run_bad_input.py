"""What stops a run in the middle or before it starts: one clear line each, and nothing that was done is lost."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.optim.optimizer import register_optimizer_step_post_hook

from pipeline.dataset.record import read_record
from pipeline.dataset.storage import Directory
from stages.errors import CheckpointError, ConfigError, NonFiniteLoss, ShardCorrupt, WorkerError
from tests.train.conftest import add_layer
from tests.train.training_runs import STEPS, adapter_bytes, run_alone, small_job
from train.runs.checkpoint import checkpoints
from train.runs.metrics import read_metrics


def damage(data: Path, name: str) -> bytes:
    """Flip a byte in every sample of a shard; returns the sound content."""
    tar = data / "shards" / f"{name}.tar"
    sound = tar.read_bytes()
    record = read_record(Directory(str(data)), name)
    damaged = bytearray(sound)
    for sample in record.samples:
        damaged[sample.offset + sample.bytes // 2] ^= 1
    tar.write_bytes(bytes(damaged))
    return sound


def test_a_corrupt_shard_in_mid_epoch_stops_with_its_name_and_the_steps_before_it_are_kept(
    own_data: Path, color_data: Path, tmp_path: Path
) -> None:
    job = small_job(own_data, tmp_path / "run", loader={"shuffle_window": 1}, loop={"batch_size": 3, "max_steps": 8})
    sound = damage(own_data, "0000002")
    with pytest.raises(
        ShardCorrupt, match=r"shards/0000002\.tar sample 00000001\d must have crc32 \w+, got \w+; prepare"
    ):
        run_alone(job)
    (kept,) = checkpoints(job.run)
    done = int(kept.name.removeprefix("step-"))
    assert 0 < done < 8
    assert [line["step"] for line in read_metrics(job.run)] == list(range(1, done + 1))

    (own_data / "shards" / "0000002.tar").write_bytes(sound)
    run_alone(job)
    whole = small_job(
        color_data, tmp_path / "whole", loader={"shuffle_window": 1}, loop={"batch_size": 3, "max_steps": 8}
    )
    run_alone(whole)
    assert adapter_bytes(job.run) == adapter_bytes(whole.run)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tests.train.training_runs import run_alone, small_job
from stages.errors import CheckpointError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
data, run = map(Path, sys.argv[1:])
run_alone(small_job(data, run, loop={"max_steps": 2}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    run_alone(small_job(data, run, loop={"max_steps": 4}))
except CheckpointError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_at_checkpoint_time_is_one_line_and_the_former_checkpoint_stays(
    color_data: Path, tmp_path: Path
) -> None:
    """A limit on the size of files makes writing fail as a full disk does: by an error of the operating system."""
    command = [sys.executable, "-c", FULL_DISK, str(color_data), str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert result.returncode == 0, result.stderr
    (said,) = result.stdout.splitlines()
    assert "step-0000004 must be written, got " in said
    assert said.endswith("; make room and run again, training goes on from step-0000002")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-0000002"]
    summary = run_alone(small_job(color_data, tmp_path / "run", loop={"max_steps": 4}))
    assert (summary.steps_made, summary.checkpoint.name) == (2, "step-0000004")


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_keys(color_data: Path, tmp_path: Path) -> None:
    job = small_job(color_data, tmp_path / "run", optimizer={"lr": 1e30})
    with pytest.raises(
        NonFiniteLoss, match=r"the loss of step 2 must be finite, got none for 0000000\d\d(, 0000000\d\d)*; "
    ):
        run_alone(job)
    assert [each.name for each in checkpoints(job.run)] == ["step-0000001"]


def test_an_unfinished_or_missing_data_set_is_refused_before_the_first_step(own_data: Path, tmp_path: Path) -> None:
    (own_data / "dataset.json").unlink()
    with pytest.raises(Exception, match=r"dataset\.json .*") as caught:
        run_alone(small_job(own_data, tmp_path / "run"))
    assert type(caught.value).__name__ == "ManifestError"
    assert not (tmp_path / "run").exists()


def test_a_condition_that_the_data_do_not_have_is_refused(color_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must have the condition depth, got color, keypose, segmentation; `condset"):
        run_alone(small_job(color_data, tmp_path / "run", condition="depth"))


def test_a_validation_set_of_another_size_is_refused(color_data: Path, wide_data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--validation .* must have images of 64x64 as .*, got 128x64; prepare it with"
    ):
        run_alone(small_job(color_data, tmp_path / "run", held_out=wide_data))


def test_a_validation_set_whose_condition_was_made_otherwise_is_refused(color_data: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    shutil.copytree(color_data, others)
    manifest = json.loads((others / "dataset.json").read_text())
    table = next(table for table in manifest["config"]["annotators"] if table["kind"] == "color")
    table["square_pixels"] = 32
    (others / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"--validation .*/others must have its color made as in .*, got square_pix"):
        run_alone(small_job(color_data, tmp_path / "run", held_out=others))


def test_a_validation_set_with_latents_of_another_vae_is_refused(
    own_data: Path, latents_data: Path, model: Path, tmp_path: Path
) -> None:
    add_layer(own_data, {"kind": "latents", "model": str(model)})
    diffusion = {"kind": "stable_diffusion", "model": str(model)}
    with pytest.raises(
        ConfigError,
        match=rf"--validation {latents_data} must have latents of the base model's VAE \w{{14}}, got those of",
    ):
        run_alone(small_job(own_data, tmp_path / "run", held_out=latents_data, diffusion=diffusion))


@pytest.mark.parametrize("in_a_preview", [False, True])
def test_a_gpu_that_is_too_small_is_one_line_and_the_steps_are_kept(
    color_data: Path, tmp_path: Path, in_a_preview: bool
) -> None:
    """A preview needs more than a step: a run that fits for 999 steps may not at the thousandth."""
    calls = 0

    def full(module: torch.nn.Module, arguments: object) -> None:
        nonlocal calls
        if isinstance(module, UNet2DConditionModel) and torch.is_grad_enabled() is not in_a_preview:
            calls += 1
            if in_a_preview or calls > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    job = small_job(color_data, tmp_path / "run", loop={"max_steps": 4}, validation={"preview_every": 2})
    hook = torch.nn.modules.module.register_module_forward_pre_hook(full)
    try:
        with pytest.raises(
            WorkerError, match="training must fit in the GPU's memory, got none left after step 2; lower loop"
        ):
            run_alone(job)
    finally:
        hook.remove()
    assert [each.name for each in checkpoints(job.run)] == ["step-0000002"]


def test_a_second_interrupt_within_the_optimizers_step_keeps_no_half_of_it(color_data: Path, tmp_path: Path) -> None:
    job = small_job(color_data, tmp_path / "run", loop={"max_steps": 4, "checkpoint_every": 2})
    steps = itertools.count(1)

    def interrupt(*_: object) -> None:
        if next(steps) == 4:
            raise KeyboardInterrupt

    hook = register_optimizer_step_post_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_alone(job)
    finally:
        hook.remove()
    assert [each.name for each in checkpoints(job.run)] == ["step-0000002"]


def test_an_adapter_of_one_channel_for_a_coloured_condition_is_refused(color_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.in_channels must be 3 for color, which is coloured, got 1; leave"):
        run_alone(small_job(color_data, tmp_path / "run", adapter={"in_channels": 1}))


def test_latents_of_another_vae_are_refused(latents_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must have latents of the base model's VAE made in memory, got those of"):
        run_alone(small_job(latents_data, tmp_path / "run"))


def test_a_flip_with_cached_latents_is_refused(latents_data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"conditions\.flip must be 0 with cached latents, got 0\.5 and the latents of"
    ):
        run_alone(small_job(latents_data, tmp_path / "run", conditions={"flip": 0.5}))


def test_an_adapter_for_another_base_is_refused(color_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.kind must give maps at strides \[8, 16, 32, 64\].*got 'full_xl'"):
        run_alone(small_job(color_data, tmp_path / "run", adapter={"kind": "full_xl"}))


def test_a_directory_with_something_else_is_not_taken_for_a_run(color_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(CheckpointError, match=r"must be a new directory or a run's, got one with thesis\.tex; give"):
        run_alone(small_job(color_data, tmp_path / "run"))


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(color_data: Path, tmp_path: Path) -> None:
    job = small_job(color_data, tmp_path / "run", loop={"checkpoint_every": 2, "max_steps": 4})
    run_alone(job)
    longer = small_job(color_data, tmp_path / "run", loop={"checkpoint_every": 2})
    last = checkpoints(job.run)[-1]
    (last / "position.json").write_text(json.dumps({"step": 4}))
    with pytest.raises(
        CheckpointError, match=r"step-0000004 must be readable, got KeyError.*; remove it, and training"
    ):
        run_alone(longer)
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    assert run_alone(longer).steps_made == STEPS - 2
