"""The key file: every key is found where it is, and nothing else is."""

import io
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.keys import KEYS_FILE, KeyCollector, find_key, key_hash
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.record import SampleEntry, ShardRecord
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError

NUMERICS = Numerics("cpu", {}, 1, 1, {})


def record_of(keys: list[str]) -> ShardRecord:
    samples = tuple(SampleEntry(key, 0, 0, 1, 1, 0) for key in keys)
    return ShardRecord("0000000", "", 0, len(keys), "", "", 0, NUMERICS, samples, ())


def written(directory: Path, keys: list[str], shard_size: int = 1000) -> Directory:
    collector = KeyCollector()
    for start in range(0, len(keys), shard_size):
        collector.add(record_of(keys[start : start + shard_size]))
    (directory / KEYS_FILE).write_bytes(collector.content())
    return Directory(str(directory))


@pytest.mark.parametrize("samples", [1, 2, 7, 30_000])
def test_every_key_is_found(samples: int, tmp_path: Path) -> None:
    keys = [f"key-{number}" for number in range(samples)]
    directory = written(tmp_path, keys)
    for number in range(0, samples, max(1, samples // 500)):
        assert find_key(directory, samples, keys[number]) == [number]
    assert find_key(directory, samples, keys[-1]) == [samples - 1]
    assert find_key(directory, samples, "another") == []


def test_an_empty_data_set_has_no_key(tmp_path: Path) -> None:
    assert find_key(written(tmp_path, []), 0, "any") == []


def test_keys_of_the_same_hash_are_all_found(tmp_path: Path) -> None:
    assert find_key(written(tmp_path, ["a", "b", "a"]), 3, "a") == [0, 2]


def test_keys_whose_hashes_are_spread_unevenly_are_found(tmp_path: Path) -> None:
    hashes = np.sort(np.random.default_rng(0).integers(0, 2**20, 40_000, np.uint64))  # all at the lowest end
    hashes[20_000] = hashes[19_999]
    wanted = key_hash("wanted")
    lines = np.stack([np.append(hashes, np.uint64(wanted)), np.arange(40_001, dtype=np.uint64)], axis=1)
    buffer = io.BytesIO()
    np.save(buffer, lines)
    (tmp_path / KEYS_FILE).write_bytes(buffer.getvalue())
    assert find_key(Directory(str(tmp_path)), 40_001, "wanted") == [40_000]


def test_the_file_is_one_of_numpy(tmp_path: Path) -> None:
    written(tmp_path, ["a", "b", "c"])
    lines = np.load(tmp_path / KEYS_FILE)
    assert lines.shape == (3, 2)
    assert lines.dtype == np.uint64
    assert sorted(lines[:, 0].tolist()) == lines[:, 0].tolist() == sorted(map(key_hash, "abc"))


def test_a_file_that_is_missing_or_of_other_samples_is_said(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"keys\.npy must list the keys of 3 samples, got none"):
        find_key(Directory(str(tmp_path)), 3, "a")
    with pytest.raises(ManifestError, match=r"keys\.npy must list the keys of 4 samples, got another file"):
        find_key(written(tmp_path, ["a", "b", "c"]), 4, "a")
