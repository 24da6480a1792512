"""Pictures are those of diffusers' own pipeline, and adapters that do nothing change nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, MultiAdapter, StableDiffusionAdapterPipeline
from torch import Tensor, nn

from stages.errors import ConfigError, NonFinitePicture
from train.adapters.spatial import AdapterConfig, build_adapter, compose
from train.base.protocol import Prediction
from train.base.stable_diffusion import Running, StableDiffusion
from train.base.tiny import noise_schedule
from train.sampling.denoise import check_steps, denoise, sample_pictures, starting_noise
from train.sampling.settings import MAX_STEPS, SamplerSettings

CAPTIONS = ["a red circle", "a blue square on the grass"]
STEPS = 2
UNGUIDED, GUIDED = SamplerSettings(STEPS, 1.0), SamplerSettings(STEPS, 7.5)
ROUNDING = 1e-5
"""Of latents, per unit of guidance, which multiplies it."""


@pytest.fixture(scope="module")
def conditions() -> list[Tensor]:
    """A picture for each of two adapters, (captions, channels, height, width) in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(len(CAPTIONS), 3, 64, 128, generator=generator) for _ in range(2)]


@pytest.fixture(scope="module")
def adapters(tiny_base: StableDiffusion) -> list[nn.Module]:
    configs = (AdapterConfig(kind="full", seed=1), AdapterConfig(kind="full", seed=2))
    return [build_adapter(config, 3, tiny_base.feature_shapes).requires_grad_(False) for config in configs]


@pytest.fixture(scope="module")
def features(adapters: list[nn.Module], conditions: list[Tensor]) -> list[list[Tensor]]:
    return [adapter(condition) for adapter, condition in zip(adapters, conditions, strict=True)]


@pytest.fixture(scope="module")
def noise(tiny_base: StableDiffusion) -> Tensor:
    return starting_noise(tiny_base, [0, 1], 128, 64)


def reference(base: StableDiffusion, adapter: nn.Module, prediction: Prediction) -> Callable[..., Tensor]:
    """What diffusers' pipeline makes of noise: latents."""
    parts = base.parts
    pipeline = StableDiffusionAdapterPipeline(
        vae=parts.vae,
        unet=parts.unet,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        adapter=adapter,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type=prediction,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)

    def draw(image: Any, noise: Tensor, steps: int, guidance: float, **options: Any) -> Tensor:
        latents: Tensor = pipeline(
            CAPTIONS,
            image,
            height=64,
            width=128,
            latents=noise,
            num_inference_steps=steps,
            guidance_scale=guidance,
            output_type="latent",
            **options,
        ).images
        return latents

    return draw


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_latents_are_those_of_diffusers_pipeline(
    guidance: float,
    prediction: Prediction,
    tiny_base: StableDiffusion,
    adapters: list[nn.Module],
    conditions: list[Tensor],
    features: list[list[Tensor]],
    noise: Tensor,
) -> None:
    base = with_prediction(tiny_base, prediction)
    draw = reference(base, adapters[0], prediction)
    theirs = draw(conditions[0], noise, STEPS, guidance, negative_prompt=["green"] * 2, adapter_conditioning_scale=0.6)
    weighted = compose([features[0]], [0.6])
    ours = denoise(base, CAPTIONS, noise, weighted, SamplerSettings(STEPS, guidance), negative_caption="green")
    torch.testing.assert_close(ours, theirs, rtol=0, atol=ROUNDING * guidance)
    assert (denoise(base, CAPTIONS, noise, None, SamplerSettings(STEPS, guidance)) - theirs).abs().max() > 1e-2


def with_prediction(base: StableDiffusion, prediction: Prediction) -> StableDiffusion:
    """The same networks with a schedule that calls their output so."""
    parts = base.parts
    scheduler = noise_schedule(prediction)
    return StableDiffusion(
        type(parts)(parts.unet, parts.vae, parts.text_encoder, parts.tokenizer, scheduler), Running()
    )


