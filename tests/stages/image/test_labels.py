import io

import numpy as np
import pytest
from PIL import Image

from stages.image.labels import cut_labels, decode_labels, read_cut_labels
from stages.records import Crop, Reason, Rejection

CROP = Crop(original_width=8, original_height=6, box=(1.0, 0.0, 7.0, 6.0), stored_width=64, stored_height=64)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def test_an_offset_of_one_makes_255_unlabelled() -> None:
    pixels = np.array([[0, 181, 255]], np.uint8)
    ids = decode_labels("k", png(Image.fromarray(pixels)), offset=1)
    assert not isinstance(ids, Rejection)
    assert ids.tolist() == [[1, 182, 0]]


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (png(Image.new("RGB", (3, 3))), "the label map must have one 8-bit channel, got RGB"),
        (b"", "the label map must be a readable image, got 0 bytes with UnidentifiedImageError"),
        (b"GIF89a nonsense", "the label map must be a readable image, got 15 bytes with"),
    ],
)
def test_what_is_no_label_map_is_rejected(data: bytes, detail: str) -> None:
    outcome = decode_labels("k", data, offset=1)
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.BAD_LABELS
    assert detail in outcome.detail


def test_a_map_of_another_size_than_the_image_is_rejected() -> None:
    outcome = cut_labels("k", np.zeros((8, 6), np.uint8), CROP)
    assert isinstance(outcome, Rejection)
    assert outcome.detail == "the label map must have the image's 8x6 pixels, got 6x8"


def test_a_cut_map_holds_only_ids_that_were_there() -> None:
    labels_hw = np.random.default_rng(0).choice(np.array([0, 3, 200], np.uint8), (6, 8))
    cut = cut_labels("k", labels_hw, CROP)
    assert isinstance(cut, bytes)
    stored = read_cut_labels(cut)
    assert stored is not None
    assert stored.shape == (64, 64)
    assert set(np.unique(stored)) <= {0, 3, 200}
