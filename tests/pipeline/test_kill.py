"""Invariant 3: killed at any instant and run again, the data set is the one of an uninterrupted run, byte for byte."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.dataset.ledger import records
from pipeline.dataset.storage import Directory
from tests.pipeline.conftest import tree

IMAGES = 53
KILLS = 10

CONFIG = """
name = "killed"
samples_per_shard = 1
max_rejected_fraction = 1.0
[source]
kind = "coco"
root = "{root}"
split = "val2017"
[image]
size_pixels = 192
[[annotators]]
kind = "sketch"
[[annotators]]
kind = "color"
[execution]
device = "cpu"
threads_per_worker = 1
"""
"""A shard for each photograph: ten kills, a few shards apart, come long before the last one."""
COMMAND = [sys.executable, "-c", "from train.cli import main; main()", "prepare"]


@pytest.fixture(scope="module")
def command(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    config = tmp_path_factory.mktemp("config") / "killed.toml"
    config.write_text(CONFIG.format(root=shared / "data/coco17"))
    return [*COMMAND, str(config), "--weights-dir", str(shared / "weights")]


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "data"
    subprocess.run([*command, "--executor", "inline", "--out", str(out)], check=True, capture_output=True)
    committed = list(records(Directory(str(out))))
    assert sum(len(record.samples) + len(record.rejected) for record in committed) == len(committed) == IMAGES
    return out


@pytest.fixture(scope="module")
def uninterrupted(whole: Path) -> dict[str, bytes]:
    return tree(whole)


@pytest.fixture(scope="module")
def seconds_per_shard(whole: Path) -> float:
    """As this machine makes them now."""
    times = sorted(record.stat().st_mtime for record in whole.glob("records/*.json"))
    return (times[-1] - times[0]) / (len(times) - 1)


def start(command: list[str], out: Path, *options: str) -> subprocess.Popen[bytes]:
    with out.with_suffix(".stderr").open("w") as stderr:
        return subprocess.Popen(
            [*command, "--out", str(out), *options],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and all its descendants with SIGKILL, wherever they are in their work."""
    try:
        descendants = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        descendants = []
    process.kill()
    for each in descendants:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def committed_shards(out: Path) -> int:
    return len(list(out.glob("records/*.json")))


def wait_for_records(out: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until some shards are committed, or the run is over."""
    while process.poll() is None and committed_shards(out) < count:
        time.sleep(0.01)


def kill_at_work(process: subprocess.Popen[bytes], out: Path, before: int, delay_seconds: float) -> None:
    """Kill a run at work, some time after it has committed more than the `before` shards that it found."""
    wait_for_records(out, before + 1, process)
    time.sleep(delay_seconds)
    assert process.poll() is None, out.with_suffix(".stderr").read_text()
    kill_tree(process)


@pytest.mark.slow
@pytest.mark.weights
def test_killed_at_ten_instants_and_resumed_inline(
    command: list[str], uninterrupted: dict[str, bytes], seconds_per_shard: float, tmp_path: Path
) -> None:
    choose = random.Random(0)
    out = tmp_path / "data"
    for _ in range(KILLS):
        before = committed_shards(out)
        process = start(command, out, "--executor", "inline")
        kill_at_work(process, out, before, choose.uniform(0, 2 * seconds_per_shard))
    subprocess.run([*command, "--out", str(out), "--executor", "inline"], check=True, capture_output=True)
    assert tree(out) == uninterrupted


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.weights
def test_a_whole_ray_run_is_killed_at_ten_instants_and_resumed(
    command: list[str], uninterrupted: dict[str, bytes], seconds_per_shard: float, tmp_path: Path
) -> None:
    choose = random.Random(1)
    out = tmp_path / "data"
    for _ in range(KILLS):
        before = committed_shards(out)
        process = start(command, out, "--workers", "1")
        kill_at_work(process, out, before, choose.uniform(0, 2 * seconds_per_shard))
    subprocess.run([*command, "--out", str(out), "--workers", "1"], check=True, capture_output=True)
    assert comparable(tree(out)) == comparable(uninterrupted)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.weights
def test_ray_actors_are_killed_at_ten_instants_and_the_run_goes_on(
    command: list[str], uninterrupted: dict[str, bytes], seconds_per_shard: float, tmp_path: Path
) -> None:
    choose = random.Random(2)
    out = tmp_path / "data"
    process = start(command, out, "--workers", "2")
    for _ in range(KILLS):
        wait_for_records(out, committed_shards(out) + 1, process)
        time.sleep(choose.uniform(0, 2 * seconds_per_shard))
        assert process.poll() is None, out.with_suffix(".stderr").read_text()
        os.kill(choose.choice(annotating_actors(process.pid)), signal.SIGKILL)
    assert process.wait() == 0
    assert comparable(tree(out)) == comparable(uninterrupted)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_an_interrupted_run_ends_cleanly_and_says_how_to_go_on(
    command: list[str], uninterrupted: dict[str, bytes], executor: str, tmp_path: Path
) -> None:
    out = tmp_path / "data"
    full = [*command, "--out", str(out), "--executor", executor]
    process = subprocess.Popen(full, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("records/*.json")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal's Ctrl-C does
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted; committed shards stay. Go on with: condset prepare ")
    assert "Traceback" not in errors
    assert not list(out.rglob("*.partial"))
    subprocess.run(full, check=True, capture_output=True)
    assert comparable(tree(out)) == comparable(uninterrupted)


def annotating_actors(driver: int) -> list[int]:
    """The processes of Ray's annotate actors below a driver: Ray writes the class's name into their titles."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if title.startswith("ray::") and "Annotate" in title:
            found.append(process.pid)
    return found


def comparable(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out dataset.json, which tells the number of workers that was asked for."""
    return {name: content for name, content in files.items() if name != "dataset.json"}
