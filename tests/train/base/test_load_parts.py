"""Reading a base model: what is missing, damaged or of another family is said in one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stages.errors import WeightsError
from train.base.config import StableDiffusionConfig
from train.base.stable_diffusion import Parts, load_parts

TRAINED_ON = r"where DDPM's betas with epsilon or v_prediction can be trained on"


@pytest.mark.parametrize("part", ["unet", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_said_in_one_line(part: str, own_model: Path) -> None:
    shutil.rmtree(own_model / part)
    with pytest.raises(WeightsError) as raised:
        load_parts(StableDiffusionConfig(model=str(own_model)))
    message = str(raised.value)
    assert message.startswith(
        f"diffusion.model {own_model} must be a Stable Diffusion 1.x or 2.x in diffusers' layout, got OSError: "
    )
    assert message.endswith("; give a directory with unet, vae, text_encoder, tokenizer, scheduler")
    assert "\n" not in message


def test_a_missing_vae_is_said_in_one_line(own_model: Path) -> None:
    shutil.rmtree(own_model / "vae")
    with pytest.raises(
        WeightsError,
        match=r"model must be a directory in diffusers' layout, got one without vae/config\.json; "
        r"save the pipeline with save_pretrained$",
    ):
        load_parts(StableDiffusionConfig(model=str(own_model)))


def test_a_model_that_is_nowhere_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError,
        match=r"^model \S+/nowhere must be a directory with vae/config\.json, or a hub id such as owner/name, "
        r"got neither; correct the path$",
    ):
        load_parts(StableDiffusionConfig(model=str(tmp_path / "nowhere")))


def test_damaged_weights_are_said_in_one_line(own_model: Path) -> None:
    (own_model / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"short")
    with pytest.raises(WeightsError, match=r"^diffusion\.model \S+ must be a Stable Diffusion .*; give a directory"):
        load_parts(StableDiffusionConfig(model=str(own_model)))


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("vae", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "model.safetensors"),
    ],
)
def test_weights_that_lack_a_parameter_are_not_made_up(part: str, file: str, own_model: Path) -> None:
    tensors = load_file(own_model / part / file)
    lacking = sorted(tensors)[0]
    save_file({name: tensor for name, tensor in tensors.items() if name != lacking}, own_model / part / file)
    with pytest.raises(WeightsError, match=rf"got ValueError: no \S*{lacking[-20:]} in {part}, and 0 more are missing"):
        load_parts(StableDiffusionConfig(model=str(own_model)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_channels": 8}, "unet out_channels 8 where 4 can be trained on"),
        ({"in_channels": 9}, "unet in_channels 9 where 4 can be trained on"),
        ({"class_embed_type": "timestep"}, "unet class_embed_type timestep where None can be trained on"),
        ({"cross_attention_dim": 24}, r"unet cross_attention_dim 24 where \d+ can be trained on"),
    ],
)
def test_a_unet_of_another_family_is_refused(
    changes: dict[str, Any], message: str, own_model: Path, loaded: Parts
) -> None:
    other = type(loaded.unet).from_config({**loaded.unet.config, **changes})
    other.save_pretrained(own_model / "unet")
    with pytest.raises(WeightsError, match=f"got ValueError: {message}; give a directory"):
        load_parts(StableDiffusionConfig(model=str(own_model)))


def test_a_model_that_predicts_the_picture_itself_is_refused(own_model: Path) -> None:
    file = own_model / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "sample"}))
    with pytest.raises(WeightsError, match=f"scheduler DDPMScheduler with prediction_type sample {TRAINED_ON}"):
        load_parts(StableDiffusionConfig(model=str(own_model)))


NO_BETAS = {"beta_start": None, "beta_end": None, "beta_schedule": None}


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatchEulerDiscreteScheduler which has no betas"),
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "FlowMatchHeunDiscreteScheduler which has no betas"),
        ({"_class_name": "EDMEulerScheduler"}, "EDMEulerScheduler which has no betas"),
        ({"_class_name": "CMStochasticIterativeScheduler"}, "CMStochasticIterativeScheduler which has no betas"),
        ({"_class_name": "TheirOwnScheduler"}, "TheirOwnScheduler which diffusers does not know"),
        ({"_class_name": "PNDMScheduler"} | NO_BETAS, "PNDMScheduler without betas"),
        (
            {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True},
            "UniPCMultistepScheduler with use_flow_sigmas True",
        ),
        (
            {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"},
            "EulerDiscreteScheduler with timestep_type continuous",
        ),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction"},
            "DPMSolverMultistepScheduler with prediction_type flow_prediction",
        ),
    ],
)
def test_a_model_that_was_not_trained_as_ddpm_trains_is_refused(
    changes: dict[str, Any], got: str, own_model: Path
) -> None:
    change_scheduler(own_model, changes)
    with pytest.raises(WeightsError, match=f"got ValueError: scheduler {got} {TRAINED_ON}; give a directory"):
        load_parts(StableDiffusionConfig(model=str(own_model)))


@pytest.mark.parametrize("sampler", ["PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "LCMScheduler"])
def test_a_sampler_of_the_same_betas_may_be_named(sampler: str, own_model: Path, loaded: Parts) -> None:
    change_scheduler(own_model, {"_class_name": sampler, "prediction_type": "epsilon", "timestep_type": "discrete"})
    parts = load_parts(StableDiffusionConfig(model=str(own_model)))
    assert parts.scheduler.config.prediction_type == "epsilon"
    assert torch.equal(parts.scheduler.alphas_cumprod, loaded.scheduler.alphas_cumprod)


def test_betas_that_are_listed_are_taken(own_model: Path) -> None:
    change_scheduler(own_model, {"trained_betas": [0.1, 0.2, 0.3]} | NO_BETAS)
    parts = load_parts(StableDiffusionConfig(model=str(own_model)))
    torch.testing.assert_close(parts.scheduler.alphas_cumprod, torch.tensor([0.9, 0.72, 0.504]))


def change_scheduler(model: Path, changes: dict[str, Any]) -> None:
    file = model / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
