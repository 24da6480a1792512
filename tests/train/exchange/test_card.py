"""The model card: what it says is what the run says, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tests.train.small_runs import write_run
from train.exchange.card import describe, render_card
from train.exchange.read import stored_in_run
from train.exchange.t2i_layout import Layout

METRICS = [
    {"step": 10, "loss": 0.5},
    {"step": 10, "validation/loss": 0.3, "validation/loss_shuffled": 0.35, "validation/loss_without": 0.4},
    {"step": 20, "loss": 0.25},
    {"step": 20, "validation/loss": 0.2, "validation/loss_shuffled": 0.3, "validation/loss_without": 0.4},
]


def card(run: Path, layout: Layout = "diffusers", step: int | None = None, **settings: Any) -> str:
    write_run(run, **settings)
    return render_card(describe(run, stored_in_run(run, step)), layout, "out" if layout == "diffusers" else "out.pth")


def rows(text: str, section: str) -> dict[str, str]:
    """The first table under a heading, without its head."""
    lines = [line for line in text.split(f"## {section}\n")[1].split("\n## ")[0].splitlines() if line.startswith("|")]
    return dict(re.fullmatch(r"\| (.*?) \| (.*) \|", line).groups() for line in lines[2:])  # type: ignore[union-attr,misc]


def front_matter(text: str) -> dict[str, object]:
    return {name: value for name, value in vars(ModelCard(text).data).items() if value is not None}


def test_the_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    assert front_matter(card(tmp_path / "run")) == {
        "license": "other",
        "library_name": "diffusers",
        "base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "tags": ["t2i-adapter", "condset", "sketch"],
    }


def test_a_file_of_the_released_layout_is_not_said_to_be_of_diffusers(tmp_path: Path) -> None:
    assert "library_name" not in front_matter(card(tmp_path / "run", "t2i"))


def test_the_settings_are_the_runs(tmp_path: Path) -> None:
    text = card(
        tmp_path / "run",
        optimizer={"lr": 2e-5, "schedule": "cosine", "warmup_steps": 3},
        objective={"caption_drop": 0.5},
        conditions={"flip": 0.25},
        adapter={"kind": "full", "init": "/home/someone/older.pth"},
    )
    assert rows(text, "Training") == {
        "base model": "stable-diffusion-v1-5/stable-diffusion-v1-5, frozen; sha256 of its UNet's parameters "
        "`0123456789ab`",
        "data sets": "coco17-sketch",
        "started from": "older.pth",
        "steps": "20 of 20",
        "samples seen": "80",
        "batch": "4 samples a step",
        "optimizer": "AdamW, learning rate 2e-05, cosine, 3 steps of warm-up, weight decay 0.01",
        "objective": "mean squared error; time steps cubic, captions dropped for 50%",
        "mirrored": "25% of the samples",
        "weights": "of the last step",
        "seed": "0",
    }
    assert "A T2I adapter (full, 21,624 parameters)" in text


def test_the_losses_are_the_last_ones_up_to_the_exported_step(tmp_path: Path) -> None:
    last = card(tmp_path / "last", metrics=METRICS)
    assert "In training, at step 20: 0.250000." in last
    assert rows(last, "Losses") == {
        "with the sample's own condition": "0.200000",
        "with another sample's condition": "0.300000",
        "of the base model without the adapter": "0.400000",
    }
    earlier = card(tmp_path / "earlier", step=10, metrics=METRICS)
    assert "In training, at step 10: 0.500000." in earlier
    assert rows(earlier, "Losses")["with the sample's own condition"] == "0.300000"


def test_without_metrics_there_is_no_word_of_losses(tmp_path: Path) -> None:
    assert "## Losses" not in card(tmp_path / "run")


def test_no_place_on_the_machine_is_in_the_card(tmp_path: Path) -> None:
    model = tmp_path / "models" / "sd15"
    model.mkdir(parents=True)
    text = card(tmp_path / "run", diffusion={"kind": "stable_diffusion", "model": str(model)})
    assert str(tmp_path) not in text
    assert 'from_pretrained("sd15", adapter=adapter)\n' in text
    assert "base_model" not in text


def test_a_base_with_random_weights_is_not_advertised(tmp_path: Path) -> None:
    text = card(tmp_path / "run", diffusion={"kind": "tiny"})
    assert "Its base has random weights and draws nothing recognisable: this adapter is good for tests only." in text
    assert "```python" not in text


@pytest.mark.parametrize(
    ("conditions", "sentence", "conversion"),
    [
        ({}, "thresholded at 0.5.", '.convert("L").point(lambda value: 255 * (value > 127.5))\n'),
        ({"sketch_threshold": 0.4}, "thresholded at 0.4.", '.convert("L").point(lambda value: 255 * (value > 102))\n'),
        ({"sketch": "random"}, "thresholded at 0.3 to 0.8 at random.", "(lambda value: 255 * (value > 127.5))\n"),
        ({"sketch": "soft"}, "without a threshold.", '.convert("L")\n'),
    ],
)
def test_a_sketch_is_shown_as_it_was_in_training(
    conditions: dict[str, Any], sentence: str, conversion: str, tmp_path: Path
) -> None:
    text = card(tmp_path / "run", conditions=conditions)
    assert sentence in text
    assert conversion in text


def test_a_coloured_condition_is_read_as_colours_and_they_are_named(tmp_path: Path) -> None:
    text = card(tmp_path / "run", in_channels=3, condition="keypose")
    assert "the head is (255, 153, 51), a person's left side (0, 255, 0), the right side (0, 128, 255)" in text
    assert '.convert("RGB")\n' in text
    assert "The adapter sees 3 channels in [0, 1]" in text


def test_a_file_goes_into_the_folders_of_the_programs_that_load_it(tmp_path: Path) -> None:
    text = card(tmp_path / "run", "t2i")
    assert "put `out.pth` into `ComfyUI/models/controlnet/`" in text
    assert '`adapter.init = "out.pth"` and `adapter.kind = "full"`' in text


def test_of_a_tiny_file_the_card_says_that_other_programs_refuse_it(tmp_path: Path) -> None:
    text = card(tmp_path / "run", "t2i", kind="tiny", adapter={"kind": "tiny"})
    assert "ComfyUI and the webui's extension\nexpect a quarter of a scale's channels there, and refuse it" in text
    assert "models/controlnet" not in text
