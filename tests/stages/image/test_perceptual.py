"""Photographs that were saved anew look the same; different ones do not."""

import io
import itertools
from pathlib import Path

import imagehash
import pytest
from PIL import Image, ImageEnhance

from stages.image.perceptual import perceptual_hash


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Path]:
    return sorted((shared / "data/coco17/val2017").glob("*.jpg"))


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, **{"format": "JPEG", "quality": 90} | options)  # type: ignore[arg-type]
    return file.getvalue()


def difference(one: bytes, other: bytes) -> int:
    return (perceptual_hash(one) ^ perceptual_hash(other)).bit_count()


def test_a_photograph_that_was_saved_scaled_or_brightened_anew_differs_in_few_bits(photographs: list[Path]) -> None:
    differences: dict[str, list[int]] = {"quality 40": [], "half size": [], "brighter": [], "png": []}
    for path in photographs:
        original = path.read_bytes()
        image = Image.open(path).convert("RGB")
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        differences["quality 40"].append(difference(original, saved(image, quality=40)))
        differences["half size"].append(difference(original, saved(half)))
        differences["brighter"].append(difference(original, saved(ImageEnhance.Brightness(image).enhance(1.1))))
        differences["png"].append(difference(original, saved(image, format="PNG")))
    assert {how: max(found) for how, found in differences.items() if max(found) > 4} == {}


def test_different_photographs_differ_in_many_bits(photographs: list[Path]) -> None:
    hashes = [perceptual_hash(path.read_bytes()) for path in photographs]
    assert min((one ^ other).bit_count() for one, other in itertools.combinations(hashes, 2)) > 8


def test_it_is_the_librarys_hash_of_what_is_decoded(photographs: list[Path]) -> None:
    picture = Image.open(photographs[0]).convert("RGB")
    assert perceptual_hash(saved(picture, format="PNG")) == int(str(imagehash.phash(picture)), 16)


def test_what_is_no_image_is_an_os_error() -> None:
    with pytest.raises(OSError, match="cannot identify image file"):
        perceptual_hash(b"no image")
