"""Captions: clean text, and the one caption of a sample's `.txt`."""

from collections.abc import Iterable, Sequence

from stages.randomness import random_for


def clean_captions(captions: Iterable[str]) -> tuple[str, ...]:
    """Collapse white space in each caption and drop the empty ones (COCO's end in newlines and double spaces)."""
    cleaned = (" ".join(caption.split()) for caption in captions)
    return tuple(caption for caption in cleaned if caption)


def choose_caption(captions: Sequence[str], seed: int, key: str) -> str:
    """Choose the caption of `<key>.txt`: uniform, and a function of (seed, key) alone.

    Training draws from all captions in `<key>.json` at every visit, as the paper's authors did; the `.txt` is for
    readers that know only (image, text) pairs.
    """
    return captions[int(random_for(seed, "caption", key).integers(len(captions)))]
