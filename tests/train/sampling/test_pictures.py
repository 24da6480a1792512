"""Pictures from files: a seed's own bytes, adapters that add up, and refusals before anything is drawn."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stages.errors import ConfigError, NonFinitePicture, WeightsError
from stages.records import UInt8Array
from tests.train.small_runs import write_run
from tests.train.tiny_runs import random_picture, save_parts, save_picture, write_tiny_run
from train.adapters.spatial import compose
from train.base.stable_diffusion import StableDiffusion
from train.sampling.controls import Control
from train.sampling.denoise import sample_pictures, starting_noise
from train.sampling.pictures import SHEET_PICTURES, SampleJob, parse_size, sample
from train.sampling.settings import SamplerSettings

PROMPT = "a red circle"
STEPS = 2
SAMPLER = SamplerSettings(STEPS, 2.0)


class Workshop:
    """A run for color, one for keypose, their conditions and the base in a directory; drawing takes no options."""

    def __init__(self, folder: Path, base: StableDiffusion) -> None:
        self.folder, self.base = folder, base
        self.adapters: list[nn.Module] = []
        self.controls: list[Control] = []
        for number, condition in enumerate(("color", "keypose")):
            run = folder / condition
            self.adapters.append(write_tiny_run(run, base, condition, averaged=number == 1))
            picture = save_picture(folder / f"{condition}.png", random_picture(number, 128, 64))
            self.controls.append(Control(run, picture))
        self.model = save_parts(base, folder / "model")

    def job(self, out: Path, *controls: Control, **options: Any) -> SampleJob:
        given: dict[str, Any] = {"sampler": SAMPLER, "device": "cpu", "dtype": "float32"}
        return SampleJob(PROMPT, out, controls, **(given | options))

    def expected(
        self, weights: list[float], seed: int, sampler: SamplerSettings = SAMPLER, negative: str = ""
    ) -> UInt8Array:
        """What the sampler gives for the two adapters' features, added by weight."""
        features = []
        for number, adapter in enumerate(self.adapters):
            condition = torch.from_numpy(random_picture(number, 128, 64).transpose(2, 0, 1)[None] / np.float32(255))
            with torch.no_grad():
                features.append(adapter(condition))
        noise = starting_noise(self.base, [seed], 128, 64)
        added = compose(features, weights)
        picture: UInt8Array = sample_pictures(self.base, [PROMPT], noise, added, sampler, negative)[0]
        return picture


