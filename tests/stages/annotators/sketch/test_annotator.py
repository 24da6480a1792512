"""The sketch annotator against T2I-Adapter's own example and the published network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from stages.annotators.protocol import Annotator, AnnotatorConfig
from stages.annotators.sketch.annotator import SketchConfig
from stages.records import (
    Condition,
    Crop,
    Float32Array,
    ImageMember,
    IndexRow,
    LoadedSample,
    Reason,
    Rejection,
    StoredSample,
    UInt8Array,
)
from stages.reference.aux_modules import controlnet_aux_module
from stages.weights.store import WeightsStore


def loaded(image_hwc: UInt8Array) -> LoadedSample:
    """Wrap pixels as a sample; only the pixels matter to a sketch."""
    height, width = image_hwc.shape[:2]
    no_persons = np.zeros((0, 17, 3), np.float32)
    row = IndexRow("k", "k.jpg", ("a cat",), "", "", width, height, no_persons, "", {}, None)
    crop = Crop(width, height, (0, 0, width, height), width, height)
    image_hwc.flags.writeable = False
    return LoadedSample(StoredSample(row, "a cat", b"", b"", crop), image_hwc, None, no_persons)


def sketches(annotator: Annotator, images: Sequence[UInt8Array]) -> list[UInt8Array]:
    pictures = []
    for members in annotator([loaded(image) for image in images]):
        assert isinstance(members, tuple)
        (member,) = members
        assert isinstance(member, ImageMember)
        assert (member.extension, member.palette) == ("sketch.png", None)
        pictures.append(member.pixels.astype(np.uint8, casting="no"))
    return pictures


@pytest.fixture(scope="module")
def own_weights(shared: Path) -> str:
    return str(shared / "weights/pidinet/table5_pidinet.pth")


@pytest.fixture(scope="module")
def annotator(own_weights: str) -> Annotator:
    return SketchConfig(dtype="float32", weights=own_weights).build("cpu", WeightsStore(allow_network=False))


@pytest.fixture(scope="module")
def cat(shared: Path) -> UInt8Array:
    """T2I-Adapter's example photograph, RGB, 512x512."""
    return np.array(Image.open(shared / "golden/t2i_adapter/edit_cat/im.png").convert("RGB"))


@pytest.fixture(scope="module")
def cat_edges(shared: Path) -> UInt8Array:
    """The edges that T2I-Adapter publishes for it: 0 or 255."""
    return np.array(Image.open(shared / "golden/t2i_adapter/edit_cat/edge.png").convert("L"))


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[UInt8Array]:
    paths = sorted((shared / "data/coco17/train2017").glob("*.jpg"))[:3]
    return [np.array(Image.open(path).convert("RGB"))[:192, :256].copy() for path in paths]


