"""The plain network against the published one, which controlnet_aux ships."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from stages.annotators.sketch.pidinet import fold_pixel_difference, load_pidinet
from stages.errors import WeightsError
from stages.reference.aux_modules import controlnet_aux_module
from stages.weights.store import WeightsFile

SIZES = ((320, 256), (256, 192), (200, 240), (161, 131), (97, 250))
"""(width, height) in pixels, even and odd: pooling drops the last row of an odd map."""


def weights_file(path: Path) -> WeightsFile:
    return WeightsFile(path, sha256="")


def photograph(path: Path, size: tuple[int, int]) -> Tensor:
    """Cut (1, 3, height, width), RGB in [0, 1], out of the middle of a photograph."""
    with Image.open(path) as image:
        left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
        cut = image.convert("RGB").crop((left, top, left + size[0], top + size[1]))
    return torch.from_numpy(np.array(cut)).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def published_path(shared: Path) -> Path:
    return shared / "weights/pidinet/table5_pidinet.pth"


@pytest.fixture(scope="module")
def network(published_path: Path) -> nn.Module:
    return load_pidinet(weights_file(published_path), "cpu", "float32")


@pytest.fixture(scope="module")
def reference(published_path: Path) -> nn.Module:
    """controlnet_aux's network as it is shipped: pixel differences, not converted."""
    published = torch.load(published_path, map_location="cpu", weights_only=True)["state_dict"]
    reference: nn.Module = controlnet_aux_module("pidi.model").pidinet()
    reference.load_state_dict({name.removeprefix("module."): value for name, value in published.items()})
    return reference.eval()


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Tensor]:
    paths = sorted((shared / "data/coco17/train2017").glob("*.jpg"))
    return [photograph(path, size) for path, size in zip(paths, SIZES, strict=False)]


@pytest.mark.parametrize("kind", ["cd", "ad", "rd"])
def test_a_folded_kernel_equals_its_pixel_difference(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 8, 17, 23, generator=generator)
    weight = torch.randn(8, 1, 3, 3, generator=generator)
    difference = controlnet_aux_module("pidi.model").createConvFunc(kind)
    expected = difference(image, weight, padding=1, groups=8)
    folded = fold_pixel_difference(kind, weight)
    torch.testing.assert_close(
        nn.functional.conv2d(image, folded, padding=folded.shape[-1] // 2, groups=8), expected, rtol=0, atol=1e-5
    )


@pytest.mark.weights
@torch.inference_mode()
def test_the_network_equals_the_published_one_on_real_photographs(
    network: nn.Module, reference: nn.Module, photographs: list[Tensor]
) -> None:
    assert len(photographs) == len(SIZES)
    for image in photographs:
        torch.testing.assert_close(network(image), reference(image)[-1], rtol=0, atol=1e-5)


@pytest.mark.weights
@torch.inference_mode()
def test_the_images_are_not_overwritten(network: nn.Module, photographs: list[Tensor]) -> None:
    image = photographs[-1].contiguous(memory_format=torch.channels_last)
    before = image.clone()
    network(image)
    assert torch.equal(image, before)


@pytest.mark.weights
@torch.inference_mode()
def test_a_batch_equals_its_images_one_by_one(network: nn.Module, shared: Path) -> None:
    paths = sorted((shared / "data/coco17/train2017").glob("*.jpg"))[:3]
    images = [photograph(path, (192, 128)) for path in paths]
    one_by_one = torch.cat([network(image) for image in images])
    torch.testing.assert_close(network(torch.cat(images)), one_by_one, rtol=0, atol=1e-5)


@pytest.mark.weights
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_the_gpu_agrees_with_the_published_network(
    published_path: Path, reference: nn.Module, photographs: list[Tensor]
) -> None:
    network = load_pidinet(weights_file(published_path), "cuda", "bfloat16")
    edges = network(photographs[0].cuda()).cpu()
    assert ((edges > 0.5) != (reference(photographs[0])[-1] > 0.5)).float().mean() < 0.002


@pytest.mark.weights
def test_the_weights_of_a_smaller_network_are_refused(shared: Path) -> None:
    path = shared / "weights/pidinet/table5_pidinet-tiny.pth"
    with pytest.raises(WeightsError) as caught:
        load_pidinet(weights_file(path), "cpu", "float32")
    assert str(caught.value) == (
        f"{path} must hold PiDiNet carv4 with 60 channels, whose init_block.weight has shape (60, 3, 3, 3), got"
        " (20, 3, 3, 3) (and 68 more differences); take table5_pidinet.pth"
    )


@pytest.mark.weights
@pytest.mark.parametrize(
    ("removed", "added", "difference"),
    [
        ("module.classifier.bias", "", "classifier.bias has shape (1,), got none (and 0 more differences)"),
        ("", "module.classifier.scale", "classifier.scale has shape none, got (1,) (and 0 more differences)"),
    ],
)
def test_a_missing_or_surplus_tensor_is_named(
    published_path: Path, tmp_path: Path, removed: str, added: str, difference: str
) -> None:
    checkpoint = torch.load(published_path, map_location="cpu", weights_only=True)
    checkpoint["state_dict"].pop(removed, None)
    checkpoint["state_dict"] |= {added: torch.ones(1)} if added else {}
    torch.save(checkpoint, tmp_path / "other.pth")
    with pytest.raises(WeightsError) as caught:
        load_pidinet(weights_file(tmp_path / "other.pth"), "cpu", "float32")
    assert difference in str(caught.value)


@pytest.mark.weights
def test_a_truncated_file_is_refused_by_name(published_path: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes(published_path.read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match=r"truncated\.pth must be a checkpoint that torch reads"):
        load_pidinet(weights_file(truncated), "cpu", "float32")
