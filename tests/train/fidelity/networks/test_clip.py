"""CLIP-T and CLIP-I, on a random CLIP: the plumbing is what is proven."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.multimodal.clip_score import CLIPScore

from stages.weights.catalogue import MODELS
from stages.weights.store import WeightsFile
from tests.train.fidelity.disturbances import scene
from tests.train.fidelity.tiny_networks import CAPTIONS, tiny_clip
from train.fidelity.networks import clip
from train.fidelity.networks.clip import Clip, open_clip, vit_l14

DRAWN = [scene(index, 48) for index in range(4)]
REAL = [scene(index, 40) for index in range(4, 8)]


@pytest.fixture(scope="module")
def tiny() -> Clip:
    return tiny_clip()


def library_inputs(tiny: Clip, **data: Any) -> Any:
    from transformers import CLIPProcessor

    return CLIPProcessor(tiny.image_processor, tiny.tokenizer)(**data, return_tensors="pt", padding=True)


def test_clip_t_is_what_transformers_multiplies_to_logits(tiny: Clip) -> None:
    of_captions, _ = tiny.similarities(DRAWN, REAL, CAPTIONS)
    with torch.inference_mode():
        outputs = tiny.network(**library_inputs(tiny, images=DRAWN, text=list(CAPTIONS)))
    expected = outputs.logits_per_image.diag() / tiny.network.logit_scale.exp()
    assert of_captions == pytest.approx(expected.tolist(), abs=1e-6)
    assert len({round(each, 3) for each in of_captions}) == len(CAPTIONS)


def test_clip_i_is_the_cosine_of_transformers_embeddings(tiny: Clip) -> None:
    _, of_pictures = tiny.similarities(DRAWN, REAL, CAPTIONS)
    with torch.inference_mode():
        drawn, real = (
            tiny.network.get_image_features(**library_inputs(tiny, images=images)).pooler_output.double().numpy()
            for images in (DRAWN, REAL)
        )
    expected = (drawn * real).sum(1) / np.linalg.norm(drawn, axis=1) / np.linalg.norm(real, axis=1)
    assert of_pictures == pytest.approx(expected, abs=1e-6)
    assert max(of_pictures) < 0.999


class AsBefore:
    """A CLIP whose embeddings are tensors, as torchmetrics 1.9 expects them and transformers 5 no longer gives them."""

    def __init__(self, network: Any) -> None:
        self.network, self.config = network, network.config

    def to(self, device: torch.device) -> "AsBefore":
        return self

    def get_image_features(self, pixels: torch.Tensor) -> Any:
        return self.network.get_image_features(pixels).pooler_output

    def get_text_features(self, tokens: torch.Tensor, mask: torch.Tensor) -> Any:
        return self.network.get_text_features(tokens, mask).pooler_output


def test_the_means_are_torchmetrics_clip_scores(tiny: Clip) -> None:
    from transformers import CLIPProcessor

    processor = CLIPProcessor(tiny.image_processor, tiny.tokenizer)
    drawn, real = ([torch.from_numpy(image).permute(2, 0, 1) for image in images] for images in (DRAWN, REAL))
    targets: list[Any] = [list(CAPTIONS), real]
    for found, target in zip(tiny.similarities(DRAWN, REAL, CAPTIONS), targets, strict=True):
        library = CLIPScore(model_name_or_path=lambda: (AsBefore(tiny.network), processor))
        with torch.inference_mode():
            library.update(drawn, target)
            expected = float(library.compute())
        assert expected > 0  # it takes 0 for less
        assert 100 * np.mean(found) == pytest.approx(expected, rel=1e-4)


def test_a_picture_is_like_itself(tiny: Clip) -> None:
    assert tiny.similarities(DRAWN, DRAWN, CAPTIONS)[1] == pytest.approx([1.0] * 4)


def test_pictures_may_be_read_only_as_pillow_gives_them(tiny: Clip) -> None:
    frozen = [np.asarray(Image.fromarray(image)) for image in DRAWN]
    assert not any(image.flags.writeable for image in frozen)
    assert tiny.similarities(frozen, REAL, CAPTIONS) == tiny.similarities(DRAWN, REAL, CAPTIONS)


def test_a_caption_that_is_too_long_is_cut_off(tiny: Clip) -> None:
    long = "red " * 200
    (one, same), _ = tiny.similarities(DRAWN[:1] * 2, REAL[:2], [long, long + "circle"])
    assert one == same


def test_the_described_network_is_as_large_as_the_published_file() -> None:
    from transformers import CLIPModel

    with torch.device("meta"):
        network = CLIPModel(vit_l14())
    assert sum(parameter.numel() for parameter in network.parameters()) == 427_616_513
    tensors = [*network.parameters(), *network.buffers()]
    size_bytes = MODELS[clip.MODEL].size_bytes
    assert size_bytes is not None
    assert 0 < size_bytes - sum(tensor.nbytes for tensor in tensors) < 100_000  # the header, with the names


@pytest.fixture
def opened(tiny: Clip, tmp_path: Path) -> Clip:
    """The tiny CLIP, read back from files as the hub has them."""
    tiny.network.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    files = WeightsFile(tmp_path / "model.safetensors", ""), WeightsFile(tmp_path / "tokenizer.json", "")
    return open_clip(*files, "cpu", tiny.network.config)


def test_it_is_read_from_the_files_of_the_hub(tiny: Clip, opened: Clip) -> None:
    assert not opened.network.training
    captions = [*CAPTIONS[:3], "red " * 200]
    assert opened.similarities(DRAWN, REAL, captions) == tiny.similarities(DRAWN, REAL, captions)


def test_pictures_are_prepared_as_openai_does(opened: Clip) -> None:
    """Against their transform: bicubic to 224, their mean and deviation."""
    picture = scene(0, 512)
    pixels = opened.image_processor([picture], return_tensors="pt")["pixel_values"][0]
    small_hwc = np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BICUBIC)) / 255
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = ((small_hwc - mean) / deviation).transpose(2, 0, 1)
    assert np.abs(pixels.numpy() - expected).mean() < 0.005
