"""The small base model: the same bytes for the same settings, and latents and words as a real one has them."""

import pytest
import torch

from stages.hardware.process import torch_threads
from stages.sources.synthetic.scenes import describe_scene, draw_scene
from train.base.config import TinyDiffusionConfig
from train.base.protocol import Prediction
from train.base.stable_diffusion import StableDiffusion, parameters_sha256
from train.base.tiny import TOKENS, UNET_CHANNELS, noise_schedule, scene_words, tiny_parts, word_tokenizer

FIRST_UNSEEN_SCENE = 1000


def test_equal_settings_give_equal_bytes_whatever_the_number_of_threads(tiny_base: StableDiffusion) -> None:
    with torch_threads(1 if torch.get_num_threads() > 1 else 2):
        again = tiny_parts(TinyDiffusionConfig())
    for one, other in zip(again.networks(), tiny_base.parts.networks(), strict=True):
        assert parameters_sha256(one) == parameters_sha256(other)


def test_a_seed_and_a_width_change_the_unet(tiny_base: StableDiffusion) -> None:
    other = tiny_parts(TinyDiffusionConfig(seed=1, width=2, prediction="epsilon"))
    for one, two in zip(other.networks(), tiny_base.parts.networks(), strict=True):
        assert parameters_sha256(one) != parameters_sha256(two)
    assert other.unet.config.block_out_channels == tuple(2 * channels for channels in UNET_CHANNELS)
    assert other.scheduler.config.prediction_type == "epsilon"


def test_building_it_does_not_disturb_other_random_numbers() -> None:
    before = torch.get_rng_state()
    tiny_parts(TinyDiffusionConfig())
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_small(tiny_base: StableDiffusion) -> None:
    parameters = sum(parameter.numel() for network in tiny_base.parts.networks() for parameter in network.parameters())
    assert parameters < 4_000_000


def test_latents_of_scenes_have_mean_zero_and_variance_one(tiny_base: StableDiffusion) -> None:
    scenes = [draw_scene(0, FIRST_UNSEEN_SCENE + index, 64, 64).image_hwc for index in range(32)]
    images = torch.stack([torch.from_numpy(scene) for scene in scenes]).permute(0, 3, 1, 2) / 127.5 - 1
    posterior = tiny_base.encode_images(images)
    latents = posterior.sample(torch.randn(posterior.mean_bchw.shape)) * tiny_base.latent_scale
    for channel in latents.transpose(0, 1).flatten(1):
        assert abs(float(channel.mean())) < 0.25
        assert 0.75 < float(channel.var()) < 1.25
    assert torch.allclose(posterior.log_variance_bchw, torch.tensor(-12.0), atol=1.5)


def test_a_word_of_the_scenes_is_one_token(tiny_base: StableDiffusion) -> None:
    tokenizer = tiny_base.parts.tokenizer
    words = scene_words()
    assert len(words) > 50
    for word in words:
        assert len(tokenizer.tokenize(word)) == 1, word


def test_captions_of_unseen_scenes_are_known_words(tiny_base: StableDiffusion) -> None:
    tokenizer = tiny_base.parts.tokenizer
    captions = [
        caption for index in range(50) for caption in describe_scene(0, FIRST_UNSEEN_SCENE + index, 64, 64).captions
    ]
    for caption in captions:
        tokens = tokenizer(caption).input_ids
        assert tokenizer.decode(tokens, skip_special_tokens=True).replace(" ", "") == caption.lower().replace(" ", "")
        assert len(tokens) < TOKENS


@pytest.mark.parametrize("text", ["zebra", "雪", "A Red CIRCLE"])
def test_any_other_text_is_spelled_out_and_nothing_is_lost(text: str) -> None:
    tokenizer = word_tokenizer(["red", "circle"])
    tokens = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in tokens[1:-1]
    assert tokenizer.decode(tokens, skip_special_tokens=True).strip() == text.lower()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_schedule_is_that_of_stable_diffusion(prediction: Prediction) -> None:
    scheduler = noise_schedule(prediction)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    left = torch.cumprod(1 - betas, 0)
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), left, rtol=1e-5, atol=1e-7)
    assert scheduler.config.prediction_type == prediction
