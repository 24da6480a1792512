"""How much of a picture of edges is edge, and what is said of one that has too few: sketch and canny ask it."""

import numpy as np

from stages.records import ConditionMembers, ImageMember, Reason, Rejection, UInt8Array

EDGE_LEVEL = 127
"""A pixel above it is an edge: T2I-Adapter binarises its sketches at half."""


def edge_share(picture_hw: UInt8Array) -> float:
    """Return the share of a picture's pixels, 0 to 1, that are edges."""
    return float(np.mean(picture_hw > EDGE_LEVEL))


def edges_or_rejection(
    key: str, extension: str, picture_hw: UInt8Array, min_edges: float
) -> ConditionMembers | Rejection:
    """Return the picture as the members of a sample, or a rejection if fewer pixels than `min_edges` are edges."""
    share = edge_share(picture_hw) if min_edges else 1.0
    if share >= min_edges:
        return (ImageMember(extension, picture_hw),)
    return Rejection(key, Reason.NO_EDGES, f"min_edges wants {min_edges:g} of the pixels to be edges, got {share:.2g}")
