"""`condset fetch` as a user types it, against a local server with small archives."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.file_server import FileServer, serve_files
from tests.module_graph import ROOT
from tests.stages.collections.small_archives import ARCHIVES, LAID_OUT, SUMS, laid_out

PROGRAM = [sys.executable, "-c", "from train.cli import main; main()"]
ENVIRONMENT = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files(dict(ARCHIVES)) as server:
        yield server


def condset(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT | variables
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, env=environment, cwd=cwd)


def write_sums(directory: Path) -> str:
    (directory / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in SUMS.items()))
    return "SHA256SUMS"


def test_a_split_is_fetched_and_the_second_time_it_is_there_already(server: FileServer, tmp_path: Path) -> None:
    command = ["fetch", "coco17", "--split", "val2017", "--mirror", server.url(""), "--sums", write_sums(tmp_path)]
    first = condset(*command, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == "data/coco17 holds coco17; files: annotations 6, val2017 5\n"
    room, *transfers, advice = first.stderr.splitlines()
    assert room.startswith("coco17: ")
    assert [line.partition(": ")[0] for line in transfers] == [
        f"{verb}{name}"
        for name in ("annotations_trainval2017.zip", "val2017.zip")
        for verb in ("", "checking ", "unpacking ")
    ]
    assert advice == (
        "go on with: condset prepare configs/prepare/sketch_coco.toml --set source.split=val2017"
        " --out out/coco17-sketch"
    )
    assert laid_out(tmp_path / "data/coco17") == LAID_OUT
    again = condset(*command, cwd=tmp_path)
    assert again.stdout == "data/coco17 holds coco17 already; files: annotations 6, val2017 5\n"
    assert again.stderr.splitlines() == [advice]


def test_the_mirror_may_come_from_the_environment(server: FileServer, tmp_path: Path) -> None:
    result = condset(
        *["fetch", "coco_stuff", "--out", "elsewhere", "--sums", write_sums(tmp_path)],
        cwd=tmp_path,
        CONDSET_MIRROR=server.url(""),
    )
    assert result.stdout == (
        "elsewhere holds coco_stuff; files: annotations 6, stuffthingmaps/train2017 7, stuffthingmaps/val2017 5,"
        " val2017 5, train2017 7\n"
    )
    assert result.stderr.splitlines()[-1] == (
        "go on with: condset prepare configs/prepare/segmentation_coco_stuff.toml --set source.root=elsewhere"
        " --out out/coco-stuff-segmentation"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fetch_says_what_to_type_and_ends_with_130(
    server: FileServer, tmp_path: Path, number: signal.Signals
) -> None:
    options = ["fetch", "coco17", "--split", "val2017", "--sums", write_sums(tmp_path), "--mirror"]
    process = subprocess.Popen(
        [*PROGRAM, *options, server.url("stalls")], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=tmp_path
    )
    partial = tmp_path / "data/coco17/annotations_trainval2017.zip.partial"
    while not (partial.exists() and partial.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "interrupted; what has arrived stays. Go on with: condset fetch coco17 --split val2017 --sums SHA256SUMS"
        f" --mirror {server.url('stalls')}"
    )
    result = condset(*options, server.url(""), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert any(asked for path, asked in server.requests if path.startswith("/annotations"))
    assert laid_out(tmp_path / "data/coco17") == LAID_OUT


def test_without_a_name_the_collections_are_listed_with_size_and_licence(tmp_path: Path) -> None:
    result = condset("fetch", cwd=tmp_path)
    assert result.returncode == 0
    words = (
        "coco17",
        "coco_stuff",
        "val2017 1.1 GB",
        "val2017 1.7 GB",
        "both 20.4 GB",
        "CC-BY-4.0",
        "LAION-Aesthetics",
    )
    assert [word for word in words if word not in result.stdout] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["coco18"], "collection must be one of coco17, coco_stuff, got 'coco18'; `condset fetch` lists them"),
        (["coco17", "--split", "test2017"], "--split must be train2017 or val2017, got 'test2017'; leave it out to"),
        (["coco17", "--mirror", "ftp://x"], "--mirror must be an http or https URL below which the archives lie, got"),
        (["coco17", "--sums", "none"], "--sums must be a file that sha256sum wrote, got [Errno 2] No such file"),
    ],
)
def test_what_the_user_must_change_is_one_line_and_exit_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = condset("fetch", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"condset: {message}")
