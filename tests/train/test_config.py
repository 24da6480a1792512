"""The configurations that come with condset load, and say what the paper's recipes say."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PrepareConfig, load_config
from stages.errors import ConfigError
from stages.sources.synthetic.source import SyntheticSource
from train.config import TrainConfig
from train.scene_base.recipe import BaseRecipe

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = sorted((CONFIGS / "train").glob("*.toml"))
STEPS = {"sketch": 154_109, "segmentation": 154_109, "keypose": 750_000, "color": 750_000, "depth": 750_000}
"""Ten epochs in batches of eight: of the 123,287 captioned images of COCO 2017, or of 600,000 pairs."""


def load(path: Path, *overrides: str) -> TrainConfig:
    return load_config(path, overrides, TrainConfig)


def test_there_is_a_recipe_for_each_condition_of_the_paper() -> None:
    assert [path.stem for path in RECIPES] == sorted(STEPS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_the_papers(path: Path) -> None:
    config = load(path)
    assert config.name == config.condition == path.stem
    assert config.adapter.kind == ("light" if path.stem == "color" else "full")
    assert config.diffusion.kind == "stable_diffusion"
    assert config.diffusion.model == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert (config.objective.timesteps, config.objective.caption_drop) == ("cubic", 0.0)
    optimizer, loop = config.optimizer, config.loop
    assert (optimizer.lr, optimizer.betas, optimizer.weight_decay) == (1e-5, (0.9, 0.999), 0.01)
    assert (optimizer.schedule, optimizer.warmup_steps, optimizer.ema_decay) == ("constant", 0, None)
    assert (loop.batch_size * loop.accumulation, loop.max_steps) == (8, STEPS[path.stem])
    assert config.conditions.flip == 0


@pytest.mark.parametrize(("stem", "samples"), [("sketch", 123_287), ("depth", 600_000)])
def test_the_steps_are_ten_epochs(stem: str, samples: int) -> None:
    loop = load(CONFIGS / f"train/{stem}.toml").loop
    assert loop.max_steps * loop.batch_size / samples == pytest.approx(10, abs=1e-4)


def test_the_sketch_is_binarised_at_one_half() -> None:
    conditions = load(CONFIGS / "train/sketch.toml").conditions
    assert (conditions.sketch, conditions.sketch_threshold) == ("fixed", 0.5)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_data_and_the_model_that_a_recipe_names_are_there(path: Path) -> None:
    text = path.read_text()
    named = next(word for word in text.split() if word.startswith("configs/prepare/")).rstrip(".;,")
    assert (CONFIGS.parent / named).is_file()
    assert "condset encode DATASET --model stable-diffusion-v1-5/stable-diffusion-v1-5" in text


def test_the_recipe_of_the_small_base_model_trains_on_other_scenes_than_the_quickstart() -> None:
    recipe = load_config(CONFIGS / "base/scenes.toml", [], BaseRecipe)
    data = load_config(CONFIGS / "quickstart/data.toml", [], PrepareConfig).source
    assert isinstance(data, SyntheticSource)
    assert data.seed == recipe.seed
    assert data.first + 10 * data.count < recipe.first_scene


def test_the_quickstart_trains_on_the_small_base_model() -> None:
    config = load(CONFIGS / "quickstart/train.toml")
    assert (config.diffusion.kind, config.condition) == ("scenes", "canny")
    assert config.loop.max_steps * config.loop.batch_size <= 10_000


def test_a_recipe_can_be_split_over_four_gpus() -> None:
    assert load(CONFIGS / "train/color.toml", "loop.batch_size=2").loop.batch_size == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.max_step=1", r"loop\.max_step is not a setting; compare its spelling with the settings beside it"),
        ("loop.max_steps=0", r"loop\.max_steps: Input should be greater than or equal to 1, got '0'"),
        ("condition=latents", "condition must be one that an adapter is trained on, got 'latents'; latents are images"),
        ("condition=scribble", r"condition: Input should be 'sketch', .*, got 'scribble'"),
        ("adapter.kind=huge", r"adapter\.kind: Input should be 'full', 'light', 'tiny' or 'full_xl', got 'huge'"),
        ("adapter.in_channels=2", r"adapter\.in_channels: Input should be 1 or 3, got '2'"),
        ("objective.caption_drop=1.5", r"objective\.caption_drop: Input should be less than or equal to 1, got '1\.5'"),
        ("conditions.sketch_threshold=0", r"conditions\.sketch_threshold: Input should be greater than 0, got '0'"),
        ("optimizer.lr=0", r"optimizer\.lr: Input should be greater than 0, got '0'"),
        ("diffusion.kind=sdxl", r"diffusion: .*'stable_diffusion', 'tiny', 'scenes'"),
        ("name='a b'", r"name: String should match pattern"),
    ],
)
def test_a_setting_that_cannot_be_is_named(override: str, message: str) -> None:
    path = CONFIGS / "train/sketch.toml"
    with pytest.raises(ConfigError, match=rf"^{path} .*{message}"):
        load(path, override)


@pytest.mark.parametrize("missing", ["condition", "loop", "diffusion"])
def test_what_has_no_default_must_be_given(missing: str, tmp_path: Path) -> None:
    import tomllib

    tables: dict[str, Any] = tomllib.loads((CONFIGS / "train/depth.toml").read_text())
    del tables[missing]
    from pipeline.config import check_config

    with pytest.raises(ConfigError, match=rf"^test {missing} is missing$"):
        check_config(tables, "test", TrainConfig)
