"""Depth against controlnet_aux's MidasDetector: same random weights, same photographs.

The published weights are not beside the checkout. Random ones test the same arithmetic; they are drawn such that the
map has detail and a rounding error is not amplified (residual branches are weak, as in a trained network).
"""

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from stages.annotators.depth.annotator import DepthAnnotator, DepthConfig, flat_depth, quantised, scaled, seen_size
from stages.annotators.depth.midas import load_depth_network
from stages.annotators.protocol import AnnotatorConfig
from stages.errors import WorkerError
from stages.hardware.process import torch_threads
from stages.records import (
    ConditionMembers,
    Crop,
    ImageMember,
    IndexRow,
    LoadedSample,
    Rejection,
    StoredSample,
    UInt8Array,
)
from stages.reference.aux_modules import controlnet_aux_module
from stages.reference.dpt_layers import published_network
from stages.weights.store import WeightsFile, WeightsStore

SIZES = ((64, 128), (128, 64), (128, 128), (64, 192), (192, 128))
"""Height and width in pixels; multiples of 64, to which MidasDetector would round them."""

TOLERANCE = 1e-4
"""Of the range of a map; 1e-6 is usual, other processors sum in another order."""

WEAK_LAYERS = ("norm3.weight", "conv2.weight", "attn.proj.weight", "mlp.fc2.weight")
"""The ends of the residual branches."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def random_weight(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    noise = torch.empty(shape).normal_(generator=generator)
    strength = 0.2 if name.endswith(WEAK_LAYERS) else 1.0
    if name == "scratch.output_conv.4.bias":
        return torch.full(shape, 8.0)  # keeps the last ReLU from cutting off half of the map
    if len(shape) == 1:
        return noise.mul_(0.1).add_(strength if name.endswith("weight") else 0.0)
    return noise.mul_(strength / noise[0].numel() ** 0.5)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeightsFile]:
    """A bare state dict, as dpt_hybrid-midas-501f0c75.pt is; pytest would keep its half gigabyte for three runs."""
    generator = torch.Generator().manual_seed(0)
    shapes = {name: meta.shape for name, meta in published_network().state_dict().items()}
    path = tmp_path_factory.mktemp("midas") / "dpt_hybrid.pt"
    torch.save({name: random_weight(name, shape, generator) for name, shape in shapes.items()}, path)
    yield WeightsFile(path, "")
    path.unlink()


@pytest.fixture(scope="module")
def detector(file: WeightsFile) -> Any:
    """controlnet_aux's MidasDetector with these weights; its class is in the `__init__` that our loader leaves out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api = controlnet_aux_module("midas.api")
        package, file_of_package = str(api.__package__), Path(str(api.__file__)).parent / "__init__.py"
        spec = importlib.util.spec_from_file_location(package, file_of_package)
        assert spec is not None
        assert spec.loader is not None
        midas = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(midas)
        return midas.MidasDetector.from_pretrained(file.path.parent, filename=file.path.name)


@pytest.fixture(scope="module")
def annotator(file: WeightsFile) -> DepthAnnotator:
    return DepthConfig(dtype="float32", weights=str(file.path)).build("cpu", WeightsStore())


@pytest.fixture(scope="module")
def images(shared: Path) -> list[UInt8Array]:
    """Five photographs at the five sizes, RGB."""
    paths = sorted((shared / "data/coco17/val2017").glob("*.jpg"))[:5]
    return [
        np.array(Image.open(path).convert("RGB").resize((width, height)))
        for path, (height, width) in zip(paths, SIZES, strict=True)
    ]


def loaded(image_hwc: UInt8Array, key: str = "key") -> LoadedSample:
    height, width = image_hwc.shape[:2]
    row = IndexRow(key, "", ("",), "", "", width, height, np.zeros((0, 17, 3), np.float32), "", {}, None)
    stored = StoredSample(row, "", b"", b"", Crop(width, height, (0, 0, width, height), width, height))
    return LoadedSample(stored, image_hwc, None, row.keypoints)


def picture(members: ConditionMembers | Rejection) -> Any:
    assert isinstance(members, tuple)
    (member,) = members
    assert isinstance(member, ImageMember)
    assert member.extension == "depth.png"
    return member.pixels


def recipe_input(image_hwc: UInt8Array) -> Tensor:
    return (torch.from_numpy(image_hwc).permute(2, 0, 1).float() / 127.5 - 1.0)[None]


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / (theirs.max() - theirs.min()))


