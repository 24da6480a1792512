"""The loop: against a plain one over diffusers' classes, interrupted and resumed, and in other divisions of a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import T2IAdapter
from PIL import Image
from torch.nn import functional

from stages.errors import CheckpointError
from stages.hardware.process import torch_threads
from tests.train.conftest import add_layer
from tests.train.tiny_runs import save_parts
from tests.train.training_runs import (
    STEPS,
    StopAfter,
    adapter_bytes,
    difference,
    losses,
    run_alone,
    small_config,
    small_job,
)
from train.base.config import TinyDiffusionConfig
from train.base.stable_diffusion import StableDiffusion
from train.base.tiny import tiny_parts
from train.data.batch import stack
from train.loop.preparation import prepare_run
from train.loop.run import train
from train.loop.worker import Worker
from train.runs.checkpoint import ADAPTER_FILE, EMA_FILE, checkpoints, last_checkpoint, read_parameters
from train.runs.metrics import read_metrics


def plain_losses(data: Path, steps: int, prediction: str) -> tuple[list[float], float]:
    """A training loop as diffusers' examples write it, on the batches and draws of the run under test.

    It shares no code with the trainer but what reads a batch: encoding, noise, target, adapter, loss and AdamW are
    diffusers' and torch's own. Returns the losses, and how far the adapter's weights have moved.
    """
    config = small_config(diffusion={"prediction": prediction}, loop={"max_steps": steps})
    prepared = prepare_run(config, (str(data),), None)
    parts = tiny_parts(TinyDiffusionConfig.model_validate({"prediction": prediction}))
    unet, vae, text_encoder, scheduler = parts.unet, parts.vae, parts.text_encoder, parts.scheduler
    for network in (unet, vae, text_encoder):
        network.requires_grad_(False)
    adapter = T2IAdapter(3, [32, 64, 96], 4, 8, "light_adapter")
    adapter.load_state_dict(prepared.adapter.state_dict())
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-2)
    found = []
    for step in range(steps):
        batch = stack([prepared.read(index) for index in range(2 * step, 2 * step + 2)], pin=False)
        assert batch.images_bchw is not None
        posterior = vae.encode(batch.images_bchw / 127.5 - 1).latent_dist
        latents = (posterior.mean + posterior.std * batch.posterior_noise_bchw) * vae.config.scaling_factor
        noisy = scheduler.add_noise(latents, batch.noise_bchw, batch.timesteps_b)
        tokens = parts.tokenizer(
            list(batch.captions), padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        )
        context = text_encoder(tokens.input_ids)[0]
        features = adapter(batch.condition_bchw / 255)
        predicted = unet(noisy, batch.timesteps_b, context, down_intrablock_additional_residuals=features).sample
        target = batch.noise_bchw
        if prediction == "v_prediction":
            target = scheduler.get_velocity(latents, batch.noise_bchw, batch.timesteps_b)
        loss = functional.mse_loss(predicted, target)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    before, after = prepared.adapter.state_dict(), adapter.state_dict()
    return found, max(float((after[name] - before[name]).abs().max()) for name in after)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_first_20_losses_are_those_of_a_plain_loop_over_diffusers_classes(
    color_data: Path, tmp_path: Path, prediction: str
) -> None:
    # The small VAE enlarges rounding a thousandfold, so its convolutions run in the reference's memory format.
    loop, optimizer = {"max_steps": 20, "batch_size": 2, "channels_last": False}, {"lr": 1e-4}
    run_alone(
        small_job(color_data, tmp_path / "run", diffusion={"prediction": prediction}, loop=loop, optimizer=optimizer)
    )
    reference, moved = plain_losses(color_data, 20, prediction)
    assert len(reference) == 20
    np.testing.assert_allclose(losses(tmp_path / "run"), reference, rtol=0, atol=1e-5)
    assert moved > 1e-3


@pytest.fixture(scope="module")
def whole(color_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that nothing interrupted, with every state that a checkpoint has."""
    run = tmp_path_factory.mktemp("whole") / "run"
    run_alone(small_job(color_data, run, optimizer=MANY_STATES))
    return run


