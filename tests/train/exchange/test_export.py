"""Exports: other programs load them and see what was trained; nothing is overwritten, nothing is half there."""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, T2IAdapter
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from stages.errors import CheckpointError, ConfigError
from tests.train.exchange.released_adapters import released
from tests.train.small_runs import CHANNELS, write_run
from train.base.config import TinyDiffusionConfig
from train.base.tiny import UNET_CHANNELS, tiny_parts
from train.data.conditions import binarise
from train.exchange.export import export_run
from train.exchange.t2i_layout import Layout


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Stable Diffusion in diffusers' layout."""
    parts = tiny_parts(TinyDiffusionConfig())
    scheduler = DDIMScheduler.from_config(parts.scheduler.config, steps_offset=1)
    pipeline = StableDiffusionPipeline(
        parts.vae, parts.text_encoder, parts.tokenizer, parts.unet, scheduler, None, None, None, False
    )
    directory = tmp_path_factory.mktemp("models") / "small-base"
    pipeline.save_pretrained(directory)
    return directory


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes: what a full disk does to a program, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["full", "light", "full_xl"])
def test_diffusers_loads_it_and_gives_the_same_features(kind: str, tmp_path: Path) -> None:
    trained = write_run(tmp_path / "run", kind, 3, condition="depth")
    files = export_run(tmp_path / "run", "diffusers", tmp_path / "out")
    assert [path.name for path in files] == ["README.md", "config.json", "diffusion_pytorch_model.safetensors"]
    loaded = T2IAdapter.from_pretrained(tmp_path / "out")
    picture = torch.rand(1, 3, 64, 64)
    for theirs, ours in zip(loaded(picture), trained(picture), strict=True):
        # Not equal: where in memory the parameters lie decides the order in which some libraries sum.
        torch.testing.assert_close(theirs, ours)


def test_it_is_what_save_pretrained_writes(tmp_path: Path) -> None:
    trained: Any = write_run(tmp_path / "run")
    export_run(tmp_path / "run", "diffusers", tmp_path / "out")
    trained.save_pretrained(tmp_path / "theirs")
    assert (tmp_path / "out" / "config.json").read_bytes() == (tmp_path / "theirs" / "config.json").read_bytes()
    name = "diffusion_pytorch_model.safetensors"
    ours, theirs = load_file(tmp_path / "out" / name), load_file(tmp_path / "theirs" / name)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[each], theirs[each]) for each in theirs)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", ["full", "light", "tiny", "full_xl"])
