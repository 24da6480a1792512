"""One directory, one run: what decides its result may not change, what decides its speed may."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.config import check_config
from stages.errors import CheckpointError
from stages.records import Condition
from stages.settings import plain
from train.base.config import TinyDiffusionConfig
from train.base.stable_diffusion import Running, StableDiffusion
from train.base.tiny import tiny_parts
from train.config import TrainConfig
from train.data.training_set import open_training_sets
from train.runs.directory import RUN_FILE, RunFile, claim, read_run, run_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS: dict[str, dict[str, object]] = {
    "adapter": {"kind": "light"},
    "diffusion": {"kind": "tiny"},
    "loop": {"max_steps": 100, "batch_size": 4},
}


def config(**changes: dict[str, object]) -> TrainConfig:
    """A run's configuration; keyword arguments are settings of its tables that differ."""
    tables: dict[str, Any] = {"name": "small", "condition": "color"} | SETTINGS
    tables |= {name: SETTINGS.get(name, {}) | table for name, table in changes.items()}
    return check_config(tables, "test", TrainConfig)


def run_file(
    settings: TrainConfig, base: StableDiffusion, data: "Sequence[Path]", workers: int = 1, use_latents: bool = True
) -> RunFile:
    sets = open_training_sets([str(each) for each in data], Condition.COLOR, use_latents)
    return RunFile(
        config=plain(settings),
        inputs=run_inputs(settings, base, sets, workers),
        data=[each.manifest.name for each in sets],
        base=base.identity,
        in_channels=3,
        feature_shapes=[[shape.channels, shape.stride] for shape in base.feature_shapes],
        size_pixels=[64, 64],
        parameters=1,
    )


def test_a_new_directory_is_taken_and_says_what_it_is_a_run_of(
    tiny_base: StableDiffusion, color_data: Path, tmp_path: Path
) -> None:
    file = run_file(config(), tiny_base, [color_data])
    claim(tmp_path / "runs/one", file)
    assert read_run(tmp_path / "runs/one") == file
    assert [path.name for path in (tmp_path / "runs/one").iterdir()] == [RUN_FILE]
    claim(tmp_path / "runs/one", file)


ALLOWED: dict[str, dict[str, dict[str, object]]] = {
    "longer": {"loop": {"max_steps": 200}},
    "accumulated": {"loop": {"batch_size": 2, "accumulation": 2}},
    "threads": {"loop": {"threads": 2}},
    "device": {"loop": {"device": "cpu", "channels_last": False}},
    "memory": {"loop": {"gradient_checkpointing": True, "compile": True, "caption_cache": 0}},
    "lines": {"loop": {"log_every": 1, "checkpoint_every": 5, "checkpoints_kept": 9}},
    "loader": {"loader": {"workers": 1, "ahead": 9}},
    "latents that nobody has": {"loop": {"latents": "never"}},
    "validation": {"validation": {"every": 5, "preview_every": 0, "guidance": 1.0}},
}


@pytest.mark.parametrize("changes", ALLOWED.values(), ids=ALLOWED)
def test_what_decides_only_how_a_run_goes_may_change(
    tiny_base: StableDiffusion, color_data: Path, tmp_path: Path, changes: dict[str, dict[str, object]]
) -> None:
    claim(tmp_path / "run", run_file(config(), tiny_base, [color_data]))
    changed = run_file(config(**changes), tiny_base, [color_data])
    claim(tmp_path / "run", changed)
    assert read_run(tmp_path / "run") == changed


def test_two_workers_may_go_on_with_half_the_batch_each(
    tiny_base: StableDiffusion, color_data: Path, tmp_path: Path
) -> None:
    claim(tmp_path / "run", run_file(config(), tiny_base, [color_data]))
    claim(tmp_path / "run", run_file(config(loop={"batch_size": 2}), tiny_base, [color_data], workers=2))
    with pytest.raises(CheckpointError, match="samples a step 4 there, 8 here"):
        claim(tmp_path / "run", run_file(config(), tiny_base, [color_data], workers=2))


REFUSED: dict[str, tuple[dict[str, dict[str, object]], str]] = {
    "adapter": ({"adapter": {"kind": "tiny"}}, "adapter.kind 'light' there, 'tiny' here"),
    "adapter seed": ({"adapter": {"seed": 1}}, "adapter.seed 0 there, 1 here"),
    "time steps": ({"objective": {"timesteps": "uniform"}}, "objective.timesteps 'cubic' there, 'uniform' here"),
    "drop": ({"objective": {"caption_drop": 0.1}}, "objective.caption_drop 0.0 there, 0.1 here"),
    "flip": ({"conditions": {"flip": 0.5}}, "conditions.flip 0.0 there, 0.5 here"),
    "learning rate": ({"optimizer": {"lr": 1e-4}}, "optimizer.lr 1e-05 there, 0.0001 here"),
    "average": ({"optimizer": {"ema_decay": 0.9}}, "optimizer.ema_decay None there, 0.9 here"),
    "window": ({"loader": {"shuffle_window": 9}}, "loader.shuffle_window 4096 there, 9 here"),
    "batch": ({"loop": {"batch_size": 8}}, "samples a step 4 there, 8 here"),
    "dtype": ({"loop": {"dtype": "bfloat16"}}, "loop.dtype 'auto' there, 'bfloat16' here"),
}


