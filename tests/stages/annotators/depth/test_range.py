"""How much of its own maximum a map spans, and what is said of one that spans too little."""

import torch

from stages.annotators.depth.annotator import flat_depth, ranges
from stages.records import Reason, Rejection


def test_a_range_is_the_share_of_its_own_maximum_that_a_map_spans() -> None:
    maps_bhw = torch.tensor([[[2.0, 4.0]], [[3.0, 3.0]], [[0.0, 0.0]], [[0.0, 9.0]]])
    assert ranges(maps_bhw) == [0.5, 0.0, 0.0, 1.0]


def test_a_flat_map_is_rejected_with_what_it_spans() -> None:
    detail = "min_range wants the depths to span 0.05 of their maximum, got 0.012"
    assert flat_depth("17", 0.05, 0.0123) == Rejection("17", Reason.FLAT_DEPTH, detail)
