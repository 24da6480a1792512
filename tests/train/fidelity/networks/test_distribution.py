"""The Frechet inception distance, on random networks: the plumbing is what is proven."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import linalg
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3

from stages.errors import ConfigError, WeightsError
from stages.records import UInt8Array
from stages.weights.store import WeightsFile
from tests.train.fidelity.disturbances import noisy, scene
from tests.train.fidelity.tiny_networks import TinyFeatures, save_random_inception
from train.fidelity.networks.distribution import FrechetDistance, InceptionFeatures

DRAWN = [scene(index, 32) for index in range(20)]
REAL = [scene(index, 32) for index in range(20, 45)][:20]


def distance(drawn: list[UInt8Array], real: list[UInt8Array]) -> float:
    frechet = FrechetDistance(TinyFeatures(), "cpu")
    frechet.add(drawn, real)
    return frechet.value()


def stacked(images: list[UInt8Array]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def test_it_is_torchmetrics_own_number() -> None:
    library = FrechetInceptionDistance(feature=TinyFeatures())
    library.update(stacked(REAL), real=True)
    library.update(stacked(DRAWN), real=False)
    assert distance(DRAWN, REAL) == float(library.compute())


def test_it_is_the_closed_formula() -> None:
    drawn, real = (TinyFeatures()(stacked(images)).double().numpy() for images in (DRAWN, REAL))
    covariances = [np.cov(each, rowvar=False) for each in (drawn, real)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((drawn.mean(0) - real.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert expected > 1e-4
    assert distance(DRAWN, REAL) == pytest.approx(expected, rel=1e-4)


def test_the_same_pictures_in_another_order_have_none() -> None:
    assert distance(DRAWN, DRAWN[::-1]) == pytest.approx(0, abs=1e-6)


def test_more_noise_gives_more() -> None:
    distances = [distance([noisy(each, strength) for each in DRAWN], DRAWN) for strength in (0, 0.1, 0.2, 0.4, 0.8)]
    assert all(one < other for one, other in itertools.pairwise(distances)), distances


def test_one_picture_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        distance(DRAWN[:1], REAL[:1])
    assert str(refused.value) == "FID must have at least 2 pictures, got 1; draw more"


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> WeightsFile:
    return save_random_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


def test_the_features_are_the_librarys_with_the_resizing_of_tensorflow(inception: WeightsFile) -> None:
    images_bchw = stacked([scene(index, 64) for index in range(2)])
    # torchmetrics copied torch-fidelity's network; what it changes unless told otherwise is the resizing.
    library = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(inception.path), antialias=False)
    with torch.inference_mode():
        found_bd, expected_bd = InceptionFeatures(inception)(images_bchw), library(images_bchw)
    assert found_bd.shape == (2, InceptionFeatures.num_features)
    assert torch.equal(found_bd, expected_bd)
    assert found_bd.std() > 0


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError) as refused:
        InceptionFeatures(WeightsFile(path, ""))
    assert str(refused.value) == (
        f"{path} must hold the parameters of torch-fidelity's Inception-v3, got others; use the published file"
    )
