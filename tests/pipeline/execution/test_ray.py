"""Reaching a cluster: what is not there is an error at once, and so is what is lost for good."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.storage import Directory
from pipeline.execution.ray import RayExecutor, data_settings
from pipeline.execution.ray_cluster import VARIABLES_OF_LOCAL, connected, driver_directory, lost_workers_explained
from pipeline.run import prepare
from stages.errors import ConfigError, WorkerError
from tests.offline import offline

ROOT = Path(__file__).parents[3]
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
    refused = (
        rf"--ray-address must lead to a running Ray cluster, got '{address}' \(\[Errno 111\] Connection refused\); "
        "start one with `ray start --head`, or use --executor inline"
    )
    with pytest.raises(ConfigError, match=refused), connected(address):
        pytest.fail("nobody listens there")


def test_nothing_is_listed_for_a_cluster_that_is_not_there(closed_port: int, tmp_path: Path) -> None:
    said: list[str] = []
    config = check_config(TABLES, "test", PrepareConfig)
    environment = offline(RayExecutor(f"127.0.0.1:{closed_port}"), say=said.append)
    with pytest.raises(ConfigError, match="--ray-address must lead to"):
        prepare(config, Directory(str(tmp_path / "out")), environment)
    assert said == []
    assert not (tmp_path / "out/index.json").exists()


def test_nothing_is_listed_for_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = check_config({**TABLES, "execution": {"device": "cuda"}}, "test", PrepareConfig)
    with pytest.raises(ConfigError, match="device must be one that this machine has, got 'cuda'"):
        prepare(config, Directory(str(tmp_path / "out")), offline())
    assert not (tmp_path / "out/index.json").exists()


FAILING_START = """
import psutil
from pipeline.execution.ray_cluster import connected
from stages.errors import WorkerError
try:
    with connected(None):
        print("it has started")
except WorkerError as error:
    print(error)
print(psutil.Process().children(recursive=True))
"""


@pytest.mark.ray
@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_path_too_long_for_sockets_is_said_of_the_variable_that_gave_it(variable: str, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 110)
    deep.mkdir()
    program = "from pipeline.execution.ray_cluster import connected\nwith connected(None): pass"
    started = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {variable: str(deep)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert started.stderr.splitlines()[-1] == (
        f"stages.errors.ConfigError: {variable} must be a directory with a short path, below which Ray makes sockets, "
        f"got {deep}; set {variable}=/tmp, or use --executor inline"
    )


@pytest.mark.ray
def test_a_start_that_fails_is_one_line_and_leaves_no_process_behind() -> None:
    """Ray's server has no time at all to say at which port it listens."""
    environment = os.environ | {"RAY_gcs_server_port_wait_time_s": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FAILING_START]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    said, left = result.stdout.splitlines()
    assert re.match(
        r"a local Ray instance must start, got RuntimeError: Timed out .*; run again when the machine", said
    )
    assert (left, result.stderr) == ("[]", "")


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_every_part_of_a_local_instance_has_two_minutes_to_start() -> None:
    (raylet,) = (each for each in psutil.Process().children() if each.name() == "raylet")
    given = {name: value for name, value in raylet.environ().items() if name in VARIABLES_OF_LOCAL}
    assert given == VARIABLES_OF_LOCAL
    limits = [value for name, value in given.items() if "wait" in name or "timeout" in name]
    assert {value.removesuffix("000") for value in limits} == {"120"}
    assert len(limits) == 6


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_worker_that_is_lost_for_good_is_one_line() -> None:
    import ray

    def die() -> None:
        os._exit(1)

    class Mortal:
        def die(self) -> None:
            os._exit(1)

    lost = (
        r"^Ray has lost a worker for good \(The {} died unexpectedly .*\); run again to go on with what is left, and if"
    )
    with pytest.raises(WorkerError, match=lost.format("worker")), lost_workers_explained():
        ray.get(ray.remote(max_retries=0)(die).remote())
    actor: Any = ray.remote(Mortal).remote()
    with pytest.raises(WorkerError, match=lost.format("actor")), lost_workers_explained():
        ray.get(actor.die.remote())


@pytest.mark.slow
@pytest.mark.ray
def test_a_start_prints_nothing_and_leaves_sigterm_and_the_environment_as_they_were(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Ray's own handler would end the process with the steps of a training run unsaved."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with connected(None):  # the first start in a process leaves variables of Ray's own, for Ray
        pass
    former, environment = signal.signal(signal.SIGTERM, handler), dict(os.environ)
    try:
        with connected(None):
            assert signal.getsignal(signal.SIGTERM) is handler
            assert dict(os.environ) == environment
    finally:
        signal.signal(signal.SIGTERM, former)
    assert capfd.readouterr() == ("", "")


def test_the_environment_stays_as_it_was_where_there_is_no_cluster(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "info")
    before = dict(os.environ)
    with pytest.raises(ConfigError, match="--ray-address"), connected(f"127.0.0.1:{closed_port}"):
        pytest.fail("nobody listens there")
    assert dict(os.environ) == before


def test_the_settings_of_ray_data_are_as_before_after_a_run_and_after_an_error_in_it() -> None:
    from ray.data import DataContext

    context, logger = DataContext.get_current(), logging.getLogger("ray.data")

    def now() -> tuple[object, ...]:
        return context.enable_progress_bars, context.target_max_block_size, logger.level

    before = now()
    with data_settings():
        assert now() == (False, None, logging.ERROR)
    with pytest.raises(ZeroDivisionError), data_settings():
        1 / 0  # noqa: B018
    assert now() == before


def test_a_worker_works_in_the_drivers_directory_for_the_time_of_a_block(tmp_path: Path) -> None:
    before = Path.cwd()
    with driver_directory(str(tmp_path)):
        assert Path.cwd() == tmp_path
    with pytest.raises(ZeroDivisionError), driver_directory(str(tmp_path)):
        1 / 0  # noqa: B018
    assert Path.cwd() == before
    with driver_directory(str(tmp_path / "on another node")):
        assert Path.cwd() == before
