"""Which base `--base` and `--variant` choose."""

from pathlib import Path

import pytest

from stages.errors import ConfigError
from train.base.config import (
    AnyDiffusion,
    ScenesDiffusionConfig,
    StableDiffusionConfig,
    TinyDiffusionConfig,
    named_base,
)

OF_RUN = StableDiffusionConfig(model="a/b", revision="main", variant="bf16")


@pytest.mark.parametrize(
    ("name", "variant", "of_run", "chosen"),
    [
        (None, None, None, None),
        (None, "fp16", None, None),
        (None, None, OF_RUN, OF_RUN),
        (None, "fp16", OF_RUN, StableDiffusionConfig(model="a/b", revision="main", variant="fp16")),
        ("c/d", None, OF_RUN, StableDiffusionConfig(model="c/d")),
        ("c/d", "fp16", OF_RUN, StableDiffusionConfig(model="c/d", variant="fp16")),
        ("./scenes", None, OF_RUN, StableDiffusionConfig(model="./scenes")),
        ("scenes", None, OF_RUN, ScenesDiffusionConfig()),
        (None, None, TinyDiffusionConfig(), TinyDiffusionConfig()),
    ],
)
def test_a_name_counts_before_the_runs_own(
    name: str | None, variant: str | None, of_run: AnyDiffusion | None, chosen: AnyDiffusion | None
) -> None:
    said: list[str] = []
    assert named_base(name, variant, None, of_run, said.append) == chosen
    assert not said


def test_a_directory_called_as_the_shipped_one_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenes").mkdir()
    said: list[str] = []
    assert named_base("scenes", None, None, None, said.append) == ScenesDiffusionConfig()
    assert said == ["--base scenes is the model that condset ships; ./scenes would be what lies here under that name"]


@pytest.mark.parametrize(("name", "of_run"), [("scenes", None), (None, TinyDiffusionConfig())])
def test_what_condset_brings_along_has_no_variants(name: str | None, of_run: AnyDiffusion | None) -> None:
    with pytest.raises(ConfigError, match=r"^--variant must be left out with the base (scenes|tiny), got fp16$"):
        named_base(name, "fp16", None, of_run, print)


def test_what_describes_a_file_goes_with_the_file() -> None:
    chosen = named_base("model.ckpt", None, "a/b", None, print)
    assert chosen == StableDiffusionConfig(model="model.ckpt", config="a/b")
    for name in (None, "scenes"):
        with pytest.raises(ConfigError, match=r"^--base-config must go with --base FILE, got a/b; leave it out$"):
            named_base(name, None, "a/b", OF_RUN, print)
