"""Latents against diffusers' own encoder, and what is refused."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stages.annotators.latents import LatentsAnnotator, LatentsConfig, read_latents
from stages.errors import ConfigError, WeightsError, WorkerError
from stages.file_hash import file_sha256
from stages.image.encode import encode_member
from stages.records import ArrayMember, Crop, Float16Array, IndexRow, LoadedSample, StoredSample, UInt8Array
from stages.weights.store import WeightsStore
from tests.tiny_autoencoder import CHANNELS, STRIDE, autoencoder, save_autoencoder

HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_autoencoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def annotator(model: Path) -> LatentsAnnotator:
    return build(model)


def build(model: Path, **settings: Any) -> LatentsAnnotator:
    config = LatentsConfig(**{"model": str(model), "dtype": "float32"} | settings)
    return config.build("cpu", WeightsStore(allow_network=False))


def pictures(count: int, height: int = HEIGHT, width: int = WIDTH) -> list[UInt8Array]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8))


def loaded(key: str, image_hwc: UInt8Array) -> LoadedSample:
    """Wrap pixels as a sample; only key and pixels matter to latents."""
    height, width = image_hwc.shape[:2]
    no_persons = np.zeros((0, 17, 3), np.float32)
    row = IndexRow(key, "k.jpg", ("a cat",), "", "", width, height, no_persons, "", {}, None)
    crop = Crop(width, height, (0, 0, width, height), width, height)
    return LoadedSample(StoredSample(row, "a cat", b"", b"", crop), image_hwc, None, no_persons)


def files(annotator: LatentsAnnotator, images: Sequence[UInt8Array]) -> list[bytes]:
    """What the shard stores of each image."""
    stored = []
    for members in annotator([loaded(f"key{number}", image) for number, image in enumerate(images)]):
        assert isinstance(members, tuple)
        (member,) = members
        assert isinstance(member, ArrayMember)
        assert member.extension == "latents.npy"
        stored.append(encode_member(member))
    return stored


def latents(annotator: LatentsAnnotator, image: UInt8Array) -> tuple[Float16Array, Float16Array]:
    return read_latents(files(annotator, [image])[0], CHANNELS, HEIGHT // STRIDE, WIDTH // STRIDE)


def test_mean_and_log_variance_are_those_of_diffusers(model: Path, annotator: LatentsAnnotator) -> None:
    from diffusers import AutoencoderKL
    from diffusers.image_processor import VaeImageProcessor

    (image,) = pictures(1)
    images_bchw = VaeImageProcessor(vae_scale_factor=STRIDE).preprocess(Image.fromarray(image))
    with torch.inference_mode():
        posterior = AutoencoderKL.from_pretrained(model / "vae").encode(images_bchw).latent_dist
    mean, log_variance = latents(annotator, image)
    # float16 rounds to eleven digits; sums of float32 come out otherwise in another memory layout.
    np.testing.assert_allclose(mean, posterior.mean[0].half(), rtol=2**-10, atol=5e-5)
    np.testing.assert_allclose(log_variance, posterior.logvar[0].half(), rtol=2**-10, atol=5e-5)


def test_the_wide_layers_of_a_real_vae_are_those_of_diffusers(tmp_path: Path) -> None:
    """Theirs are convolved by Winograd's algorithm, the few channels of the tiny one directly."""
    wide = autoencoder(seed=0, channels=(128, 128, 128, 128))
    wide.save_pretrained(tmp_path / "vae")
    (image,) = pictures(1)
    images_bchw = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        posterior = wide.encode(images_bchw).latent_dist
    mean, log_variance = latents(build(tmp_path), image)
    np.testing.assert_allclose(mean, posterior.mean[0].half(), rtol=2**-10, atol=5e-5)
    np.testing.assert_allclose(log_variance, posterior.logvar[0].half(), rtol=2**-10, atol=5e-5)


def test_the_batch_does_not_show(annotator: LatentsAnnotator) -> None:
    images = pictures(3)
    assert files(annotator, images) == [files(annotator, [image])[0] for image in images]