def test_several_adapters_are_added_as_diffusers_adds_them(
    tiny_base: StableDiffusion,
    adapters: list[nn.Module],
    conditions: list[Tensor],
    features: list[list[Tensor]],
    noise: Tensor,
) -> None:
    weights = [0.75, 0.4]
    draw = reference(tiny_base, MultiAdapter(adapters), "v_prediction")
    theirs = draw(conditions, noise, STEPS, 1.0, adapter_conditioning_scale=weights)
    ours = denoise(tiny_base, CAPTIONS, noise, compose(features, weights), UNGUIDED)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=ROUNDING)


def test_features_are_added_in_the_first_share_of_the_steps(
    tiny_base: StableDiffusion,
    adapters: list[nn.Module],
    conditions: list[Tensor],
    features: list[list[Tensor]],
    noise: Tensor,
) -> None:
    draw, calls = reference(tiny_base, adapters[0], "v_prediction"), 0

    def stop_after_two(unet: nn.Module, arguments: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        nonlocal calls
        calls += 1
        if calls > 2:  # as diffusers' pipeline for SDXL does with its adapter_conditioning_factor
            options = options | {"down_intrablock_additional_residuals": None}
        return arguments, options

    hook = tiny_base.parts.unet.register_forward_pre_hook(stop_after_two, with_kwargs=True)
    theirs = draw(conditions[0], noise, 5, 1.0)
    hook.remove()
    assert calls == 5
    ours = denoise(tiny_base, CAPTIONS, noise, features[0], SamplerSettings(5, 1.0, active_share=0.4))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=ROUNDING)


def test_adapters_that_are_never_active_leave_the_base_alone(
    tiny_base: StableDiffusion, features: list[list[Tensor]], noise: Tensor
) -> None:
    alone = denoise(tiny_base, CAPTIONS, noise, None, GUIDED)
    never = denoise(tiny_base, CAPTIONS, noise, features[0], replace(GUIDED, active_share=0))
    weightless = denoise(tiny_base, CAPTIONS, noise, compose(features, [0.0, 0.0]), GUIDED)
    assert torch.equal(never, alone)
    assert torch.equal(weightless, alone)


def test_the_order_of_adapters_does_not_matter(
    tiny_base: StableDiffusion, features: list[list[Tensor]], noise: Tensor
) -> None:
    def draw(features: Sequence[Sequence[Tensor]], weights: list[float]) -> Tensor:
        return denoise(tiny_base, CAPTIONS, noise, compose(features, weights), UNGUIDED)

    both = draw(features, [1.0, 0.5])
    torch.testing.assert_close(draw(features[::-1], [0.5, 1.0]), both, rtol=0, atol=ROUNDING)
    for number in range(2):
        assert (draw(features[number : number + 1], [1.0]) - both).abs().max() > 1e-2


def test_a_negative_caption_counts_only_with_guidance(tiny_base: StableDiffusion, noise: Tensor) -> None:
    def difference(guidance: float) -> float:
        sampler = SamplerSettings(1, guidance)
        with_it = denoise(tiny_base, CAPTIONS, noise, None, sampler, negative_caption="a red circle")
        return float((with_it - denoise(tiny_base, CAPTIONS, noise, None, sampler)).abs().max())

    assert difference(1.0) == 0
    assert difference(7.5) > 1e-4


def test_every_step_is_told(tiny_base: StableDiffusion, noise: Tensor) -> None:
    told: list[None] = []
    denoise(tiny_base, CAPTIONS, noise, None, UNGUIDED, stepped=lambda: told.append(None))
    assert len(told) == STEPS


def test_no_number_of_steps_begins_beyond_the_last_time_step() -> None:
    scheduler = DDIMScheduler(steps_offset=1)
    last = []
    for steps in (*range(1, MAX_STEPS + 1), MAX_STEPS + 1):
        scheduler.set_timesteps(steps)
        last.append(int(scheduler.timesteps.max()))
    assert max(last[:-1]) == 999
    assert last[-1] == 1000


