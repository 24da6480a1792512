"""Scenes drawn by condset: shapes and small people on a flat ground, with exact captions, label maps and keypoints.

    (seed, index) ──compose──> composition ──describe──> captions, keypoints
                                    └────────rasterise──> image, labels

They are the embedded data set of the quickstart and of the tests, and easy enough to learn for a small diffusion
model. The invariant: a scene is a function of (seed, index) alone, in units of the picture's short side from its
centre: another size shows the same scene, and a longer side shows more of its ground.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.records import Float32Array, UInt8Array
from stages.sources.synthetic.captions import write_captions
from stages.sources.synthetic.composition import ZONES, Boundary, Composition, Zone, compose
from stages.sources.synthetic.figures import Outline, Rgb, keypoints_of, parts_of
from stages.sources.synthetic.shapes import RGB, SHAPE_CATEGORIES

PERSON_CATEGORY = 1
ZONE_CATEGORIES = {Zone.SKY: 157, Zone.GRASS: 124, Zone.SAND: 154, Zone.SEA: 155, Zone.SNOW: 159}
"""The category ids of COCO-Stuff."""

ZONE_RGB: dict[Zone, Rgb] = {
    Zone.SKY: (200, 228, 246),
    Zone.GRASS: (166, 206, 116),
    Zone.SAND: (240, 222, 176),
    Zone.SEA: (98, 180, 208),
    Zone.SNOW: (248, 250, 252),
}

LABELS: dict[int, str] = {
    0: "unlabelled",
    PERSON_CATEGORY: "person",
    **dict(sorted((category, zone.value) for zone, category in ZONE_CATEGORIES.items())),
    **{category: kind.value for kind, category in SHAPE_CATEGORIES.items()},
}
"""Category id to name; every pixel of a label map is one of these."""

FRACTION_BITS = 6
"""OpenCV takes vertices as integers in units of 2**-6 pixel."""


@dataclass(frozen=True, slots=True)
class SceneDescription:
    """What is known of a scene before it is drawn."""

    captions: tuple[str, ...]
    """One to five, all true, each naming every shape and person of the scene; some are not English."""
    keypoints: Float32Array
    """(persons, 17, 3) as COCO orders them: x, y in pixels from the upper left corner; score 1, or 0 outside or hidden.

    Left and right are the person's own."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn scene."""

    image_hwc: UInt8Array
    """(height, width, 3) RGB, antialiased."""
    labels_hw: UInt8Array
    """(height, width) category ids of `LABELS`: what covers the centre of each pixel."""
    keypoints: Float32Array
    captions: tuple[str, ...]
    """Both as in `SceneDescription`."""


def describe_scene(seed: int, index: int, width_pixels: int, height_pixels: int) -> SceneDescription:
    """Return the captions and keypoints of scene `index` at this size without drawing it."""
    return _describe(compose(seed, index), seed, index, width_pixels, height_pixels)


def draw_scene(seed: int, index: int, width_pixels: int, height_pixels: int) -> Scene:
    """Draw scene `index` of `seed` (integers, any) at a size in pixels (from 64 on the short side to be legible)."""
    composition = compose(seed, index)
    description = _describe(composition, seed, index, width_pixels, height_pixels)
    image_hwc, labels_hw = _rasterise(composition, width_pixels, height_pixels)
    return Scene(image_hwc, labels_hw, description.keypoints, description.captions)


def _describe(
    composition: Composition, seed: int, index: int, width_pixels: int, height_pixels: int
) -> SceneDescription:
    short_side, centre = min(width_pixels, height_pixels), complex(width_pixels, height_pixels) / 2
    rows: list[tuple[float, float, float]] = []
    for figure in composition.figures:
        for point, score in keypoints_of(figure.joints, figure.faces_us):
            pixel = centre + short_side * (figure.hips + figure.height * point)
            rows.append((pixel.real, pixel.imag, score))
    keypoints = np.array(rows, np.float32).reshape(-1, 17, 3)
    x, y = keypoints[..., 0], keypoints[..., 1]
    keypoints[..., 2] *= (x >= 0) & (x < width_pixels) & (y >= 0) & (y < height_pixels)
    return SceneDescription(write_captions(composition, seed, index), keypoints)