MANY_STATES = {"lr": 1e-4, "ema_decay": 0.9, "schedule": "cosine", "warmup_steps": 2}


@pytest.mark.parametrize("steps", [1, 4])
def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bytes(
    color_data: Path, whole: Path, tmp_path: Path, steps: int
) -> None:
    job = small_job(color_data, tmp_path / "run", optimizer=MANY_STATES)
    with pytest.raises(KeyboardInterrupt):
        train(job, Worker(), StopAfter(steps))
    assert [each.name for each in checkpoints(job.run)] == [f"step-{steps:07d}"]
    summary = run_alone(job)
    assert (summary.steps, summary.steps_made) == (STEPS, STEPS - steps)
    assert adapter_bytes(job.run) == adapter_bytes(whole)
    ends = [last_checkpoint(run) for run in (job.run, whole)]
    assert len({(end / EMA_FILE).read_bytes() for end in ends if end}) == 1
    assert losses(job.run) == losses(whole)


def test_the_moving_average_is_another_network_than_the_last_step(whole: Path) -> None:
    end = last_checkpoint(whole)
    assert end is not None
    last, average = (read_parameters(end / name) for name in (ADAPTER_FILE, EMA_FILE))
    assert last.keys() == average.keys()
    assert any(not torch.equal(last[name], average[name]) for name in last)


def test_a_complete_run_is_recognised_and_more_steps_go_on(color_data: Path, tmp_path: Path) -> None:
    job = small_job(color_data, tmp_path / "run")
    run_alone(job)
    again = run_alone(job)
    assert (again.steps, again.steps_made, again.checkpoint.name) == (STEPS, 0, "step-0000006")
    longer = run_alone(small_job(color_data, job.run, loop={"max_steps": STEPS + 2}))
    assert (longer.steps, longer.steps_made) == (STEPS + 2, 2)


def test_accumulation_equals_the_big_batch(color_data: Path, tmp_path: Path) -> None:
    big, parts = tmp_path / "big", tmp_path / "parts"
    run_alone(small_job(color_data, big, optimizer={"lr": 1e-4}))
    divided = {"batch_size": 1, "accumulation": 4}
    run_alone(small_job(color_data, parts, optimizer={"lr": 1e-4}, loop=divided))
    np.testing.assert_allclose(losses(parts), losses(big), rtol=0, atol=1e-5)
    assert difference(big, parts) < 1e-5


def test_torch_has_its_threads_and_its_precision_again_after_a_run_and_after_an_interrupted_one(
    color_data: Path, tmp_path: Path
) -> None:
    job = small_job(color_data, tmp_path / "run", loop={"threads": 2})

    def now() -> tuple[int, str]:
        return torch.get_num_threads(), torch.get_float32_matmul_precision()

    with torch_threads(5):
        before = now()
        with pytest.raises(KeyboardInterrupt):
            train(job, Worker(), StopAfter(1))
        assert now() == before
        run_alone(job)
        assert now() == before


def test_a_run_resumes_with_its_batch_divided_in_another_way(color_data: Path, whole: Path, tmp_path: Path) -> None:
    job = small_job(color_data, tmp_path / "run", optimizer=MANY_STATES)
    with pytest.raises(KeyboardInterrupt):
        train(job, Worker(), StopAfter(3))
    run_alone(small_job(color_data, job.run, optimizer=MANY_STATES, loop={"batch_size": 2, "accumulation": 2}))
    assert difference(job.run, whole) < 1e-5


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"optimizer": {"lr": 2e-3}}, r"optimizer\.lr 0\.001 there, 0\.002 here"),
        ({"loop": {"batch_size": 2}}, "samples a step 4 there, 2 here"),
        ({"diffusion": {"seed": 5}}, "base '.*' there, '.*' here"),
    ],
)
def test_a_directory_of_another_run_is_refused_with_what_differs(
    color_data: Path, tmp_path: Path, tables: dict[str, Any], named: str
) -> None:
    run_alone(small_job(color_data, tmp_path / "run", loop={"max_steps": 1}))
    with pytest.raises(CheckpointError, match=rf"run must hold this run, got another one \(.*{named}.*\); give"):
        run_alone(small_job(color_data, tmp_path / "run", **tables))