def test_the_networks_map_is_that_of_the_reference(
    annotator: DepthAnnotator, detector: Any, images: list[UInt8Array]
) -> None:
    for image_hwc in images:
        theirs = detector.model(recipe_input(image_hwc))
        assert theirs.shape == (1, *image_hwc.shape[:2])
        assert theirs.std() > 0.05 * (theirs.max() - theirs.min()) > 0
        assert relative_difference(annotator.estimate(image_hwc[None]), theirs) < TOLERANCE


@pytest.mark.slow
def test_the_map_is_that_of_the_reference_at_the_size_of_generation(
    annotator: DepthAnnotator, detector: Any, shared: Path
) -> None:
    paths = sorted((shared / "data/coco17/val2017").glob("*.jpg"))[:2]
    for path, size in zip(paths, [(512, 512), (640, 416)], strict=True):
        image_hwc = np.array(Image.open(path).convert("RGB").resize(size))
        theirs = detector.model(recipe_input(image_hwc))
        assert relative_difference(annotator.estimate(image_hwc[None]), theirs) < TOLERANCE


def test_the_picture_is_that_of_the_reference(
    annotator: DepthAnnotator, detector: Any, images: list[UInt8Array]
) -> None:
    for image_hwc in images[:3]:
        side = min(image_hwc.shape[:2])
        theirs = detector(image_hwc, detect_resolution=side, image_resolution=side)[..., 0]
        ours = picture(annotator([loaded(image_hwc)])[0])
        assert (ours.min(), ours.max()) == (0, 255)
        # The detector truncates 255 p, we round it.
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_batch_of_five_gives_the_maps_of_five_single_images(annotator: DepthAnnotator, shared: Path) -> None:
    paths = sorted((shared / "data/coco17/val2017").glob("*.jpg"))[:5]
    images_bhwc = np.stack([np.array(Image.open(path).convert("RGB").resize((96, 64))) for path in paths])
    together = annotator.estimate(images_bhwc)
    for image_hwc, map_hw in zip(images_bhwc, together, strict=True):
        assert relative_difference(map_hw[None], annotator.estimate(image_hwc[None])) < TOLERANCE
    pictures = [picture(members) for members in annotator([loaded(image_hwc) for image_hwc in images_bhwc])]
    assert all((found.min(), found.max()) == (0, 255) for found in pictures)


def test_images_of_another_size_in_between_change_nothing(annotator: DepthAnnotator, images: list[UInt8Array]) -> None:
    wide, tall = images[0][None], images[1][None]
    before = annotator.estimate(wide)
    annotator.estimate(tall)
    assert torch.equal(annotator.estimate(wide), before)


def test_bfloat16_differs_by_less_than_a_hundredth_of_the_range(
    annotator: DepthAnnotator, file: WeightsFile, images: list[UInt8Array]
) -> None:
    lower = DepthAnnotator(DepthConfig(), load_depth_network(file, "cpu", "bfloat16"), "cpu", "bfloat16")
    exact, rounded = (scaled(each.estimate(images[0][None])) for each in (annotator, lower))
    assert 0 < (exact - rounded).abs().mean() < 0.01
    # The last convolution in float32 leaves no steps of 1/256 of the value.
    assert len(np.unique(rounded.numpy())) > 0.9 * rounded.numel()


def test_the_network_sees_the_resolution_asked_for_and_the_map_has_the_images_size(
    annotator: DepthAnnotator, detector: Any, images: list[UInt8Array]
) -> None:
    image_hwc = images[3]
    config = DepthConfig(resolution_pixels=96)
    ours = DepthAnnotator(config, annotator._network, "cpu", "float32").estimate(image_hwc[None])
    small = functional.interpolate(recipe_input(image_hwc), (96, 288), mode="bicubic", antialias=True)
    theirs = functional.interpolate(detector.model(small)[:, None], (64, 192), mode="bicubic", antialias=True)
    assert relative_difference(ours, theirs[:, 0]) < TOLERANCE


@pytest.mark.parametrize(
    ("image", "resolution_pixels", "seen"),
    [
        ((512, 512), None, (512, 512)),
        ((448, 640), None, (448, 640)),
        ((450, 620), None, (448, 608)),
        ((512, 512), 384, (384, 384)),
        ((768, 512), 384, (576, 384)),
        ((512, 832), 384, (384, 640)),
        ((10, 500), None, (32, 512)),
    ],
)
def test_the_network_sees_multiples_of_32(
    image: tuple[int, int], resolution_pixels: int | None, seen: tuple[int, int]
) -> None:
    assert seen_size(*image, resolution_pixels) == seen


