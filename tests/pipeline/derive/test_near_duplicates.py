"""Which samples look like one before: against brute force, and through `condset select` on photographs saved anew."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset.index import open_index
from pipeline.dataset.reader import open_dataset
from pipeline.dataset.storage import Directory
from pipeline.derive.near_duplicates import Hashes, repeats
from tests.console import condset
from tests.pipeline.conftest import Make, Run

PHOTOGRAPHS, COPIES = 6, 3


def planted(seed: int, distance: int) -> Hashes:
    """Random hashes, and others that differ from them in up to `distance` bits or one more, in random order."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, 60, np.uint64)
    near = []
    for number in range(40):
        bits = generator.choice(64, generator.integers(0, distance + 2), replace=False)
        near.append(hashes[number % 20] ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=0))
    return generator.permutation(np.concatenate([hashes, np.array(near, np.uint64)]))


def brute_force(hashes: Hashes, before: Hashes, distance: int, within: bool) -> list[bool]:
    kept, repeated = list(before), []
    for each in hashes:
        repeated.append(any(int(each ^ one).bit_count() <= distance for one in kept))
        if within and not repeated[-1]:
            kept.append(each)
    return repeated


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("distance", [0, 1, 4, 9])
def test_the_first_of_each_look_is_kept_as_by_comparing_all_with_all(distance: int, within: bool) -> None:
    for seed in range(5):
        hashes = planted(seed, distance)
        before, mine = hashes[:30], hashes[30:]
        assert repeats(mine, before, distance, within).tolist() == brute_force(mine, before, distance, within)
        none = np.zeros(0, np.uint64)
        assert repeats(hashes, none, distance, within).tolist() == brute_force(hashes, none, distance, within)


@pytest.fixture(scope="module")
def data_set(make_config: Make, run_inline: Run, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photographs, and three of them once more at other qualities, with captions of their own."""
    pictures = tmp_path_factory.mktemp("pictures")
    for number, path in enumerate(sorted((shared / "data/coco17/val2017").glob("*.jpg"))[:PHOTOGRAPHS]):
        shutil.copy(path, pictures / f"{number}.jpg")
        (pictures / f"{number}.txt").write_text(f"photograph {number}")
    for number in range(COPIES):
        Image.open(pictures / f"{number}.jpg").save(pictures / f"copy{number}.jpg", quality=50)
        (pictures / f"copy{number}.txt").write_text(f"copy of {number}")
    out = tmp_path_factory.mktemp("data") / "data"
    run_inline(make_config(source={"kind": "folder", "root": str(pictures)}, image={"size_pixels": 256}), out)
    return out


def test_select_keeps_one_of_each_and_counts_the_others(data_set: Path, tmp_path: Path) -> None:
    result = condset("select", data_set, "--distinct", "--out", tmp_path / "distinct")
    assert result.status == 0, result.err
    assert f"{COPIES} near-duplicates are left out" in result.err
    captions = [sample.caption for sample in open_dataset(tmp_path / "distinct")]
    assert sorted(caption.removeprefix("copy of ").removeprefix("photograph ") for caption in captions) == [*"012345"]
    assert open_index(Directory(str(tmp_path / "distinct"))).dropped["near_duplicate"] == COPIES
    assert condset("verify", tmp_path / "distinct").status == 0
    again = condset("select", data_set, "--distinct", "--out", tmp_path / "distinct")
    assert "is complete already: 6 samples" in again.out


def test_parts_of_a_split_have_no_look_in_common(data_set: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "train", tmp_path / "held_out"]
    options = [option for part in parts for option in ("--out", part)]
    result = condset("select", data_set, "--distinct", "--split", "0.5 0.5", *options)
    assert result.status == 0, result.err
    assert sum(len(open_dataset(part)) for part in parts) == PHOTOGRAPHS


def test_what_looks_like_another_data_set_is_left_out_and_else_nothing(data_set: Path, tmp_path: Path) -> None:
    key = next(sample.key for sample in open_dataset(data_set) if sample.caption == "copy of 1")
    (tmp_path / "keys.txt").write_text(key)
    held_out = condset("select", data_set, "--keys", tmp_path / "keys.txt", "--out", tmp_path / "held_out")
    assert held_out.status == 0, held_out.err
    result = condset("select", data_set, "--unlike", tmp_path / "held_out", "--out", tmp_path / "train")
    assert result.status == 0, result.err
    captions = {sample.caption for sample in open_dataset(tmp_path / "train")}
    assert captions == {f"photograph {n}" for n in (0, 2, 3, 4, 5)} | {"copy of 0", "copy of 2"}


def test_a_choice_that_leaves_nothing_is_refused(data_set: Path, tmp_path: Path) -> None:
    result = condset("select", data_set, "--unlike", data_set, "--out", tmp_path / "none")
    assert result.status == 2
    assert "the choice must be of at least one of 9 samples" in result.err
