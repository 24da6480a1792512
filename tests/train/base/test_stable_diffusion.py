"""The frozen base: diffusers' own networks, read from their files, and never changed by training."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.file_hash import file_sha256
from tests.train.conftest import open_reader
from train.adapters.spatial import AdapterConfig, build_adapter
from train.base.caption_cache import CaptionCache
from train.base.config import StableDiffusionConfig
from train.base.protocol import FeatureShape
from train.base.stable_diffusion import Parts, Running, StableDiffusion, load_parts, parameters_sha256
from train.config import OptimizerConfig
from train.data.batch import stack
from train.loop.optimization import Optimization

CAPTIONS = ["a red circle", "a blue square on the grass"]
PREDICTIONS = {"SD1": (None, "epsilon"), "SD2": ("v_prediction", "v_prediction")}


def noisy() -> Tensor:
    return torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(0))


def features_of(base: StableDiffusion, value: float | None = None) -> list[Tensor]:
    """A map for each scale for `noisy`: random, or of one value."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(2, shape.channels, 64 // shape.stride, 128 // shape.stride) for shape in base.feature_shapes]
    return [torch.randn(shape, generator=generator) if value is None else torch.full(shape, value) for shape in shapes]


def predict(base: StableDiffusion, features: list[Tensor] | None) -> Tensor:
    return base.predict_noise(noisy(), torch.tensor([10, 900]), base.encode_captions(CAPTIONS), features)


def hashes(base: StableDiffusion) -> list[str]:
    return [parameters_sha256(network) for network in base.parts.networks()]


def test_features_of_zero_leave_the_prediction_exactly(tiny_base: StableDiffusion) -> None:
    with torch.no_grad():
        alone = predict(tiny_base, None)
        assert torch.equal(predict(tiny_base, features_of(tiny_base, 0.0)), alone)
        assert not torch.equal(predict(tiny_base, features_of(tiny_base, 0.1)), alone)


def test_every_scale_counts(tiny_base: StableDiffusion) -> None:
    with torch.no_grad():
        alone = predict(tiny_base, None)
        for scale in range(4):
            features = features_of(tiny_base, 0.0)
            features[scale] = features[scale] + 1
            assert (predict(tiny_base, features) - alone).abs().max() > 1e-3


def test_features_are_what_diffusers_adds_within_its_blocks(tiny_base: StableDiffusion) -> None:
    features, parts = features_of(tiny_base), tiny_base.parts
    with torch.no_grad():
        theirs = parts.unet(
            noisy(),
            torch.tensor([10, 900]),
            encoder_hidden_states=tiny_base.encode_captions(CAPTIONS),
            down_intrablock_additional_residuals=[feature.clone() for feature in features],
        ).sample
        torch.testing.assert_close(predict(tiny_base, features), theirs, rtol=0, atol=1e-5)


def test_predicting_leaves_the_features_as_they_were(tiny_base: StableDiffusion) -> None:
    features = features_of(tiny_base)
    before = [feature.clone() for feature in features]
    with torch.no_grad():
        predict(tiny_base, features)
    assert all(torch.equal(one, other) for one, other in zip(features, before, strict=True))


def test_gradients_reach_the_features_and_nothing_else(tiny_base: StableDiffusion) -> None:
    features = [feature.requires_grad_() for feature in features_of(tiny_base)]
    predict(tiny_base, features).square().mean().backward()  # type: ignore[no-untyped-call]
    for feature in features:
        assert feature.grad is not None
        assert feature.grad.abs().max() > 0
    for network in tiny_base.parts.networks():
        assert not network.training
        for parameter in network.parameters():
            assert not parameter.requires_grad
            assert parameter.grad is None


