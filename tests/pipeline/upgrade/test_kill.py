"""Killed at any instant, an upgrade is finished by another one, and no reader takes what lies there for a data set."""

import shutil
from pathlib import Path

import pytest

from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError
from tests.pipeline.conftest import tree
from tests.pipeline.killed_everywhere import killed_everywhere
from tests.pipeline.upgrade.conftest import Formats, bring_over

UPGRADE = """
from pipeline.dataset.storage import Directory
from pipeline.upgrade.upgrade import upgrade

def work(data):
    upgrade(Directory(data), lambda said: None, lambda what, done, of: None)
"""


def without_leases(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith(".work/")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["layered", "unfinished"])
def test_killed_before_any_step_an_upgrade_is_finished_by_another(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    formats: Formats = request.getfixturevalue(name)
    before, after = tree(formats.former), tree(formats.present)
    (tmp_path / "killed").mkdir()
    *killed, through = killed_everywhere(formats.former, tmp_path / "killed", UPGRADE)
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
        if without_leases(left) == after:  # it was done, but for its lease
            continue
        bring_over(data)
        assert tree(data) == after, data


def test_killed_before_any_step_an_upgrade_of_an_index_alone_is_finished_by_another(
    layered: Formats, tmp_path: Path
) -> None:
    for folder in ("former", "killed"):
        (tmp_path / folder).mkdir()
    shutil.copy(layered.former / "index.parquet", tmp_path / "former")
    *killed, through = killed_everywhere(tmp_path / "former", tmp_path / "killed", UPGRADE)
    after = tree(through)
    assert after.keys() == {"index.json", "index/0000000.parquet"}
    for data in killed:
        if not (data / "index.parquet").is_file():  # it was done, but for its lease
            assert without_leases(tree(data)) == after
            continue
        bring_over(data)
        assert tree(data) == after, data
