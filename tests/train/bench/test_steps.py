"""The bench of training in small: what it measures, and that its contenders compute the same thing."""

import json

import pytest
import torch

from tests.console import condset
from train.base.stable_diffusion import Parts
from train.base.tiny import scene_words, word_tokenizer
from train.bench.models import ModelName, bench_parts, build_text_encoder, build_unet, build_vae
from train.bench.steps import WARM_UP_STEPS, LoopName, Measured, StepSetting, make_inputs, measure, summarised

SETTING = StepSetting(ModelName.TINY, size_pixels=64, batch_size=2, steps=2, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[LoopName, Measured]:
    scratch = tmp_path_factory.mktemp("bench")
    make_inputs(SETTING, scratch)
    return {contender: measure(SETTING, scratch, contender) for contender in LoopName}


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_only_the_timed_steps_are_reported_and_all_losses(measured: dict[LoopName, Measured]) -> None:
    for each in measured.values():
        assert len(each.step_seconds) == SETTING.steps
        assert min(each.step_seconds) > 0
        assert len(each.losses) == WARM_UP_STEPS + SETTING.steps
        assert each.peak_memory_bytes > 50 * 10**6


def test_our_losses_are_those_of_the_plain_diffusers_loop(measured: dict[LoopName, Measured]) -> None:
    plain = measured[LoopName.PLAIN].losses
    assert len(set(plain)) == len(plain)
    assert measured[LoopName.IMAGES].losses == pytest.approx(plain, rel=1e-4)


def test_cached_latents_change_losses_by_their_rounding_only(measured: dict[LoopName, Measured]) -> None:
    assert measured[LoopName.LATENTS].losses == pytest.approx(measured[LoopName.IMAGES].losses, rel=1e-3)
    assert measured[LoopName.REMEMBERED].losses == measured[LoopName.LATENTS].losses


def test_a_step_is_counted_forward_and_backward_and_without_what_is_cached(
    measured: dict[LoopName, Measured],
) -> None:
    images, latents, remembered = (
        measured[each].step_flops for each in (LoopName.IMAGES, LoopName.LATENTS, LoopName.REMEMBERED)
    )
    assert images > latents > remembered > 0


def test_the_table_compares_the_median_steps_of_the_rounds_with_the_plain_loop() -> None:
    rounds = {
        LoopName.PLAIN: [Measured([4.0, 2.0, 2.0], [1.0], 10, 40), Measured([8.0], [0.5], 30, 40)],
        LoopName.LATENTS: [Measured([1.0, 1.0], [1.0], 7, 20), Measured([4.0], [1.0], 9, 20)],
    }
    bench = summarised(rounds, SETTING, rounds=2, rate=100.0)
    plain, latents = bench.table.rows
    assert (plain.name, plain.images_per_second, plain.ratio) == ("plain diffusers loop", 2 / 5, 1)
    assert (latents.images_per_second, latents.ratio, latents.ratio_by_round) == (2 / 2.5, 2, (2, 2))
    assert plain.limit_share == pytest.approx(40 / 100 / 5)
    assert latents.limit_share == pytest.approx(20 / 100 / 2.5)
    assert bench.peak_memory_bytes == {LoopName.PLAIN: 20, LoopName.LATENTS: 8}
    assert bench.losses[LoopName.PLAIN] == [1.0]
    assert bench.table.title == (
        "tiny with random weights, color of drawn scenes at 64x64, batch 2, float32, "
        f"{torch.get_num_threads()} threads, 2 rounds of 2 steps"
    )
    assert bench.lines(100)[-2:] == [
        "  100 images take 2.1 minutes on this machine",
        "  GB at most: plain diffusers loop 0.00; condset, cached latents 0.00",
    ]


def test_the_networks_have_the_sizes_of_stable_diffusion() -> None:
    with torch.device("meta"):
        networks = build_unet(1), build_vae(), build_text_encoder(word_tokenizer(scene_words()))
    assert [parameters(network) for network in networks] == [859_520_964, 83_653_863, 123_060_480]


def test_the_half_wide_model_fits_together() -> None:
    with torch.device("meta"):
        unet = build_unet(2)
    assert parameters(unet) == 219_789_284
    assert unet.config.block_out_channels == (160, 320, 640, 640)


def test_equal_names_give_equal_weights() -> None:
    def weight(parts: Parts) -> torch.Tensor:
        tensor: torch.Tensor = parts.unet.conv_in.weight
        return tensor

    assert torch.equal(weight(bench_parts(ModelName.TINY)), weight(bench_parts(ModelName.TINY)))


@pytest.mark.slow
def test_the_command_prints_figures_for_machines() -> None:
    arguments = ["--model", "tiny", "--size", "64", "--batch", "2", "--steps", "2", "--rounds", "1", "--device", "cpu"]
    status, printed, _ = condset("bench", "train", *arguments, "--json")
    assert status == 0
    (result,) = json.loads(printed)
    assert result["setting"]["model"] == "tiny"
    assert [row["name"] for row in result["rows"]] == list(LoopName)
    assert result["title"].startswith("tiny with random weights, ")
    plain = result["rows"][0]["images_per_second"]
    for row in result["rows"]:
        assert row["images_per_second"] == pytest.approx(plain * row["ratio"])
        assert row["limit_share"] > 0
        assert result["peak_memory_bytes"][row["name"]] > 50 * 10**6
    assert result["seconds_for_images"] == pytest.approx(600_000 / result["rows"][-1]["images_per_second"])
