"""Edge F1 within two pixels."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from stages.records import UInt8Array
from tests.train.fidelity.disturbances import blurred, edges, noisy, scene, shifted
from train.fidelity.measures.edges import edge_f1

Disturbance = Callable[[UInt8Array, float], UInt8Array]


def test_equal_edges_give_one() -> None:
    assert edge_f1(edges(scene()), edges(scene())) == 1.0


@pytest.mark.parametrize(
    ("disturb", "amounts"),
    [
        (lambda picture, pixels: shifted(picture, int(pixels)), (2, 3, 5, 9)),
        (noisy, (0, 0.04, 0.15, 0.2)),  # from there on there are edges everywhere
        (blurred, (0, 2, 4, 8)),
    ],
    ids=["shift", "noise", "blur"],
)
def test_more_disturbance_gives_less(disturb: Disturbance, amounts: Sequence[float]) -> None:
    scores = [
        np.mean([edge_f1(edges(scene(index)), edges(disturb(scene(index), amount))) for index in range(8)])
        for amount in amounts
    ]
    assert scores[0] > 0.95
    assert all(one > other for one, other in itertools.pairwise(scores)), scores


def test_a_line_is_met_up_to_two_pixels_away() -> None:
    assert [edge_f1(_column(20), _column(20 + away)) for away in (1, 2, 3)] == [1.0, 1.0, 0.0]
    # The half of what is found lies on the line, and all of the line is found.
    assert edge_f1(_column(20), _column(20) | _column(30)) == pytest.approx(2 / 3)


def test_the_measure_is_that_of_all_distances_written_out() -> None:
    generator = np.random.default_rng(1)
    truth, found = generator.random((2, 24, 24)) < 0.02
    true_points, found_points = np.argwhere(truth), np.argwhere(found)
    distances = np.linalg.norm(true_points[:, None] - found_points[None], axis=2)
    recall, precision = (distances.min(axis=1) <= 2).mean(), (distances.min(axis=0) <= 2).mean()
    assert 0 < recall < 1
    assert 0 < precision < 1
    assert edge_f1(truth, found) == pytest.approx(2 * precision * recall / (precision + recall))
    assert edge_f1(found, truth) == edge_f1(truth, found)


def test_nothing_is_like_nothing_and_unlike_anything() -> None:
    nothing = np.zeros((40, 40), np.bool_)
    assert edge_f1(nothing, nothing) == 1.0
    assert edge_f1(nothing, _column(3)) == edge_f1(_column(3), nothing) == 0.0


def _column(x: int) -> npt.NDArray[np.bool_]:
    lines = np.zeros((40, 40), np.bool_)
    lines[:, x] = True
    return lines