def test_metrics_name_what_a_user_watches(color_data: Path, tmp_path: Path) -> None:
    run_alone(small_job(color_data, tmp_path / "run", optimizer={"warmup_steps": 4}))
    lines = read_metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert set(lines[0]) == {
        "step",
        "loss",
        "images_per_second",
        "data_wait_share",
        "learning_rate",
        "grad_norm",
        "epoch",
    }
    assert [line["learning_rate"] for line in lines] == pytest.approx([0, 2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])
    assert [line["epoch"] for line in lines] == pytest.approx([4 * step / 24 for step in range(1, STEPS + 1)])
    assert all(line["grad_norm"] > 0 and 0 <= line["data_wait_share"] <= 1 for line in lines)


def test_previews_and_validation_come_at_their_intervals(color_data: Path, tmp_path: Path) -> None:
    looks = {"every": 4, "samples": 8, "preview_every": 4, "preview_samples": 2, "preview_steps": 2}
    run_alone(small_job(color_data, tmp_path / "run", held_out=color_data, validation=looks))
    measured = [line["step"] for line in read_metrics(tmp_path / "run") if "validation/loss" in line]
    assert measured == [4, STEPS]
    pictures = sorted((tmp_path / "run" / "previews").iterdir())
    assert [path.name for path in pictures] == ["step-0000004.png", "step-0000006.png"]
    with Image.open(pictures[0]) as first, Image.open(pictures[1]) as second:
        assert first.size == second.size
        assert first.width >= 3 * 64
        assert first.height >= 2 * 64


def test_cached_latents_give_the_losses_of_the_images_to_half_precision(
    own_data: Path, tiny_base: StableDiffusion, tmp_path: Path
) -> None:
    model = save_parts(tiny_base, tmp_path / "model")
    diffusion = {"kind": "stable_diffusion", "model": str(model)}
    add_layer(own_data, {"kind": "latents", "model": str(model), "dtype": "float32"})
    run_alone(small_job(own_data, tmp_path / "cached", diffusion=diffusion))
    run_alone(small_job(own_data, tmp_path / "live", diffusion=diffusion, loop={"latents": "never"}))
    cached, live = losses(tmp_path / "cached"), losses(tmp_path / "live")
    np.testing.assert_allclose(cached, live, rtol=HALF_PRECISION)
    assert cached != live


HALF_PRECISION = 2.0**-10
"""Twice the largest relative error of a float16: of the mean and of the log variance."""


@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_half_precision_keeps_the_adapter_in_float32_and_learns_much_the_same(
    color_data: Path, tmp_path: Path, dtype: str
) -> None:
    run_alone(small_job(color_data, tmp_path / "full", loop={"max_steps": 3}))
    run_alone(small_job(color_data, tmp_path / "half", loop={"max_steps": 3, "dtype": dtype}))
    np.testing.assert_allclose(losses(tmp_path / "half"), losses(tmp_path / "full"), rtol=0.02)
    end = last_checkpoint(tmp_path / "half")
    assert end is not None
    assert {tensor.dtype for tensor in read_parameters(end / ADAPTER_FILE).values()} == {torch.float32}


def test_only_the_last_checkpoints_are_kept(color_data: Path, tmp_path: Path) -> None:
    run_alone(small_job(color_data, tmp_path / "run", loop={"checkpoint_every": 1, "checkpoints_kept": 2}))
    assert [each.name for each in checkpoints(tmp_path / "run")] == ["step-0000005", "step-0000006"]