@pytest.fixture(scope="module")
def probabilities(own_weights: str, photographs: list[UInt8Array]) -> list[Float32Array]:
    """What controlnet_aux's network, as shipped, says of the photographs."""
    reference = controlnet_aux_module("pidi.model").pidinet()
    published = torch.load(own_weights, map_location="cpu", weights_only=True)["state_dict"]
    reference.load_state_dict({name.removeprefix("module."): value for name, value in published.items()})
    with torch.inference_mode():
        maps = [
            reference.eval()(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[-1] for image in photographs
        ]
    return [edges[0, 0].numpy() for edges in maps]


@pytest.mark.weights
def test_t2i_adapters_own_example_is_reproduced_to_the_pixel(
    annotator: Annotator, cat: UInt8Array, cat_edges: UInt8Array
) -> None:
    (sketch,) = sketches(annotator, [cat])
    assert sketch.dtype == np.uint8
    assert np.array_equal(sketch > 127, cat_edges > 127)


@pytest.mark.weights
def test_the_channels_are_fed_in_rgb_order(annotator: Annotator, cat: UInt8Array, cat_edges: UInt8Array) -> None:
    (of_bgr,) = sketches(annotator, [cat[:, :, ::-1].copy()])
    # controlnet_aux's detector, which feeds BGR, differs from the example in 2,891 pixels.
    assert np.count_nonzero((of_bgr > 127) != (cat_edges > 127)) > 2000


@pytest.mark.weights
def test_a_binarised_sketch_is_t2i_adapters_own_file(own_weights: str, cat: UInt8Array, cat_edges: UInt8Array) -> None:
    config = SketchConfig(dtype="float32", weights=own_weights, binarize=0.5)
    (sketch,) = sketches(config.build("cpu", WeightsStore(allow_network=False)), [cat])
    assert np.array_equal(sketch, cat_edges)


@pytest.mark.weights
def test_bfloat16_flips_less_than_a_thousandth_of_the_pixels(
    own_weights: str, annotator: Annotator, cat: UInt8Array
) -> None:
    """On a part of the photograph: a processor without bfloat16 takes half a minute for the whole."""
    config, part = SketchConfig(dtype="bfloat16", weights=own_weights), cat[128:320, 128:320].copy()
    (sketch,) = sketches(config.build("cpu", WeightsStore(allow_network=False)), [part])
    (exact,) = sketches(annotator, [part])
    assert np.mean((sketch > 127) != (exact > 127)) < 0.001


@pytest.mark.weights
def test_probabilities_are_rounded_to_the_nearest_level(
    annotator: Annotator, photographs: list[UInt8Array], probabilities: list[Float32Array]
) -> None:
    for sketch, edges in zip(sketches(annotator, photographs), probabilities, strict=True):
        assert np.abs(sketch - edges * 255).max() < 0.501


@pytest.mark.weights
def test_any_threshold_applies_to_the_probability_itself(
    own_weights: str, photographs: list[UInt8Array], probabilities: list[Float32Array]
) -> None:
    config = SketchConfig(dtype="float32", weights=own_weights, binarize=0.3)
    (sketch,) = sketches(config.build("cpu", WeightsStore(allow_network=False)), photographs[:1])
    assert set(np.unique(sketch)) == {0, 255}
    clear = np.abs(probabilities[0] - 0.3) > 1e-5
    assert np.array_equal(sketch[clear] == 255, probabilities[0][clear] > 0.3)


@pytest.mark.weights
def test_a_batch_gives_the_sketches_of_its_images_in_order(annotator: Annotator, photographs: list[UInt8Array]) -> None:
    together = sketches(annotator, photographs)
    singles = [sketch for image in photographs for sketch in sketches(annotator, [image])]
    for sketch, single in zip(together, singles, strict=True):
        assert np.abs(sketch.astype(int) - single).max() <= 1


@pytest.mark.weights
def test_no_images_give_no_sketches(annotator: Annotator) -> None:
    assert annotator([]) == []


@pytest.mark.weights
@pytest.mark.slow
def test_the_compiled_network_gives_the_same_sketch(
    own_weights: str, annotator: Annotator, photographs: list[UInt8Array]
) -> None:
    config = SketchConfig(dtype="float32", weights=own_weights, compile=True)
    compiled = sketches(config.build("cpu", WeightsStore(allow_network=False)), photographs)
    for sketch, eager in zip(compiled, sketches(annotator, photographs), strict=True):
        assert np.abs(sketch.astype(int) - eager).max() <= 1


def test_the_config_says_what_every_sample_gets() -> None:
    config: AnnotatorConfig = SketchConfig(dtype="bfloat16", weights="own.pth")
    assert config.condition is Condition.SKETCH
    assert config.spec.extensions == ("sketch.png",)
    assert config.models == (("pidinet", "own.pth"),)
    assert config.resolved_dtype("cpu") == "bfloat16"


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_must_leave_room_on_both_sides(threshold: float) -> None:
    with pytest.raises(ValidationError, match="binarize"):
        SketchConfig(binarize=threshold)


def test_an_image_without_edges_is_rejected_if_edges_are_asked_for(own_weights: str, cat: UInt8Array) -> None:
    config = SketchConfig(dtype="float32", weights=own_weights, min_edges=0.002)
    blank = np.full((64, 64, 3), 200, np.uint8)
    outcomes = config.build("cpu", WeightsStore(allow_network=False))([loaded(blank), loaded(cat[:256, :256].copy())])
    assert isinstance(outcomes[0], Rejection)
    assert (outcomes[0].key, outcomes[0].reason) == ("k", Reason.NO_EDGES)
    assert outcomes[0].detail.startswith("min_edges wants 0.002 of the pixels to be edges, got ")
    assert isinstance(outcomes[1], tuple)