@pytest.fixture(scope="module")
def workshop(tiny_base: StableDiffusion, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"), tiny_base)


def pixels(file: Path) -> UInt8Array:
    with Image.open(file) as image:
        return np.asarray(image)


def assert_like(ours: UInt8Array, theirs: UInt8Array) -> None:
    """Equal but for rounding."""
    assert abs(ours.astype(int) - theirs).max() <= 1


def test_pictures_of_a_run_have_their_seeds_and_its_size(workshop: Workshop, tmp_path: Path) -> None:
    steps: list[None] = []
    job = workshop.job(tmp_path / "new" / "out", workshop.controls[0], sampler=replace(SAMPLER, seed=5), count=2)
    drawn = sample(job, print, lambda: steps.append(None))
    assert [file.name for file in drawn.pictures] == ["0000005.png", "0000006.png"]
    assert drawn.sheet == job.out / "sheet-0000005.png"
    assert sorted(job.out.iterdir()) == sorted([*drawn.pictures, drawn.sheet])
    assert len(steps) == 2 * STEPS
    for seed, file in zip((5, 6), drawn.pictures, strict=True):
        assert_like(pixels(file), workshop.expected([1.0, 0.0], seed))
    first, second = map(pixels, drawn.pictures)
    assert not np.array_equal(first, second)

    alone = sample(replace(job, out=tmp_path / "alone", sampler=replace(SAMPLER, seed=6), count=1), print)
    assert alone.pictures[0].read_bytes() == drawn.pictures[1].read_bytes()

    with Image.open(drawn.pictures[1]) as image:
        assert json.loads(image.info["condset"]) == {
            "prompt": PROMPT,
            "negative": "",
            "seed": 6,
            "steps": STEPS,
            "guidance": 2.0,
            "active_share": 1.0,
            "base": "tiny",
            "adapters": [
                {"adapter": str(job.controls[0].adapter), "condition": str(job.controls[0].condition), "weight": 1.0}
            ],
        }
    with Image.open(drawn.sheet) as sheet:  # a column for the condition and one for each picture
        assert sheet.width == 2 * 16 + 3 * 192 + 2 * 8


def test_two_adapters_add_up_with_their_weights(workshop: Workshop, tmp_path: Path) -> None:
    color, keypose = workshop.controls
    controls = (replace(color, weight=0.75), replace(keypose, weight=0.5))
    both = pixels(sample(workshop.job(tmp_path, *controls), print).pictures[0])
    assert_like(both, workshop.expected([0.75, 0.5], 0))
    for single in ([1.0, 0.0], [0.0, 1.0]):
        assert abs(both.astype(int) - workshop.expected(single, 0)).max() > 1


def test_without_weight_or_activity_the_base_is_alone(workshop: Workshop, tmp_path: Path) -> None:
    alone = workshop.job(tmp_path / "alone", base=str(workshop.model), size_pixels=(128, 64))
    weightless = workshop.job(tmp_path / "weightless", replace(workshop.controls[0], weight=0.0))
    never = workshop.job(tmp_path / "never", workshop.controls[0], sampler=replace(SAMPLER, active_share=0.0))
    first, *others = (pixels(sample(job, print).pictures[0]) for job in (alone, weightless, never))
    for other in others:
        assert np.array_equal(other, first)


def test_the_share_and_the_negative_prompt_reach_the_sampler(workshop: Workshop, tmp_path: Path) -> None:
    half = replace(SAMPLER, active_share=0.5)
    job = workshop.job(tmp_path, workshop.controls[0], sampler=half, negative="a blue square")
    expected = workshop.expected([1.0, 0.0], 0, half, negative="a blue square")
    assert_like(pixels(sample(job, print).pictures[0]), expected)


def test_a_run_may_be_drawn_with_a_base_that_is_named(workshop: Workshop, tmp_path: Path) -> None:
    other = tmp_path / "run"
    write_tiny_run(other, workshop.base, diffusion={"kind": "tiny", "seed": 9})
    control = Control(other, workshop.controls[0].condition)
    with pytest.raises(
        ConfigError,
        match=rf"^--adapter {other} must be drawn with the base that it was trained on, "
        rf"{workshop.base.identity[:12]}, got tiny, [0-9a-f]{{12}}; give --base to choose it or another$",
    ):
        sample(workshop.job(tmp_path / "out", control), print)
    assert not (tmp_path / "out").exists()
    named = sample(workshop.job(tmp_path / "out", control, base=str(workshop.model)), print)
    assert_like(pixels(named.pictures[0]), workshop.expected([1.0, 0.0], 0))


def test_a_base_that_does_not_take_the_features_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    write_run(tmp_path / "run", "light", 3, condition="color")
    with pytest.raises(
        ConfigError,
        match=rf"^--adapter {tmp_path}/run must give the features that base {workshop.model} takes, 32/8 64/16 96/32 "
        r"96/64, got 8/8 16/16 16/32 16/64; give the --base that it is for$",
    ):
        sample(
            workshop.job(
                tmp_path / "out", Control(tmp_path / "run", workshop.controls[0].condition), base=str(workshop.model)
            ),
            print,
        )


def test_an_interrupted_call_keeps_what_is_finished(workshop: Workshop, tmp_path: Path) -> None:
    left = iter(range(STEPS))

    def stepped() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(workshop.job(tmp_path, workshop.controls[0], count=3), print, stepped)
    assert [file.name for file in tmp_path.iterdir()] == ["0000000.png"]


def test_a_sheet_shows_only_as_many_pictures_as_fit(workshop: Workshop, tmp_path: Path) -> None:
    one_step, count = SamplerSettings(1, 1.0), SHEET_PICTURES + 1
    drawn = sample(workshop.job(tmp_path, workshop.controls[0], sampler=one_step, count=count), print)
    assert len(drawn.pictures) == SHEET_PICTURES + 1
    with Image.open(drawn.sheet) as sheet:
        assert sheet.width == 2 * 16 + (1 + SHEET_PICTURES) * 200 - 8


@pytest.mark.parametrize("name", ["0000001.png", "sheet-0000000.png"])
def test_no_picture_is_written_over(name: str, workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(
        ConfigError, match=rf"{name} must not be there yet, got an older picture; give another --out or --seed$"
    ):
        sample(workshop.job(tmp_path, workshop.controls[0], count=2), print)
    assert (tmp_path / name).read_bytes() == b"mine"


def test_a_directory_that_cannot_be_made_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(
        ConfigError, match=r"file/0000000\.png must be written, got (File exists|Not a directory); give another --out$"
    ):
        sample(workshop.job(tmp_path / "file", workshop.controls[0], sampler=SamplerSettings(1)), print)


def test_conditions_of_different_sizes_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    square = save_picture(tmp_path / "square.png", random_picture(0))
    controls = (workshop.controls[0], replace(workshop.controls[1], condition=square))
    with pytest.raises(
        ConfigError,
        match=r"^--condition \S+square\.png must have 128x64 pixels as \S+color\.png, got 64x64; "
        r"resize or crop one of them$",
    ):
        sample(workshop.job(tmp_path / "out", *controls), print)


def test_sides_that_the_base_does_not_divide_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    odd = save_picture(tmp_path / "odd.png", random_picture(0, 96, 64))
    with pytest.raises(
        ConfigError,
        match=r"^--condition \S+odd\.png must have sides that are multiples of 64 pixels, got 96x64; "
        r"take another size$",
    ):
        sample(workshop.job(tmp_path, replace(workshop.controls[0], condition=odd)), print)
    with pytest.raises(ConfigError, match=r"^--size must have sides that are multiples of 64 pixels, got 0x64; "):
        sample(workshop.job(tmp_path, base=str(workshop.model), size_pixels=(0, 64)), print)


def test_without_an_adapter_size_and_base_are_asked_for(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^--size must be given if there is no --adapter, got none; give for example --size 512x512$"
    ):
        sample(workshop.job(tmp_path, base=str(workshop.model)), print)
    with pytest.raises(
        ConfigError,
        match=r"^--base must be given where no --adapter is a run's directory, got none; give a Stable Diffusion in "
        r"diffusers' layout: a directory, or a hub id$",
    ):
        sample(workshop.job(tmp_path, size_pixels=(64, 64)), print)


def test_a_size_beside_a_condition_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"^--size must be left out with --adapter, got 64x64; a picture has the size of its condition$",
    ):
        sample(workshop.job(tmp_path, workshop.controls[0], size_pixels=(64, 64)), print)


def test_a_size_is_width_and_height() -> None:
    assert parse_size("768x512") == (768, 512)
    for text in ("512", "x", "512x", "-64x64", "64x64x64", "64.0x64"):
        with pytest.raises(
            ConfigError,
            match=rf"^--size must be WIDTHxHEIGHT in pixels such as 512x512, got '{text}'; correct it$",
        ):
            parse_size(text)


def test_what_of_a_text_is_cut_is_said_once(workshop: Workshop, tmp_path: Path) -> None:
    said: list[str] = []
    long = " ".join(["a red circle"] * 30)  # a token for each word, and one for each end
    job = workshop.job(tmp_path, workshop.controls[0], sampler=SamplerSettings(1), negative=f"{long} circle", count=2)
    sample(replace(job, prompt=long), said.append)
    assert said == [
        "the prompt is cut: its last 15 tokens are more than tiny reads",
        "--negative is cut: its last 16 tokens are more than tiny reads",
    ]


def test_more_steps_than_the_base_has_are_refused_before_anything_is_drawn(workshop: Workshop, tmp_path: Path) -> None:
    model = shutil.copytree(workshop.model, tmp_path / "model")
    file = model / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_train_timesteps": 10}))
    job = workshop.job(tmp_path / "out", base=str(model), size_pixels=(64, 64), sampler=SamplerSettings(10))
    with pytest.raises(ConfigError, match=r"^--steps must be at most 9 for a base model of 10 time steps, got 10; "):
        sample(job, print)
    assert not (tmp_path / "out").exists()


def test_a_picture_that_is_not_made_of_numbers_is_not_written(workshop: Workshop, tmp_path: Path) -> None:
    job = workshop.job(tmp_path, workshop.controls[0], sampler=SamplerSettings(2, math.inf, seed=7))
    with pytest.raises(NonFinitePicture, match=r"^the picture of seed 7, 'a red circle', must be finite, got inf"):
        sample(job, print)
    assert not list(tmp_path.iterdir())


def test_a_base_that_has_only_a_variant_is_drawn_with_by_its_name(workshop: Workshop, tmp_path: Path) -> None:
    for part in ("unet", "vae", "text_encoder"):
        getattr(workshop.base.parts, part).save_pretrained(tmp_path / "model" / part, variant="fp16")
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(workshop.model / part, tmp_path / "model" / part)
    job = workshop.job(tmp_path / "out", base=str(tmp_path / "model"), size_pixels=(64, 64), sampler=SamplerSettings(1))
    with pytest.raises(WeightsError, match=r"got diffusion_pytorch_model\.fp16\.safetensors; name the variant that is"):
        sample(job, print)
    (drawn,) = sample(replace(job, variant="fp16"), print).pictures
    (expected,) = sample(replace(job, base=str(workshop.model), out=tmp_path / "full"), print).pictures
    assert_like(pixels(drawn), pixels(expected))
