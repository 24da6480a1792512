"""Killed at any instant, an upgrade is finished by another one, and no reader takes what lies there for a data set."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError
from tests.pipeline.conftest import tree
from tests.pipeline.upgrade.conftest import Formats, bring_over

KILLED_AT_EVERY_STEP = """
import os, shutil, signal, sys, traceback
from pipeline.dataset.storage import Directory
from pipeline.upgrade.upgrade import upgrade

former, root = sys.argv[1:]

def run(data, deadly):
    taken = 0
    def step(event, arguments):
        nonlocal taken
        writes = event in ("os.link", "os.rename", "os.remove", "os.mkdir") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if writes and str(arguments[0]).startswith(data):
            if taken == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
    sys.addaudithook(step)
    upgrade(Directory(data), lambda said: None, lambda what, done, of: None)

deadly, status = 0, -signal.SIGKILL
while status == -signal.SIGKILL:
    data = f"{root}/{deadly:03d}"
    shutil.copytree(former, data)
    child = os.fork()
    if child == 0:
        try:
            run(data, deadly)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    deadly += 1
sys.exit(status)
"""
"""Python tells a hook of every file that is about to be made, linked, renamed or removed: there the process dies."""


def kill_everywhere(former: Path, root: Path) -> list[Path]:
    """Upgrade copies of a data set, each killed at one step more; the last one gets through."""
    program = [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(former), str(root)]
    process = subprocess.run(program, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return sorted(root.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["layered", "unfinished"])
def test_killed_before_any_step_an_upgrade_is_finished_by_another(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    formats: Formats = request.getfixturevalue(name)
    before, after = tree(formats.former), tree(formats.present)
    (tmp_path / "killed").mkdir()
    *killed, through = kill_everywhere(formats.former, tmp_path / "killed")
    assert tree(through) == after
    assert len(killed) > 4 * len(after.keys() - before.keys())  # each is made, linked, and its partial name removed
    for data in killed:
        left = tree(data)
        derived = {path for path in left if path.endswith((".jsonl", ".json", ".md")) and path in after}
        if left["dataset.json"] != after["dataset.json"]:
            assert {path: left[path] for path in before.keys() - derived} == {
                path: before[path] for path in before.keys() - derived
            }, data
            with pytest.raises(ManifestError, match="`condset upgrade "):
                read_manifest(Directory(str(data)))
        else:
            assert {path: left[path] for path in after} == after, data
        bring_over(data)
        assert tree(data) == after, data


def test_killed_before_any_step_an_upgrade_of_an_index_alone_is_finished_by_another(
    layered: Formats, tmp_path: Path
) -> None:
    for folder in ("former", "killed"):
        (tmp_path / folder).mkdir()
    shutil.copy(layered.former / "index.parquet", tmp_path / "former")
    *killed, through = kill_everywhere(tmp_path / "former", tmp_path / "killed")
    after = tree(through)
    assert after.keys() == {"index.json", "index/0000000.parquet"}
    for data in killed:
        assert (data / "index.parquet").is_file()
        bring_over(data)
        assert tree(data) == after, data
