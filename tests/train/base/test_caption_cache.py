"""Embeddings of captions: the same whether they are remembered or not, and never more than there is room for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch

from train.base.caption_cache import CaptionCache

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion

CAPTIONS = ["a red square", "", "two persons and a blue circle on a beach", "x" * 300]


@pytest.fixture
def embedded(tiny_base: "StableDiffusion") -> Iterator[list[int]]:
    """How many captions each call of the text encoder embeds."""
    calls: list[int] = []
    encoder: Any = tiny_base.parts.text_encoder
    handle = encoder.register_forward_hook(lambda module, inputs, output: calls.append(len(output[0])))
    yield calls
    handle.remove()


def test_captions_are_embedded_in_their_order(tiny_base: "StableDiffusion") -> None:
    ours = CaptionCache(tiny_base, 10)([*CAPTIONS, CAPTIONS[0]])
    assert ours.shape == (5, 77, 64)
    for embedding, caption in zip(ours, [*CAPTIONS, CAPTIONS[0]], strict=True):
        assert torch.equal(embedding, tiny_base.encode_captions([caption])[0])


@pytest.mark.parametrize("capacity", [0, 1, 3, 100])
def test_what_is_remembered_changes_no_embedding(tiny_base: "StableDiffusion", capacity: int) -> None:
    captions = CaptionCache(tiny_base, capacity)
    fresh = {caption: tiny_base.encode_captions([caption])[0] for caption in CAPTIONS}
    for batch in ([0, 1], [1, 1, 2], [3, 0, 2, 1], [0], [2, 3]):
        ours = captions([CAPTIONS[each] for each in batch])
        assert all(torch.equal(row, fresh[CAPTIONS[each]]) for row, each in zip(ours, batch, strict=True))
        assert len(captions) <= capacity


def test_on_a_cpu_an_embedding_does_not_depend_on_its_batch(tiny_base: "StableDiffusion") -> None:
    many = [f"caption number {number}" for number in range(9)]
    together = CaptionCache(tiny_base, 0)(many)
    alone = torch.cat([CaptionCache(tiny_base, 0)([caption]) for caption in many])
    assert torch.equal(together, alone)


def test_a_caption_is_embedded_once_while_it_is_remembered(tiny_base: "StableDiffusion", embedded: list[int]) -> None:
    captions = CaptionCache(tiny_base, 10)
    captions(["a", "b", "a"])
    captions(["b", "a", "c"])
    assert embedded == [1, 1, 1]


def test_the_caption_that_was_used_longest_ago_is_forgotten(tiny_base: "StableDiffusion", embedded: list[int]) -> None:
    captions = CaptionCache(tiny_base, 2)
    for caption in ("a", "b", "a", "c"):  # forgets b
        captions([caption])
    embedded.clear()
    captions(["a"])
    captions(["c"])
    assert embedded == []
    captions(["b"])
    assert embedded == [1]


def test_without_room_nothing_is_remembered(tiny_base: "StableDiffusion", embedded: list[int]) -> None:
    captions = CaptionCache(tiny_base, 0)
    captions(["a", "a"])
    captions(["a"])
    assert (embedded, len(captions)) == ([1, 1], 0)


def test_different_captions_have_different_embeddings(tiny_base: "StableDiffusion") -> None:
    first, second = CaptionCache(tiny_base, 10)(["a red square", "a blue square"])
    assert not torch.equal(first, second)