def test_the_file_is_a_flat_float16_array_of_means_then_log_variances(annotator: LatentsAnnotator) -> None:
    (content,) = files(annotator, pictures(1))
    values = np.load(io.BytesIO(content), allow_pickle=False)
    assert (values.dtype, values.shape) == (np.float16, (2 * CHANNELS * (HEIGHT // STRIDE) * (WIDTH // STRIDE),))
    mean, log_variance = read_latents(content, CHANNELS, HEIGHT // STRIDE, WIDTH // STRIDE)
    np.testing.assert_array_equal(np.concatenate([mean.ravel(), log_variance.ravel()]), values)


def test_a_file_of_another_length_or_type_is_refused() -> None:
    halves = encode_member(ArrayMember("latents.npy", np.zeros(24, np.float16)))
    with pytest.raises(ValueError, match=r"must be 48 float16 numbers, 2 x 4 x 2 x 3, got 24 float16"):
        read_latents(halves, 4, 2, 3)
    floats = encode_member(ArrayMember("latents.npy", np.zeros(48, np.float32)))
    with pytest.raises(ValueError, match=r"must be 48 float16 numbers, 2 x 4 x 2 x 3, got 48 float32"):
        read_latents(floats, 4, 2, 3)


def test_bfloat16_is_near_and_not_the_same(model: Path, annotator: LatentsAnnotator) -> None:
    (image,) = pictures(1)
    exact, rounded = (latents(each, image)[0].astype(float) for each in (annotator, build(model, dtype="bfloat16")))
    distance = np.sqrt(np.mean((exact - rounded) ** 2) / np.mean(exact**2))
    assert 1e-4 < distance < 0.05


Biases: Any = Callable[[torch.Tensor], object]


def biased(tmp_path: Path, change: Biases) -> LatentsAnnotator:
    """A VAE with other biases in its last convolution, of the means and then of the log variances."""
    vae = autoencoder(0)
    with torch.no_grad():
        change(vae.quant_conv.bias)
    vae.save_pretrained(tmp_path / "vae")
    return build(tmp_path)


def test_log_variances_are_clamped_as_diffusers_does(tmp_path: Path) -> None:
    low_and_high = torch.tensor([-1000.0, 1000.0, -1000.0, 1000.0])
    _, log_variance = latents(biased(tmp_path, lambda bias: bias[CHANNELS:].copy_(low_and_high)), pictures(1)[0])
    assert [set(channel.ravel().tolist()) for channel in log_variance] == [{-30.0}, {20.0}, {-30.0}, {20.0}]


@pytest.mark.parametrize(
    ("channel", "value"), [(0, 1e6), (0, torch.nan), (CHANNELS, torch.inf)], ids=["float16", "nan", "clamped"]
)
def test_what_is_no_number_in_float16_is_an_error_that_names_the_key(
    channel: int, value: float, tmp_path: Path
) -> None:
    with pytest.raises(WorkerError, match=r"latents of key0 must be finite, got inf or nan .* in float32; check the"):
        files(biased(tmp_path, lambda bias: bias[channel].fill_(value)), pictures(1))


def test_a_size_that_the_vae_cannot_divide_is_refused(annotator: LatentsAnnotator) -> None:
    with pytest.raises(ConfigError, match=r"size_pixels must be multiples of 8, the stride of the VAE, got 60x64; use"):
        files(annotator, pictures(1, 64, 60))


def test_float16_is_refused_on_a_cpu(model: Path) -> None:
    with pytest.raises(ConfigError, match="dtype must be float32 or bfloat16 on a CPU, got 'float16'"):
        build(model, dtype="float16")


def test_the_file_of_weights_is_named_with_its_hash(model: Path) -> None:
    ((name, path),) = LatentsConfig(model=str(model)).models
    assert (name, path) == ("vae", str(model / "vae/diffusion_pytorch_model.safetensors"))
    sha256 = file_sha256(model / "vae/diffusion_pytorch_model.safetensors")
    assert WeightsStore(allow_network=False).resolve(name, path).sha256 == sha256


def test_a_vae_without_one_of_its_parameters_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = save_autoencoder(tmp_path) / "vae/diffusion_pytorch_model.safetensors"
    parameters = load_file(path)
    del parameters["quant_conv.weight"]
    save_file(parameters, path)
    with pytest.raises(WeightsError, match=r"must hold every parameter of the VAE .*, got none for quant_conv\.weight"):
        build(tmp_path)


def test_a_damaged_file_of_weights_is_refused(tmp_path: Path) -> None:
    (save_autoencoder(tmp_path) / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"abc")
    with pytest.raises(WeightsError, match=r"vae must hold a VAE that diffusers reads, got OSError: .*; save or"):
        build(tmp_path)
