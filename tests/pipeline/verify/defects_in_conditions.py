"""Defects of pixels and numbers: every file, hash and type is right, and a condition does not follow from its image.

Each function damages a copy and says what `verify --deep` must say of it.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from stages.annotators.segmentation.palette import palette
from stages.image.encode import encode_member, encode_png
from stages.records import ArrayMember, Float32Array, UInt8Array
from tests.pipeline.verify.damage import Copy, Members, Said


def _rewrite_pixels(
    copy: Copy, extension: str, change: Callable[[UInt8Array], UInt8Array], colors: bytes | None = None
) -> tuple[str, str]:
    def changed(content: bytes) -> bytes:
        before = np.asarray(Image.open(io.BytesIO(content)))
        after = change(before.copy())
        assert not np.array_equal(before, after), "a defect changes something"
        return encode_png(after, colors)

    return copy.rewrite_member(extension, changed)


def swapped_channels(copy: Copy) -> Said:
    place = _rewrite_pixels(copy, "color.png", lambda pixels_hwc: pixels_hwc[..., ::-1])
    return Said(
        *place, r"^color\.png must follow from the stored image, got \d+ of 4096 pixels more than 0 levels away"
    )


def one_level_in_one_pixel(copy: Copy) -> Said:
    def change(pixels_hwc: UInt8Array) -> UInt8Array:
        pixels_hwc[copy.random.randrange(64), copy.random.randrange(64), copy.random.randrange(3)] ^= 1
        return pixels_hwc

    place = _rewrite_pixels(copy, "color.png", change)
    return Said(
        *place, r"^color\.png must .*, got 1 of 4096 pixels more than 0 levels away, up to 1; delete its record"
    )


def shifted_segmentation(copy: Copy) -> Said:
    shift = copy.random.choice([-3, -2, -1, 1, 2, 3])
    place = _rewrite_pixels(copy, "segmentation.png", lambda labels_hw: np.roll(labels_hw, shift, axis=0), palette())
    return Said(*place, r"^segmentation\.png must follow from the stored image, got \d+ of 4096 pixels")


def segmentation_with_a_few_other_pixels(copy: Copy) -> Said:
    def change(labels_hw: UInt8Array) -> UInt8Array:
        row = copy.random.randrange(64)
        labels_hw[row, 10:13] = np.where(labels_hw[row, 10:13] == 0, 1, 0)
        return labels_hw

    place = _rewrite_pixels(copy, "segmentation.png", change, palette())
    return Said(*place, r"^segmentation\.png must follow from the stored image, got 3 of 4096 pixels")


def condition_of_another_sample(copy: Copy) -> Said:
    record = copy.shard()
    other = copy.read(record, record.samples[0])["segmentation.png"]
    place = copy.rewrite_member("segmentation.png", lambda content: other)
    return Said(*place, r"^segmentation\.png must follow from the stored image, got \d+ of 4096 pixels")


def inverted_canny(copy: Copy) -> Said:
    place = _rewrite_pixels(copy, "canny.png", lambda pixels_hw: 255 - pixels_hw)
    return Said(*place, r"^canny\.png must follow from the stored image, got 4096 of 4096 pixels .*, up to 255;")


def image_encoded_again(copy: Copy) -> Said:
    """The image is still that scene, but no longer the bytes that the conditions were computed from."""

    def change(members: Members) -> Members:
        file = io.BytesIO()
        Image.open(io.BytesIO(members["jpg"])).save(file, "JPEG", quality=20)
        return members | {"jpg": file.getvalue()}

    return Said(*copy.rewrite_sample(change), r"^color\.png must follow from the stored image, got 4096 of 4096 pixels")


def image_of_another_sample(copy: Copy) -> Said:
    record = copy.shard()
    other = copy.read(record, record.samples[0])["jpg"]
    place = copy.rewrite_member("jpg", lambda content: other)
    return Said(*place, r"^color\.png must follow from the stored image, got 4096 of 4096 pixels")


def _persons(content: bytes) -> Float32Array:
    values: Float32Array = np.load(io.BytesIO(content)).reshape(-1, 17, 3)
    return values


def _has_person(members: Members) -> bool:
    return bool(_persons(members["keypoints.npy"])[..., 2].any())


def _rewrite_keypoints(copy: Copy, change: Callable[[Float32Array], Float32Array]) -> tuple[str, str]:
    """Change the keypoints, (persons, 17, 3), of a sample that shows a person."""

    def changed(content: bytes) -> bytes:
        return encode_member(ArrayMember("keypoints.npy", change(_persons(content)).reshape(-1)))

    return copy.rewrite_member("keypoints.npy", changed, _has_person)


def moved_keypoint(copy: Copy) -> Said:
    def change(keypoints: Float32Array) -> Float32Array:
        keypoints[0, copy.random.randrange(17), copy.random.randrange(2)] += 0.25
        return keypoints

    place = _rewrite_keypoints(copy, change)
    return Said(*place, r"^keypoints\.npy must follow from the stored image, got 1 other numbers, up to 0\.25 away;")


def left_and_right_swapped(copy: Copy) -> Said:
    order = [0, *(index + (1 if index % 2 else -1) for index in range(1, 17))]
    place = _rewrite_keypoints(copy, lambda keypoints: keypoints[:, order])
    return Said(*place, r"^keypoints\.npy must follow from the stored image, got \d+ other numbers, up to ")


def lost_person(copy: Copy) -> Said:
    place = _rewrite_keypoints(copy, lambda keypoints: keypoints[1:])
    return Said(*place, r"^keypoints\.npy must follow from the stored image, got \d+ instead of \d+")


def skeleton_in_bgr(copy: Copy) -> Said:
    def change(content: bytes) -> bytes:
        return encode_png(np.asarray(Image.open(io.BytesIO(content)))[..., ::-1])

    place = copy.rewrite_member("keypose.png", change, _has_person)
    return Said(*place, r"^keypose\.png must follow from the stored image, got \d+ of 4096 pixels")