def test_the_released_network_loads_the_file_and_gives_the_same_features(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    trained = write_run(tmp_path / "run", kind)
    out = tmp_path / f"sketch{suffix}"
    assert export_run(tmp_path / "run", "t2i", out) == [out, tmp_path / f"sketch{suffix}.md"]
    tensors = load_file(out) if suffix == ".safetensors" else torch.load(out, weights_only=True)
    network = released(kind, 1, CHANNELS)
    network.load_state_dict(tensors, strict=True)
    picture = torch.rand(1, 1, 64, 64)
    for theirs, ours in zip(network(picture), trained(picture), strict=True):
        assert torch.equal(theirs, ours)


@pytest.mark.filterwarnings("ignore:The decode_latents method is deprecated:FutureWarning")  # in diffusers' pipeline
def test_the_program_in_the_card_draws_and_shows_the_adapter_what_training_did(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diffusion = {"kind": "stable_diffusion", "model": str(base)}
    trained = write_run(tmp_path / "run", channels=UNET_CHANNELS, diffusion=diffusion)
    out = tmp_path / "out"
    export_run(tmp_path / "run", "diffusers", out)
    stored = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(stored).save(out / "condition.png")
    (out / base.name).symlink_to(base)
    monkeypatch.chdir(out)
    program = (out / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(program, names)
    with Image.open("picture.png") as picture:
        assert picture.size == (64, 64)

    seen: list[Any] = []
    names["adapter"].register_forward_hook(lambda module, inputs, features: seen.append((inputs[0], *features)))
    names["pipeline"]("", image=names["condition"], num_inference_steps=1)
    shown, *features = seen[0]
    condition = torch.from_numpy(binarise(stored, 0.5))[None, None].float() / 255  # train.adapters.features
    assert torch.equal(shown, condition)
    for theirs, ours in zip(
        features, trained(shown), strict=True
    ):  # in its memory format: another one rounds otherwise
        assert torch.equal(theirs, ours)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_equal_adapters_are_equal_bytes_whatever_their_names(suffix: str, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    outs = [tmp_path / f"{number}{suffix}" for number in range(6)]
    for out in outs:
        export_run(tmp_path / "run", "t2i", out)
    assert len({out.read_bytes() for out in outs}) == 1


def test_the_moving_average_is_exported_if_there_is_one(tmp_path: Path) -> None:
    average = write_run(tmp_path / "run", averaged=True, optimizer={"ema_decay": 0.99})
    export_run(tmp_path / "run", "diffusers", tmp_path / "out")
    assert torch.equal(
        T2IAdapter.from_pretrained(tmp_path / "out").adapter.conv_in.weight,
        average.state_dict()["adapter.conv_in.weight"],
    )
    assert "| weights | moving average with decay 0.99 |" in (tmp_path / "out" / "README.md").read_text()


def test_an_earlier_checkpoint_is_exported_on_demand(tmp_path: Path) -> None:
    trained = write_run(tmp_path / "run")
    export_run(tmp_path / "run", "diffusers", tmp_path / "out", step=10)
    earlier = T2IAdapter.from_pretrained(tmp_path / "out")
    assert not torch.equal(earlier.adapter.conv_in.weight, trained.state_dict()["adapter.conv_in.weight"])
    assert "| steps | 10 of 20 |" in (tmp_path / "out" / "README.md").read_text()


def test_the_file_says_its_condition(tmp_path: Path) -> None:
    write_run(tmp_path / "run", in_channels=3, condition="keypose")
    export_run(tmp_path / "run", "t2i", tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "condition": "keypose"}


def test_tiny_has_no_class_in_diffusers(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "tiny")
    with pytest.raises(
        ConfigError,
        match=r"^--format diffusers must have a full, light or full_xl adapter, got tiny, which diffusers has no class "
        "for; use --format t2i$",
    ):
        export_run(tmp_path / "run", "diffusers", tmp_path / "out")


@pytest.mark.parametrize(
    ("layout", "name", "message"),
    [
        (
            "t2i",
            "out.bin",
            r"--out must end in \.pth or \.safetensors for --format t2i, got .*out\.bin; give such a file",
        ),
        ("diffusers", "out.pth", r"--out must be a directory for --format diffusers, got .*out\.pth; leave out \.pth"),
    ],
)
def test_a_name_that_does_not_fit_the_format_is_refused(
    layout: Layout, name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        export_run(tmp_path / "run", layout, tmp_path / name)


@pytest.mark.parametrize(
    ("layout", "out", "existing"),
    [("t2i", "out.pth", "out.pth"), ("t2i", "out.pth", "out.pth.md"), ("diffusers", "out", "out")],
)
def test_nothing_is_overwritten(layout: Layout, out: str, existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(
        ConfigError,
        match=rf"out(\.pth)? must be new, got one where .*{existing} exists; remove it or give another --out$",
    ):
        export_run(tmp_path / "run", layout, tmp_path / out)
    assert (tmp_path / existing).read_text() == "mine"


def test_both_kinds_of_file_lie_beside_each_other_each_with_its_card(run_before: Path, tmp_path: Path) -> None:
    for name in ("x.pth", "x.safetensors", "x.y.pth"):
        assert export_run(run_before, "t2i", tmp_path / name) == [tmp_path / name, tmp_path / f"{name}.md"]
        assert f'"{name}"' in (tmp_path / f"{name}.md").read_text()


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o000])
@pytest.mark.parametrize("name", ["out.pth", "out.safetensors", "out"])
def test_others_may_read_it_as_far_as_the_users_mask_lets_them(
    name: str, umask: int, run_before: Path, tmp_path: Path
) -> None:
    former = os.umask(umask)
    try:
        files = export_run(run_before, "diffusers" if name == "out" else "t2i", tmp_path / name)
    finally:
        os.umask(former)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o666 & ~umask}
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]


@pytest.mark.parametrize(("layout", "name"), [("t2i", "out.pth"), ("t2i", "out.safetensors"), ("diffusers", "out")])
@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_nothing_behind(layout: Layout, name: str, tmp_path: Path, run_before: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"^--out .*{name} must be written, got .*; make room or give another"):
        export_run(run_before, layout, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def run_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was written while there was room."""
    run = tmp_path_factory.mktemp("before") / "run"
    write_run(run)
    return run
