"""A base in one file is the very model that was saved, whatever the file is called; what it lacks is said."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from stages.errors import WeightsError
from tests.train.base.one_file import in_one_file
from train.base.config import StableDiffusionConfig
from train.base.load import load_base
from train.base.single_file import WIDTH
from train.base.stable_diffusion import parameters_sha256

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion


@pytest.fixture(scope="module")
def tensors(tiny_base: "StableDiffusion") -> Mapping[str, Tensor]:
    return in_one_file(tiny_base.parts)


@pytest.fixture(scope="module")
def description(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's directory without its weights."""
    return Path(
        shutil.copytree(
            model, tmp_path_factory.mktemp("description") / "model", ignore=shutil.ignore_patterns("*.safetensors")
        )
    )


def write(path: Path, tensors: Mapping[str, Tensor]) -> StableDiffusionConfig:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save({"state_dict": dict(tensors), "global_step": 470000}, path)
    return StableDiffusionConfig(model=str(path))


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_it_is_the_model_that_was_saved(
    name: str,
    tensors: Mapping[str, Tensor],
    description: Path,
    tiny_base: "StableDiffusion",
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = write(tmp_path / name, tensors).model_copy(update={"config": str(description)})
    base = load_base(config, "cpu", "float32")
    for ours, theirs in zip(base.parts.networks(), tiny_base.parts.networks(), strict=True):
        assert parameters_sha256(ours) == parameters_sha256(theirs)
    assert (base.identity, base.prediction) == (tiny_base.identity, tiny_base.prediction)
    assert base.vae_sha256() is not None
    captions = ["a red circle"]
    assert torch.equal(base.encode_captions(captions), tiny_base.encode_captions(captions))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("lost", "part"),
    [
        ("model.diffusion_model.out.2.weight", "unet"),
        ("first_stage_model.decoder.conv_out.bias", "vae"),
        ("cond_stage_model.transformer.text_model.final_layer_norm.weight", "text_encoder"),
    ],
)
def test_parameters_that_it_lacks_are_not_made_up(
    lost: str, part: str, tensors: Mapping[str, Tensor], description: Path, tmp_path: Path
) -> None:
    lacking = {name: tensor for name, tensor in tensors.items() if name != lost}
    config = write(tmp_path / "model.safetensors", lacking).model_copy(update={"config": str(description)})
    with pytest.raises(WeightsError, match=f"describes, got ValueError: parameters of the {part} are missing; set "):
        load_base(config, "cpu", "float32")


def test_a_schedule_that_is_not_ddpms_is_refused_here_too(
    tensors: Mapping[str, Tensor], description: Path, tmp_path: Path
) -> None:
    described = shutil.copytree(description, tmp_path / "described")
    file = described / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"_class_name": "FlowMatchEulerDiscreteScheduler"}))
    config = write(tmp_path / "model.safetensors", tensors).model_copy(update={"config": str(described)})
    with pytest.raises(WeightsError, match="scheduler FlowMatchEulerDiscreteScheduler which has no betas"):
        load_base(config, "cpu", "float32")


def test_a_file_that_is_no_stable_diffusion_1_must_be_described(tmp_path: Path, tensors: Mapping[str, Tensor]) -> None:
    asked = (
        "; set diffusion.config \\(--base-config\\) to a directory in diffusers' layout, or a hub id, of the same model"
    )
    with pytest.raises(WeightsError, match=f"got one with captions of 64 channels{asked}"):
        load_base(write(tmp_path / "tiny.ckpt", tensors), "cpu", "float32")
    with pytest.raises(WeightsError, match=f"got one with no model.diffusion_model.input_blocks.0.0.weight{asked}"):
        load_base(write(tmp_path / "other.ckpt", {"weight": torch.ones(1)}), "cpu", "float32")
    assert tensors[WIDTH].shape[1] == 64