def test_a_training_step_changes_the_adapter_and_no_byte_of_the_base(
    tiny_base: StableDiffusion, color_data: Path
) -> None:
    adapter = build_adapter(AdapterConfig(kind="light"), 3, tiny_base.feature_shapes)
    optimization = Optimization(adapter, tiny_base, OptimizerConfig(lr=1e-2), 1)
    read = open_reader([color_data])
    parts = [stack([read(index) for index in range(2)], pin=False)]
    before, adapter_before = hashes(tiny_base), parameters_sha256(adapter)
    assert tiny_base.identity == before[0]
    optimization.accumulate(parts, CaptionCache(tiny_base, 8), 1)
    optimization.apply(1)
    assert hashes(tiny_base) == before
    assert parameters_sha256(adapter) != adapter_before


def test_one_changed_value_changes_the_hash(tiny_base: StableDiffusion) -> None:
    network = copy.deepcopy(tiny_base.parts.text_encoder)
    before = parameters_sha256(network)
    network.double()
    assert parameters_sha256(network) == before
    next(network.parameters()).data.view(-1)[0] += 1e-3
    assert parameters_sha256(network) != before


def test_channels_last_computes_the_same(tiny_base: StableDiffusion) -> None:
    other = StableDiffusion(copy.deepcopy(tiny_base.parts), Running(channels_last=False))
    weights = [base.parts.unet.conv_in.weight for base in (tiny_base, other)]
    assert [weight.is_contiguous(memory_format=torch.channels_last) for weight in weights] == [True, False]
    with torch.no_grad():
        features = features_of(tiny_base)
        torch.testing.assert_close(predict(other, features), predict(tiny_base, features), rtol=0, atol=1e-5)


def test_gradient_checkpointing_computes_twice_and_the_same(tiny_base: StableDiffusion) -> None:
    other = StableDiffusion(copy.deepcopy(tiny_base.parts), Running(gradient_checkpointing=True))
    found: list[list[Tensor | None]] = []
    runs: list[int] = []
    for base in (tiny_base, other):
        calls: list[None] = []
        convolution = base.parts.unet.up_blocks[-1].resnets[0].conv1
        hook = convolution.register_forward_hook(lambda *_, calls=calls: calls.append(None))
        features = [feature.requires_grad_() for feature in features_of(base)]
        predict(base, features).square().mean().backward()  # type: ignore[no-untyped-call]
        hook.remove()
        found.append([feature.grad for feature in features])
        runs.append(len(calls))
    assert runs == [1, 2]
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_it_runs_in_half_precision_and_answers_in_single(tiny_base: StableDiffusion) -> None:
    half = StableDiffusion(copy.deepcopy(tiny_base.parts), Running(dtype=torch.bfloat16))
    assert half.identity == tiny_base.identity
    with torch.no_grad():
        exact, rounded = (predict(base, features_of(tiny_base)) for base in (tiny_base, half))
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 0.1 * exact.abs().max()
    posterior = half.encode_images(torch.zeros(1, 3, 64, 64))
    assert posterior.mean_bchw.dtype == half.decode_latents(posterior.mean_bchw).dtype == torch.float32


