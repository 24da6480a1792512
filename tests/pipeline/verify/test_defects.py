"""Every defect of the table, seeded: verify names it, its shard and its key, once, and never crashes."""

import re
import shutil
from pathlib import Path
from random import Random

import pytest

from pipeline.verify.dataset import verify
from pipeline.verify.problem import Problem
from stages.weights.store import WeightsStore
from tests.pipeline.conftest import Make, Run
from tests.pipeline.verify.annotated_scenes import scenes_config, write_scenes
from tests.pipeline.verify.damage import Copy
from tests.pipeline.verify.defects import DEEP_DEFECTS, DEFECTS, Defect


@pytest.fixture(scope="module")
def sound(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen scenes in four shards, three of them rejected, one alone in its shard."""
    root = tmp_path_factory.mktemp("sound")
    write_scenes(root / "scenes")
    run_inline(scenes_config(make_config, root / "scenes"), root / "data")
    return root / "data"


def problems(path: Path, deep: bool) -> tuple[Problem, ...]:
    from pipeline.dataset.storage import Directory

    return verify(Directory(str(path)), deep, WeightsStore(allow_network=False), "cpu").problems


def damaged(sound: Path, to: Path, seed: str) -> Copy:
    shutil.copytree(sound, to)
    return Copy(to, Random(seed))


def name(defect: Defect) -> str:
    return defect.__name__


def check_shallow(defect: Defect, sound: Path, to: Path, seed: int) -> None:
    said = defect(copy := damaged(sound, to, f"{defect.__name__} {seed}"))
    (problem,) = problems(copy.path, deep=False)
    assert (problem.shard, problem.key) == (said.shard, said.key), problem
    assert re.search(said.words, problem.what), problem


def test_there_are_more_than_thirty_kinds() -> None:
    assert len(DEFECTS) + len(DEEP_DEFECTS) > 100


@pytest.mark.parametrize("defect", DEFECTS, ids=name)
def test_verify_names_a_defect_once_with_its_shard_and_key(defect: Defect, sound: Path, tmp_path: Path) -> None:
    check_shallow(defect, sound, tmp_path / "data", 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("defect", DEFECTS, ids=name)
def test_verify_names_a_defect_wherever_it_is(defect: Defect, seed: int, sound: Path, tmp_path: Path) -> None:
    check_shallow(defect, sound, tmp_path / "data", seed)


@pytest.mark.parametrize("defect", DEEP_DEFECTS, ids=name)
def test_only_deep_verify_names_what_does_not_follow_from_the_image(
    defect: Defect, sound: Path, tmp_path: Path
) -> None:
    said = defect(copy := damaged(sound, tmp_path / "data", defect.__name__))
    assert problems(copy.path, deep=False) == ()
    found = problems(copy.path, deep=True)
    assert {(problem.shard, problem.key) for problem in found} == {(said.shard, said.key)}, found
    assert any(re.search(said.words, problem.what) for problem in found), found
    assert len({problem.what.partition(" ")[0] for problem in found}) == len(found), "one problem for a member"
