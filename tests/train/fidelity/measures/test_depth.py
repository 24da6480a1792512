"""Depth up to scale and shift."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.stats import spearmanr

from tests.train.fidelity.disturbances import blurred, noisy, scene, shifted
from train.fidelity.measures.depth import invariant_error, rank_correlation, read_depth


def depth(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Any map with structure: the green of a scene."""
    return picture[..., 1] / 255


def random_map(seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).random((16, 24))


def test_scale_and_shift_do_not_count() -> None:
    truth = random_map(0)
    assert invariant_error(truth, truth) == pytest.approx(0, abs=1e-12)
    assert invariant_error(truth, 0.3 * truth + 5) == pytest.approx(0, abs=1e-12)
    assert rank_correlation(truth, 0.3 * truth + 5) == pytest.approx(1)


def test_the_error_is_that_of_a_least_squares_fit() -> None:
    truth = random_map(0)
    found = truth + random_map(1)
    design = np.stack([found.ravel(), np.ones(found.size)], axis=1)
    solution = np.linalg.lstsq(design, truth.ravel(), rcond=None)[0]
    assert invariant_error(truth, found) == pytest.approx(np.sqrt(np.mean((design @ solution - truth.ravel()) ** 2)))


def test_near_taken_for_far_is_no_better_than_a_flat_map() -> None:
    truth = random_map(0)
    flat = float(truth.std())
    assert invariant_error(truth, 1 - truth) == pytest.approx(flat)
    assert invariant_error(truth, np.zeros_like(truth)) == pytest.approx(flat)
    assert rank_correlation(truth, 1 - truth) == pytest.approx(-1)


@pytest.mark.parametrize("levels", [3, 255])
def test_the_rank_correlation_is_scipys_with_ties(levels: int) -> None:
    truth = np.round(random_map(0) * levels)
    found = np.round((random_map(0) + random_map(1)) * levels)
    assert rank_correlation(truth, found) == pytest.approx(spearmanr(truth, found, axis=None).statistic)


def test_maps_without_depth_correlate_with_each_other_alone() -> None:
    flat = np.zeros((16, 24))
    assert rank_correlation(flat, flat + 1) == 1
    assert rank_correlation(flat, random_map(0)) == rank_correlation(random_map(0), flat) == 0


@pytest.mark.parametrize("disturbance", ["shift", "noise", "blur"])
def test_more_disturbance_is_worse(disturbance: str) -> None:
    picture = scene()
    disturbed = {
        "shift": [shifted(picture, pixels) for pixels in (0, 2, 5, 9)],
        "noise": [noisy(picture, strength) for strength in (0, 0.2, 0.4, 0.8)],
        "blur": [blurred(picture, sigma) for sigma in (0, 2, 4, 8)],
    }[disturbance]
    errors = [invariant_error(depth(picture), depth(each)) for each in disturbed]
    correlations = [rank_correlation(depth(picture), depth(each)) for each in disturbed]
    assert errors == sorted(errors)
    assert correlations == sorted(correlations, reverse=True)
    assert errors[0] < errors[1]
    assert correlations[0] > correlations[1]


@pytest.mark.parametrize(("array_type", "most"), [(np.uint8, 255), (np.uint16, 65535)])
def test_both_kinds_of_grey_are_read_in_full(array_type: npt.DTypeLike, most: int) -> None:
    stored = np.array([[0, most // 3, most]], array_type)
    content = io.BytesIO()
    Image.fromarray(stored).save(content, "PNG")
    np.testing.assert_allclose(read_depth(content.getvalue()), stored / most, rtol=0, atol=1e-12)
