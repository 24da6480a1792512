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

from .conftest import tree

CONFIG = """
name = "killed"
samples_per_shard = 3
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
COMMAND = [sys.executable, "-c", "from train.cli import main; main()", "prepare"]


@pytest.fixture(scope="module")
def command(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    config = tmp_path_factory.mktemp("config") / "killed.toml"
    config.write_text(CONFIG.format(root=shared / "data/coco17"))
    return [*COMMAND, str(config), "--weights-dir", str(shared / "weights")]


@pytest.fixture(scope="module")
def uninterrupted(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "data"
    subprocess.run([*command, "--executor", "inline", "--out", str(out)], check=True, capture_output=True)
    return tree(out)


def start(command: list[str], out: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command, "--out", str(out), *options],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
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


def wait_for_records(out: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until some shards are committed, or the run is over."""
    while process.poll() is None and len(list(out.glob("shards/*.json"))) < count:
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.weights
def test_killed_at_ten_instants_and_resumed_inline(
    command: list[str], uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    choose = random.Random(0)
    out = tmp_path / "data"
    for kill in range(10):
        process = start(command, out, "--executor", "inline")
        wait_for_records(out, kill, process)
        time.sleep(choose.uniform(0, 1.0))
        kill_tree(process)
    subprocess.run([*command, "--out", str(out), "--executor", "inline"], check=True, capture_output=True)
    assert tree(out) == uninterrupted


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.weights
def test_a_whole_ray_run_is_killed_at_ten_instants_and_resumed(
    command: list[str], uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    choose = random.Random(1)
    out = tmp_path / "data"
    for kill in range(10):
        process = start(command, out, "--workers", "1")
        wait_for_records(out, kill, process)
        time.sleep(choose.uniform(0, 1.0))
        kill_tree(process)
    subprocess.run([*command, "--out", str(out), "--workers", "1"], check=True, capture_output=True)
    assert comparable(tree(out)) == comparable(uninterrupted)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.weights
def test_ray_actors_are_killed_at_ten_instants_and_the_run_goes_on(
    command: list[str], uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    choose = random.Random(2)
    out = tmp_path / "data"
    process = start(command, out, "--workers", "2")
    killed = 0
    while process.poll() is None:
        wait_for_records(out, killed + 1, process)
        time.sleep(choose.uniform(0, 0.3))
        actors = annotating_actors(process.pid)
        if killed < 10 and actors:
            os.kill(choose.choice(actors), signal.SIGKILL)
            killed += 1
        time.sleep(0.2)
    assert process.returncode == 0
    assert killed == 10
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
    while not list(out.glob("shards/*.json")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal's Ctrl-C does
    _, errors = process.communicate(timeout=60)
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
