"""The geometry of a sample: which part of the upright original becomes the stored image, for pixels, labels and points.

    original (width x height) ──plan_crop──> Crop ──┬── apply_crop       RGB, antialiased
                                                    ├── crop_labels      category ids, nearest
                                                    └── carry_keypoints  x' = (x - left) * stored_width / box_width

The three follow one mapping, in which coordinates count from the image's left and top edges: the centre of the first
pixel is 0.5. The invariant: a feature of the original lies at one place in the stored image, the label map and the
keypoints.
"""

from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import AfterValidator, BeforeValidator, Field

from stages.records import Crop, Float32Array, UInt8Array
from stages.settings import Settings


def _width_and_height(value: object) -> tuple[int, int]:
    sides = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else ()
    if len(sides) == 2:
        width, height = sides
        if type(width) is int and type(height) is int and min(sides) > 0 and width % 64 == height % 64 == 0:
            return width, height
    raise ValueError(
        f"size_pixels must be [width, height] or one integer for a square, in multiples of 64, got {value!r}; "
        "use for example 512 or [768, 512]"
    )


def _zero_or_at_least_one(value: float) -> float:
    if 0 < value < 1:
        raise ValueError(f"max_aspect_ratio must be 1 or more (long side / short side), got {value}; use 0 for none")
    return value


class ImageConfig(Settings):
    """The `[image]` table: which images are accepted, and how the stored image is made of them."""

    size_pixels: Annotated[tuple[int, int], BeforeValidator(_width_and_height)] = (512, 512)
    """[width, height] of the stored image, or one integer for a square; multiples of 64, the stride of the networks."""

    fit: Literal["center_crop", "squash", "random_crop"] = "center_crop"
    """How another aspect ratio becomes this one: cut the middle, distort, or cut at a place drawn for each sample."""

    format: Literal["jpg", "png"] = "jpg"
    """The stored image's file format; png keeps every pixel and takes three to four times the space."""

    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """Quality of the JPEG, 1 to 100; png has none."""

    min_size_pixels: Annotated[int, Field(ge=0)] = 0
    """An original whose short side is below this is rejected as too_small; 0 accepts all, and enlarges small ones."""

    max_aspect_ratio: Annotated[float, Field(ge=0), AfterValidator(_zero_or_at_least_one)] = 0.0
    """An original whose long side / short side exceeds this is rejected as aspect_ratio; 0 is no limit."""

    max_pixels: Annotated[int, Field(gt=0)] = 178_956_970
    """An original of more pixels is rejected as too_many_pixels before it is decoded, since a small file may claim any
    size (a decompression bomb); the default is Pillow's own limit, half a gigabyte of RGB."""


def plan_crop(width: int, height: int, config: ImageConfig, rng: np.random.Generator) -> Crop:
    """Choose the box of an upright original of `width` x `height` pixels that becomes the stored image.

    center_crop takes the largest box of the stored aspect ratio, in the middle; random_crop one of that size at a place
    drawn from `rng`, each equally likely; squash the whole image. Left and top are whole pixels, so that a box of the
    stored size is copied and not resampled. `rng` is drawn from for random_crop alone.
    """
    stored_width, stored_height = config.size_pixels
    if config.fit == "squash":
        return Crop(width, height, (0.0, 0.0, float(width), float(height)), stored_width, stored_height)
    box_width = min(float(width), height * stored_width / stored_height)
    box_height = min(float(height), width * stored_height / stored_width)
    room_across, room_down = int(width - box_width), int(height - box_height)
    if config.fit == "random_crop":
        left, top = int(rng.random() * (room_across + 1)), int(rng.random() * (room_down + 1))
    else:
        left, top = room_across // 2, room_down // 2
    right, bottom = min(left + box_width, float(width)), min(top + box_height, float(height))  # min: float rounding
    return Crop(width, height, (float(left), float(top), right, bottom), stored_width, stored_height)


def apply_crop(image_hwc: UInt8Array, crop: Crop) -> UInt8Array:
    """Cut the box out of the (height, width, 3) original and resize it to (stored_height, stored_width, 3).

    A box of the stored size is passed through unchanged. Otherwise it is Pillow's bicubic resize, whose kernel widens
    with the reduction (antialiased). Not Lanczos: enlarging a step it ripples on both sides of the edge, which canny
    and sketch may take for further edges, where bicubic overshoots once; and bicubic takes two thirds of the time. No
    reducing_gap and no JPEG draft mode: both change pixels. The result is not to be written to.
    """
    _check_size(image_hwc, crop)
    whole = _whole_pixel_slices(crop)
    if whole is not None:
        return image_hwc[whole]
    size = (crop.stored_width, crop.stored_height)
    return np.asarray(Image.fromarray(image_hwc).resize(size, Image.Resampling.BICUBIC, box=crop.box))


def crop_labels(labels_hw: UInt8Array, crop: Crop) -> UInt8Array:
    """Cut the box out of a (height, width) map of category ids: each stored pixel is the id under its centre.

    Ids are never blended: the mean of two categories is a third one. The result is not to be written to.
    """
    _check_size(labels_hw, crop)
    whole = _whole_pixel_slices(crop)
    if whole is not None:
        return labels_hw[whole]
    size = (crop.stored_width, crop.stored_height)
    return np.asarray(Image.fromarray(labels_hw).resize(size, Image.Resampling.NEAREST, box=crop.box))


def carry_keypoints(keypoints: Float32Array, crop: Crop) -> Float32Array:
    """Carry (persons, 17, 3) keypoints x, y, score of the original over to pixels of the stored image.

    A point that the crop cuts off (outside of [0, stored_width) x [0, stored_height)) gets score 0 and keeps its finite
    coordinates; a point that had score 0 before, which is COCO's "not annotated", becomes (0, 0, 0). So the two can be
    told apart, and who looks at the score alone sees neither.
    """
    left, top, right, bottom = crop.box
    scale_xy = (crop.stored_width / (right - left), crop.stored_height / (bottom - top))
    carried = keypoints.copy()
    carried[..., :2] = (keypoints[..., :2].astype(np.float64) - (left, top)) * scale_xy
    x, y = carried[..., 0], carried[..., 1]
    inside = (x >= 0) & (x < crop.stored_width) & (y >= 0) & (y < crop.stored_height)
    carried[~inside, 2] = 0
    carried[keypoints[..., 2] == 0] = 0
    return carried


def _check_size(pixels: UInt8Array, crop: Crop) -> None:
    height, width = pixels.shape[:2]
    if (width, height) != (crop.original_width, crop.original_height):
        expected = f"{crop.original_width} x {crop.original_height}"
        raise ValueError(f"image to crop must be the original of {expected} pixels, got {width} x {height}")


def _whole_pixel_slices(crop: Crop) -> tuple[slice, slice] | None:
    """Return the rows and columns of a box that needs no resampling, or None."""
    left, top, right, bottom = crop.box
    if not (left.is_integer() and top.is_integer()):
        return None
    if (right - left, bottom - top) != (crop.stored_width, crop.stored_height):
        return None
    return slice(int(top), int(bottom)), slice(int(left), int(right))