@pytest.mark.parametrize(("changes", "difference"), REFUSED.values(), ids=REFUSED)
def test_another_run_is_refused_with_the_difference(
    tiny_base: StableDiffusion,
    color_data: Path,
    tmp_path: Path,
    changes: dict[str, dict[str, object]],
    difference: str,
) -> None:
    claim(tmp_path / "run", run_file(config(), tiny_base, [color_data]))
    before = (tmp_path / "run" / RUN_FILE).read_bytes()
    with pytest.raises(CheckpointError) as refused:
        claim(tmp_path / "run", run_file(config(**changes), tiny_base, [color_data]))
    assert str(refused.value) == (
        f"{tmp_path}/run must hold this run, got another one ({difference}); give another --out"
    )
    assert (tmp_path / "run" / RUN_FILE).read_bytes() == before


def test_a_schedule_over_the_steps_of_a_run_fixes_their_number(
    tiny_base: StableDiffusion, color_data: Path, tmp_path: Path
) -> None:
    cosine: dict[str, object] = {"schedule": "cosine"}
    claim(tmp_path / "run", run_file(config(optimizer=cosine), tiny_base, [color_data]))
    longer = run_file(config(optimizer=cosine, loop={"max_steps": 200}), tiny_base, [color_data])
    with pytest.raises(CheckpointError, match=r"another one \(loop\.max_steps 100 there, 200 here\)"):
        claim(tmp_path / "run", longer)


def test_other_data_are_refused(tiny_base: StableDiffusion, color_data: Path, wide_data: Path, tmp_path: Path) -> None:
    claim(tmp_path / "run", run_file(config(), tiny_base, [color_data]))
    for data in ([wide_data], [color_data, color_data]):
        with pytest.raises(CheckpointError, match=r"got another one \(data\."):
            claim(tmp_path / "run", run_file(config(), tiny_base, data))


def test_a_run_on_images_does_not_go_on_with_latents(
    tiny_base: StableDiffusion, latents_data: Path, tmp_path: Path
) -> None:
    claim(tmp_path / "run", run_file(config(), tiny_base, [latents_data], use_latents=False))
    with pytest.raises(CheckpointError, match="latents False there, True here"):
        claim(tmp_path / "run", run_file(config(), tiny_base, [latents_data]))


def test_data_that_moved_are_the_same_data(
    tiny_base: StableDiffusion, color_data: Path, own_data: Path, tmp_path: Path
) -> None:
    claim(tmp_path / "run", run_file(config(), tiny_base, [color_data]))
    claim(tmp_path / "run", run_file(config(), tiny_base, [own_data]))


def test_another_base_model_is_refused(tiny_base: StableDiffusion, color_data: Path, tmp_path: Path) -> None:
    claim(tmp_path / "run", run_file(config(), tiny_base, [color_data]))
    other = StableDiffusion(tiny_parts(TinyDiffusionConfig(seed=1)), Running())
    with pytest.raises(CheckpointError, match=rf"base '{tiny_base.identity}' there, '{other.identity}' here"):
        claim(tmp_path / "run", run_file(config(), other, [color_data]))


def test_a_directory_with_something_else_is_left_alone(
    tiny_base: StableDiffusion, color_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / ".hidden").touch()
    with pytest.raises(
        CheckpointError,
        match=rf"^{tmp_path} must be a new directory or a run's, got one with thesis\.tex; give another --out$",
    ):
        claim(tmp_path, run_file(config(), tiny_base, [color_data]))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "thesis.tex"]


def test_hidden_files_are_nothing_else(tiny_base: StableDiffusion, color_data: Path, tmp_path: Path) -> None:
    (tmp_path / ".nfs0001").touch()
    claim(tmp_path, run_file(config(), tiny_base, [color_data]))
    assert (tmp_path / RUN_FILE).is_file()


def test_a_file_is_no_directory(tiny_base: StableDiffusion, color_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(CheckpointError, match=rf"^{tmp_path}/run must be a new directory or a run's, got a file; "):
        claim(tmp_path / "run", run_file(config(), tiny_base, [color_data]))


def test_a_directory_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError,
        match=rf"^{tmp_path}/run\.json must be a run's description, got none; `condset train` makes one$",
    ):
        read_run(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": {}}', "null"])
def test_a_description_that_is_none_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / RUN_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=r"run\.json must be a run's description, got \w+Error\("):
        read_run(tmp_path)


def test_a_description_with_too_much_is_refused(tiny_base: StableDiffusion, color_data: Path, tmp_path: Path) -> None:
    claim(tmp_path, replace(run_file(config(), tiny_base, [color_data]), data=["other"]))
    fields = json.loads((tmp_path / RUN_FILE).read_text())
    (tmp_path / RUN_FILE).write_text(json.dumps(fields | {"more": 1}))
    with pytest.raises(CheckpointError, match=r"got TypeError\(.*more"):
        read_run(tmp_path)