def test_pictures_are_the_decoded_latents_in_eight_bits(tiny_base: StableDiffusion, noise: Tensor) -> None:
    pictures = sample_pictures(tiny_base, CAPTIONS, noise, None, UNGUIDED)
    assert pictures.shape == (2, 64, 128, 3)
    decoded = tiny_base.decode_latents(denoise(tiny_base, CAPTIONS, noise, None, UNGUIDED))
    assert decoded.abs().max() <= 1
    expected = ((decoded + 1) / 2 * 255).permute(0, 2, 3, 1).numpy()
    assert abs(pictures - expected).max() <= 0.5 + 1e-4


def test_a_seed_gives_its_noise_whatever_is_drawn_with_it(tiny_base: StableDiffusion) -> None:
    together = starting_noise(tiny_base, [3, 4], 128, 64)
    assert together.shape == (2, 4, 8, 16)
    assert torch.equal(together[1:], starting_noise(tiny_base, [4], 128, 64))
    assert not torch.equal(together[0], together[1])
    many = starting_noise(tiny_base, range(64), 128, 64)
    assert abs(float(many.mean())) < 0.02
    assert abs(float(many.std()) - 1) < 0.02


def with_time_steps(base: StableDiffusion, time_steps: int) -> StableDiffusion:
    """The same networks, trained with so many time steps."""
    parts = base.parts
    scheduler = type(parts.scheduler).from_config(parts.scheduler.config, num_train_timesteps=time_steps)
    return StableDiffusion(replace(parts, scheduler=scheduler), Running())


@pytest.mark.parametrize("time_steps", [50, 400, 2000])
def test_the_steps_are_spread_over_the_time_steps_of_the_base(
    time_steps: int, tiny_base: StableDiffusion, noise: Tensor
) -> None:
    base = with_time_steps(tiny_base, time_steps)
    asked: list[int] = []
    hook = base.parts.unet.register_forward_pre_hook(lambda unet, arguments: asked.append(int(arguments[1][0])))
    drawn = denoise(base, CAPTIONS, noise, None, SamplerSettings(4, 1.0))
    hook.remove()
    assert asked == [part * (time_steps // 4) + 1 for part in (3, 2, 1, 0)]
    scheduler = DDIMScheduler.from_config(
        base.parts.scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    scheduler.set_timesteps(4)
    theirs = noise
    with torch.no_grad():
        context = base.encode_captions(CAPTIONS)
        for timestep in scheduler.timesteps:
            predicted = base.predict_noise(theirs, torch.full((2,), int(timestep)), context, None)
            theirs = scheduler.step(predicted, timestep, theirs).prev_sample
    torch.testing.assert_close(drawn, theirs, rtol=0, atol=ROUNDING)


def test_more_steps_than_time_steps_are_refused(tiny_base: StableDiffusion, noise: Tensor) -> None:
    base = with_time_steps(tiny_base, 4)
    with pytest.raises(
        ConfigError, match=r"^--steps must be at most 3 for a base model of 4 time steps, got 4; take fewer$"
    ):
        check_steps(base, 4, "--steps")
    check_steps(base, 3, "--steps")
    assert denoise(base, CAPTIONS, noise, None, SamplerSettings(3, 1.0)).isfinite().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("network", ["unet", "vae"])
def test_a_picture_that_is_not_made_of_numbers_is_no_black_one(
    network: str, value: float, tiny_base: StableDiffusion, noise: Tensor
) -> None:
    last: nn.Module = tiny_base.parts.unet.conv_out if network == "unet" else tiny_base.parts.vae.decoder.conv_out

    def spoil(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        output[-1, :, 0, 0] = value
        return output

    hook = last.register_forward_hook(spoil)
    try:
        with pytest.raises(
            NonFinitePicture,
            match=r"^the picture of seed 1, 'a blue square on the grass', must be finite, got inf or nan in float32; "
            "use the dtype float32 or bfloat16, lower the guidance, or look at the weights of base and adapters$",
        ):
            sample_pictures(tiny_base, CAPTIONS, noise, None, UNGUIDED, names=["seed 0", "seed 1"])
    finally:
        hook.remove()