def test_images_are_encoded_and_decoded_as_by_diffusers(tiny_base: StableDiffusion) -> None:
    vae = copy.deepcopy(tiny_base.parts.vae)
    vae.register_to_config(scaling_factor=0.5)
    parts = tiny_base.parts
    base = StableDiffusion(Parts(parts.unet, vae, parts.text_encoder, parts.tokenizer, parts.scheduler), Running())
    images = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        theirs = vae.encode(images).latent_dist
        ours = base.encode_images(images)
        torch.testing.assert_close(ours.mean_bchw, theirs.mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.log_variance_bchw, theirs.logvar, rtol=0, atol=1e-5)
        drawn = theirs.sample(torch.Generator().manual_seed(3))
        noise = torch.randn(drawn.shape, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(ours.sample(noise), drawn, rtol=0, atol=1e-5)
        assert base.latent_scale == 0.5
        decoded = vae.decode(drawn).sample.clamp(-1, 1)
        torch.testing.assert_close(base.decode_latents(drawn * 0.5), decoded, rtol=0, atol=1e-5)
    assert ours.mean_bchw.shape == (2, base.latent_channels, 64 // base.latent_stride, 128 // base.latent_stride)


def test_captions_are_encoded_as_by_transformers(tiny_base: StableDiffusion) -> None:
    parts, long = tiny_base.parts, " ".join(["circle"] * 100)
    tokens = parts.tokenizer([*CAPTIONS, "", long], padding="max_length", truncation=True, max_length=77)
    assert all(len(each) == 77 for each in tokens.input_ids)
    with torch.no_grad():
        theirs = parts.text_encoder(torch.tensor(tokens.input_ids)).last_hidden_state
    assert torch.equal(tiny_base.encode_captions([*CAPTIONS, "", long]), theirs)
    assert torch.equal(tiny_base.encode_captions([f"{long} a blue square"]), tiny_base.encode_captions([long]))


@pytest.mark.parametrize("length", [None, 10**6, 77, 12])
def test_a_tokenizer_is_read_to_the_end_of_its_text_encoder(
    length: int | None, own_model: Path, tiny_base: StableDiffusion
) -> None:
    file = own_model / "tokenizer" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings.pop("model_max_length")
    file.write_text(json.dumps(settings | ({} if length is None else {"model_max_length": length})))
    base = StableDiffusion(load_parts(StableDiffusionConfig(model=str(own_model))), Running())
    tokens = min(length or 77, 77)
    assert base.encode_captions([" ".join(["circle"] * 100)]).shape == (1, tokens, 64)
    if tokens == 77:
        assert torch.equal(base.encode_captions(CAPTIONS), tiny_base.encode_captions(CAPTIONS))


@pytest.mark.parametrize(
    ("caption", "cut"), [("", 0), ("a red circle", 0), ("circle " * 75, 0), ("circle " * 76, 1), ("雪" * 100, 225)]
)
def test_what_of_a_caption_is_cut_is_counted(
    caption: str, cut: int, tiny_base: StableDiffusion, caplog: pytest.LogCaptureFixture
) -> None:
    assert tiny_base.tokens_cut(caption) == cut
    tiny_base.encode_captions([caption])
    assert tiny_base.tokens_cut(caption) == cut
    assert not caplog.records


def test_every_scale_of_the_encoder_takes_features(tiny_base: StableDiffusion) -> None:
    assert tiny_base.feature_shapes == tuple(FeatureShape(*each) for each in [(32, 8), (64, 16), (96, 32), (96, 64)])


def test_a_model_made_in_memory_names_no_file(tiny_base: StableDiffusion) -> None:
    assert tiny_base.vae_sha256() is None


def test_a_saved_model_is_read_back_as_the_same(tiny_base: StableDiffusion, model: Path, loaded: Parts) -> None:
    base = StableDiffusion(loaded, Running())
    assert not (model / "safety_checker").exists()
    assert hashes(base) == hashes(tiny_base)
    assert base.feature_shapes == tiny_base.feature_shapes
    assert (base.latent_stride, base.latent_scale) == (tiny_base.latent_stride, tiny_base.latent_scale)
    assert base.prediction == "v_prediction"
    assert torch.equal(base.alphas_cumprod, tiny_base.alphas_cumprod)
    assert base.vae_sha256() == file_sha256(model / "vae" / "diffusion_pytorch_model.safetensors")
    with torch.no_grad():
        assert torch.equal(predict(base, None), predict(tiny_base, None))


@pytest.mark.parametrize("version", PREDICTIONS)
def test_the_schedulers_file_says_what_is_predicted(version: str, own_model: Path, tiny_base: StableDiffusion) -> None:
    written, expected = PREDICTIONS[version]
    config: dict[str, Any] = {  # as the released models have it
        "_class_name": "PNDMScheduler" if version == "SD1" else "DDIMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "trained_betas": None,
        "clip_sample": False,
    }
    config |= {"prediction_type": written} if written else {}
    (own_model / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    base = StableDiffusion(load_parts(StableDiffusionConfig(model=str(own_model))), Running())
    assert base.prediction == expected
    assert torch.equal(base.alphas_cumprod, tiny_base.alphas_cumprod)
