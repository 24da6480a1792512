"""Which weights a bench uses, and what its title says of them."""

from pathlib import Path

import pytest

from pipeline.bench.weights import BenchWeights, describe_weights, find_or_make


def write_noise(path: Path) -> Path:
    path.write_bytes(b"random")
    return path


def test_what_is_not_here_is_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    made = find_or_make("PiDiNet", "pidinet", tmp_path, write_noise, tmp_path)
    assert made == BenchWeights("PiDiNet", tmp_path / "random_pidinet.pth", is_random=True)
    assert made.path.read_bytes() == b"random"


@pytest.mark.weights
def test_what_is_here_is_used(tmp_path: Path, shared: Path) -> None:
    found = find_or_make("PiDiNet", "pidinet", shared / "weights", write_noise, tmp_path)
    assert not found.is_random
    assert found.path.is_relative_to(shared / "weights")
    assert not list(tmp_path.iterdir())


def test_a_title_says_which_weights_are_random() -> None:
    pidinet, midas, rtmo = (BenchWeights(name, Path(), is_random=True) for name in ("PiDiNet", "MiDaS", "RTMO"))
    found = BenchWeights("PiDiNet", Path(), is_random=False)
    assert describe_weights([pidinet, midas, rtmo]) == "random weights"
    assert describe_weights([found]) == "the published weights"
    assert describe_weights([found, midas, rtmo]) == "random weights of MiDaS and RTMO, the published ones of PiDiNet"
