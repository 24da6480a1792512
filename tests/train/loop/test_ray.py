"""Several workers on Ray: the same run as one worker's, and the same errors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.execution.resources import Resources
from stages.errors import ConfigError, ShardCorrupt
from tests.train.loop.test_run_bad_input import damage
from tests.train.training_runs import STEPS, StopAfter, difference, losses, run_alone, small_job
from train.loop.ray import Share, fit_watched, share_of, train_on_ray
from train.loop.run import train
from train.loop.watch import SilentWatcher, StepReport
from train.loop.worker import Worker
from train.runs.checkpoint import checkpoints


def test_a_cluster_is_divided_evenly() -> None:
    assert share_of(Resources(8, 0, 8), 2, "auto") == Share("cpu", 4, 0, 4)
    assert share_of(Resources(8, 2, 4), 2, "auto") == Share("cuda", 4, 1, 4)
    assert share_of(Resources(16, 2, 4), 2, "cpu") == Share("cpu", 4, 0, 4)
    assert share_of(Resources(1, 2, 1), 2, "cuda") == Share("cuda", 0.5, 1, 1)


def test_every_worker_fits_on_a_node_beside_its_neighbours() -> None:
    """A third of sixteen CPUs is five, but no node of eight holds two such workers: Ray would wait for ever."""
    assert share_of(Resources(16, 0, 8), 3, "cpu") == Share("cpu", 4, 0, 4)
    assert share_of(Resources(12, 4, 4), 4, "cuda") == Share("cuda", 2, 1, 2)  # the GPUs are on a node of eight


@pytest.mark.parametrize(
    ("workers", "device", "gpus", "message"),
    [
        (2, "cuda", 1, r"--workers 2 must find as many GPUs in the cluster, got 1; use fewer"),
        (2, "auto", 1, r"--workers 2 must find as many GPUs in the cluster, got 1; use fewer"),
        (9, "auto", 0, r"--workers 9 must find as many CPUs in the cluster, got 8; use fewer"),
    ],
)
def test_what_the_cluster_does_not_have_is_an_error_at_once(workers: int, device: str, gpus: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        share_of(Resources(8, gpus, 8), workers, device)


class Listening(SilentWatcher):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.reports: list[StepReport] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def stepped(self, report: StepReport) -> None:
        self.reports.append(report)


class LostWorkers(Exception):
    """As Ray's TrainingFailedError: it holds what each worker met."""

    def __init__(self, *worker_failures: Exception) -> None:
        self.worker_failures = dict(enumerate(worker_failures))


@dataclass
class Trained:
    """What Ray's trainer returns."""

    return_value: bytes


class Ending:
    """A trainer that ends at once, or fails as its storage, a plug-in or the cluster does."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def fit(self) -> Trained:
        if self._error is not None:
            raise self._error
        return Trained(b"summary")


def no_calls() -> list[tuple[str, tuple[Any, ...]]]:
    raise AssertionError("the board is gone with the cluster")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (NotADirectoryError("out/run/.ray"), NotADirectoryError),
        (ValueError("of the trainer"), ValueError),
        (SystemExit(3), SystemExit),
        (LostWorkers(TypeError("of a worker")), TypeError),
        (LostWorkers(), LostWorkers),
    ],
)
def test_what_ends_the_trainer_is_what_is_raised(error: BaseException, raised: type[BaseException]) -> None:
    with pytest.raises(raised):
        fit_watched(Ending(error), no_calls, lambda: None, SilentWatcher())


def test_what_the_workers_said_last_arrives() -> None:
    calls: list[tuple[str, tuple[Any, ...]]] = [("say", ("the last step",))]
    listening = Listening()
    assert fit_watched(Ending(), lambda: [calls.pop()] if calls else [], lambda: None, listening) == b"summary"
    assert listening.said == ["the last step"]


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_equal_one_with_accumulation_and_progress_arrives(color_data: Path, tmp_path: Path) -> None:
    one = small_job(color_data, tmp_path / "one", loop={"batch_size": 2, "accumulation": 2})
    run_alone(one)
    two = small_job(color_data, tmp_path / "two", loop={"batch_size": 2})
    listening = Listening()
    summary = train_on_ray(two, 2, None, listening)
    assert (summary.steps, summary.steps_made) == (STEPS, STEPS)
    np.testing.assert_allclose(losses(two.run), losses(one.run), rtol=0, atol=1e-5)
    assert difference(one.run, two.run) < 1e-5
    assert listening.said[0].startswith("light adapter for color, ")
    assert listening.reports
    assert not (two.run / ".ray").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_of_one_worker_is_stopped_goes_on_with_two_and_ends_the_same(color_data: Path, tmp_path: Path) -> None:
    whole = small_job(color_data, tmp_path / "whole")
    run_alone(whole)
    moved = small_job(color_data, tmp_path / "moved")
    with pytest.raises(KeyboardInterrupt):
        train(moved, Worker(), StopAfter(2))
    train_on_ray(small_job(color_data, tmp_path / "moved", loop={"batch_size": 2}), 2, None, SilentWatcher())
    assert difference(whole.run, moved.run) < 1e-5


@pytest.mark.slow
@pytest.mark.ray
def test_a_corrupt_shard_on_one_worker_stops_both_with_its_name_and_the_steps_are_kept(
    own_data: Path, tmp_path: Path
) -> None:
    damage(own_data, "0000002")
    loop = {"batch_size": 1, "max_steps": 20}
    job = small_job(own_data, tmp_path / "run", loader={"shuffle_window": 1}, loop=loop)
    with pytest.raises(ShardCorrupt, match=r"0000002\.tar sample 00000001\d must have crc32"):
        train_on_ray(job, 2, None, SilentWatcher())
    (kept,) = checkpoints(job.run)
    assert 0 < int(kept.name.removeprefix("step-")) < 12


@pytest.mark.slow
@pytest.mark.ray
def test_a_request_to_stop_reaches_the_workers_and_the_steps_are_kept(color_data: Path, tmp_path: Path) -> None:
    job = small_job(color_data, tmp_path / "run", loop={"batch_size": 2, "max_steps": 5000})
    with pytest.raises(KeyboardInterrupt):
        train_on_ray(job, 2, None, StopAfter(1))
    (kept,) = checkpoints(job.run)
    assert int(kept.name.removeprefix("step-")) >= 1