def _rasterise(composition: Composition, width_pixels: int, height_pixels: int) -> tuple[UInt8Array, UInt8Array]:
    """Paint every layer twice, into the picture with soft edges and into the label map with hard ones.

    Both canvases are `enlargement` times larger. The picture is averaged down. The label map's canvas is shifted so
    that every `enlargement`-th of its pixels is the centre of one of the picture's. OpenCV also fills the pixels that
    an edge runs through: in both, an outline lies about 0.6 / `enlargement` pixel outside of its place.
    """
    import cv2

    short_side, centre = min(width_pixels, height_pixels), complex(width_pixels, height_pixels) / 2
    # Limbs are two pixels thin in a picture of 64: there the edges count, above 256 the time does.
    enlargement = 4 if short_side <= 256 else 2
    size = (enlargement * height_pixels, enlargement * width_pixels)
    ground = ZONES[composition.ground][0]
    canvas_hwc, canvas_hw = np.empty((*size, 3), np.uint8), np.full(size, ZONE_CATEGORIES[ground], np.uint8)
    # Over ten times as fast as assigning a colour to the array.
    cv2.rectangle(canvas_hwc, (0, 0, size[1], size[0]), ZONE_RGB[ground], cv2.FILLED)

    def on_canvas(outlines: list[Outline], offset: complex) -> list[npt.NDArray[np.int32]]:
        pixels = [enlargement * (centre + short_side * outline) - offset for outline in outlines]
        return [np.rint(np.stack([p.real, p.imag], axis=1) * 2**FRACTION_BITS).astype(np.int32) for p in pixels]

    for outlines, rgb, category in _layers(composition, (1 + 1j) / 2 + centre / short_side):
        # OpenCV's whole numbers are the centres of pixels.
        soft, hard = on_canvas(outlines, (1 + 1j) / 2), on_canvas(outlines, (1 + 1j) * enlargement / 2)
        cv2.fillPoly(canvas_hwc, soft, rgb, cv2.LINE_AA, FRACTION_BITS)
        cv2.fillPoly(canvas_hw, hard, category, cv2.LINE_8, FRACTION_BITS)
    labels_hw = np.ascontiguousarray(canvas_hw[::enlargement, ::enlargement])
    while canvas_hwc.shape[0] > height_pixels:
        # Halving twice is five times as fast as one step to a quarter.
        canvas_hwc = _halved(canvas_hwc)
    return canvas_hwc, labels_hw


def _halved(image_hwc: UInt8Array) -> UInt8Array:
    """Average each 2 x 2 pixels into one."""
    import cv2

    height, width, _ = image_hwc.shape
    half_hwc = np.empty((height // 2, width // 2, 3), np.uint8)
    cv2.resize(image_hwc, (width // 2, height // 2), half_hwc, interpolation=cv2.INTER_AREA)
    return half_hwc


def _layers(composition: Composition, corner: complex) -> list[tuple[list[Outline], Rgb, int]]:
    """List what is painted, farthest first; `corner` is beyond the picture's lower right corner."""
    layers = [
        ([_below(boundary, corner)], ZONE_RGB[boundary.zone], ZONE_CATEGORIES[boundary.zone])
        for boundary in composition.boundaries
    ]
    layers += [(shape.outlines(), RGB[shape.colour], SHAPE_CATEGORIES[shape.kind]) for shape in composition.shapes]
    for figure in composition.figures:
        for outline, rgb in parts_of(figure.joints, figure.faces_us, figure.looks):
            layers.append(([figure.hips + figure.height * outline], rgb, PERSON_CATEGORY))
    return layers


def _below(boundary: Boundary, corner: complex) -> Outline:
    """Return the outline of everything below a boundary, 64 vertices to a unit."""
    x = np.linspace(-corner.real, corner.real, 2 + int(128 * corner.real))
    wave = boundary.amplitude * np.sin(2 * np.pi * x / boundary.wavelength + boundary.phase_radians)
    return np.concatenate([x + 1j * (boundary.level + wave), [corner, -corner.conjugate()]])
