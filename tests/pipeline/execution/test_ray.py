"""Reaching a cluster: what is not there is an error at once, and so is what is lost for good."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.ray import RayExecutor, connect, lost_workers_explained
from pipeline.run import prepare
from stages.errors import ConfigError, WorkerError
from stages.weights.store import WeightsStore

TABLES = {
    "name": "elsewhere",
    "source": {"kind": "synthetic", "count": 4, "width_pixels": 64, "height_pixels": 64},
    "image": {"size_pixels": 64},
    "annotators": [{"kind": "color"}],
}


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_an_error_at_once(closed_port: int, scheme: str) -> None:
    address = f"{scheme}127.0.0.1:{closed_port}"
    with pytest.raises(
        ConfigError,
        match=rf"--ray-address must lead to a running Ray cluster, got '{address}' \(\[Errno 111\] Connection refused\)"
        r"; start one with `ray start --head`, or use --executor inline",
    ):
        connect(address)


def test_nothing_is_listed_for_a_cluster_that_is_not_there(closed_port: int, tmp_path: Path) -> None:
    said: list[str] = []
    config = check_config(TABLES, "test", PrepareConfig)
    with pytest.raises(ConfigError, match="--ray-address must lead to"):
        prepare(
            config,
            Directory(str(tmp_path / "out")),
            RayExecutor(f"127.0.0.1:{closed_port}"),
            WeightsStore(None),
            said.append,
        )
    assert said == []
    assert not (tmp_path / "out/index.json").exists()


def test_nothing_is_listed_for_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = check_config({**TABLES, "execution": {"device": "cuda"}}, "test", PrepareConfig)
    with pytest.raises(ConfigError, match="device must be one that this machine has, got 'cuda'"):
        prepare(config, Directory(str(tmp_path / "out")), InlineExecutor(), WeightsStore(None), lambda sentence: None)
    assert not (tmp_path / "out/index.json").exists()


@pytest.fixture
def local_ray() -> Iterator[None]:
    connect(None)
    yield
    RayExecutor().close()


@pytest.mark.ray
def test_a_worker_that_is_lost_for_good_is_one_line(local_ray: None) -> None:
    import ray

    def die() -> None:
        os._exit(1)

    class Mortal:
        def die(self) -> None:
            os._exit(1)

    lost = r"^a Ray worker must stay alive, got {}: The {} died unexpectedly .*; run again$"
    with pytest.raises(WorkerError, match=lost.format("WorkerCrashedError", "worker")), lost_workers_explained():
        ray.get(ray.remote(max_retries=0)(die).remote())
    actor: Any = ray.remote(Mortal).remote()
    with pytest.raises(WorkerError, match=lost.format("ActorDiedError", "actor")), lost_workers_explained():
        ray.get(actor.die.remote())


@pytest.mark.slow
@pytest.mark.ray
def test_what_sigterm_does_here_stays_as_it_was() -> None:
    """Ray's own handler would end the process with the steps of a training run unsaved."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, handler)
    try:
        connect(None)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, former)
        RayExecutor().close()