@pytest.mark.parametrize("resolution_pixels", [0, 16, 100, -32])
def test_a_resolution_that_is_no_multiple_of_32_is_refused(resolution_pixels: int) -> None:
    with pytest.raises(ValidationError, match="resolution_pixels"):
        DepthConfig(resolution_pixels=resolution_pixels)


def test_each_map_has_its_own_scale() -> None:
    maps_bhw = torch.tensor([[[1.0, 2.0, 3.0]], [[100.0, 300.0, 200.0]]])
    assert scaled(maps_bhw).tolist() == [[[0.0, 0.5, 1.0]], [[0.0, 1.0, 0.5]]]


def test_levels_are_rounded_not_truncated() -> None:
    scaled_bhw = torch.tensor([[[0.0, 0.3 / 255, 0.7 / 255, 254.6 / 255, 1.0]]])
    assert quantised(scaled_bhw, 8).tolist() == [[[0, 0, 1, 255, 255]]]
    assert quantised(scaled_bhw, 8).dtype == np.uint8
    assert quantised(scaled_bhw, 16).tolist() == [[[0, 77, 180, 65432, 65535]]]
    assert quantised(scaled_bhw, 16).dtype == np.uint16


def test_sixteen_bits_hold_the_map_257_times_as_finely(annotator: DepthAnnotator, images: list[UInt8Array]) -> None:
    image_hwc = images[0]
    fine = DepthAnnotator(DepthConfig(bits=16), annotator._network, "cpu", "float32")
    fine_hw, coarse_hw = (picture(each([loaded(image_hwc)])[0]) for each in (fine, annotator))
    assert fine_hw.dtype == np.uint16
    assert (fine_hw.min(), fine_hw.max()) == (0, 65535)
    assert len(np.unique(fine_hw)) > 1000
    assert np.abs(fine_hw / 257 - coarse_hw).max() <= 0.502


@contextlib.contextmanager
def last_bias(annotator: DepthAnnotator, bias: float) -> Iterator[None]:
    """Have the network give this number everywhere."""
    last = annotator._network.to_depth
    trained = {name: value.clone() for name, value in last.state_dict().items()}
    last.load_state_dict({"weight": torch.zeros_like(trained["weight"]), "bias": torch.full((1,), bias)})
    try:
        yield
    finally:
        last.load_state_dict(trained)


def test_a_constant_map_is_black(annotator: DepthAnnotator, images: list[UInt8Array]) -> None:
    with last_bias(annotator, 3.0):
        found = picture(annotator([loaded(images[0])])[0])
    assert found.shape == (64, 128)
    assert not found.any()


def test_a_map_that_spans_less_than_asked_for_is_rejected(file: WeightsFile, images: list[UInt8Array]) -> None:
    flat = DepthConfig(dtype="float32", weights=str(file.path), min_range=0.05).build("cpu", WeightsStore())
    with last_bias(flat, 3.0):
        assert flat([loaded(images[0], key="17")]) == [flat_depth("17", 0.05, 0.0)]


def test_a_map_that_is_not_finite_stops_the_run(annotator: DepthAnnotator, images: list[UInt8Array]) -> None:
    message = "depth of 17 must be finite, got inf or nan from the network in float32; check the weights file"
    with last_bias(annotator, float("inf")), pytest.raises(WorkerError, match=message):
        annotator([loaded(images[0], key="17")])


def test_annotating_prints_nothing_and_leaves_no_features_behind(
    annotator: DepthAnnotator, images: list[UInt8Array], capfd: pytest.CaptureFixture[str]
) -> None:
    kept: dict[str, Tensor] = controlnet_aux_module("midas.midas.vit").activations
    kept.clear()
    annotator([loaded(images[0])])
    assert not kept
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.slow
def test_the_compiled_network_gives_the_same_map(annotator: DepthAnnotator, images: list[UInt8Array]) -> None:
    compiled = DepthAnnotator(DepthConfig(compile=True), annotator._network, "cpu", "float32")
    image_bhwc = images[3][None]
    assert relative_difference(compiled.estimate(image_bhwc), annotator.estimate(image_bhwc)) < TOLERANCE


def test_its_table_names_one_member_and_one_model() -> None:
    config: AnnotatorConfig = DepthConfig(weights="own.pt", dtype="bfloat16")
    assert (config.spec.extensions, config.models) == (("depth.png",), (("dpt_hybrid", "own.pt"),))
    assert config.resolved_dtype("cpu") == "bfloat16"
