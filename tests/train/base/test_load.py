"""The base model that a configuration names, where and how it is told to run."""

from pathlib import Path

import pytest
import torch

from stages.errors import ConfigError, WeightsError
from tests.train.tiny_runs import save_parts
from train.base.config import StableDiffusionConfig, TinyDiffusionConfig
from train.base.load import load_base
from train.base.stable_diffusion import StableDiffusion


def test_the_tiny_one_is_built_and_a_directory_is_read(tiny_base: StableDiffusion, tmp_path: Path) -> None:
    built = load_base(TinyDiffusionConfig(), "cpu", "float32")
    read = load_base(StableDiffusionConfig(model=str(save_parts(tiny_base, tmp_path))), "cpu", "float32")
    assert built.identity == read.identity == tiny_base.identity
    assert (built.device, built.dtype) == (torch.device("cpu"), torch.float32)


def test_what_is_asked_for_reaches_the_networks() -> None:
    config = TinyDiffusionConfig(prediction="epsilon")
    base = load_base(config, "cpu", "bfloat16", channels_last=False, gradient_checkpointing=True)
    assert base.prediction == "epsilon"
    for network in base.parts.networks():
        assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    assert base.parts.unet.conv_in.weight.is_contiguous()
    assert base.parts.unet.is_gradient_checkpointing


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_predicts_what_it_does_on_a_cpu(tiny_base: StableDiffusion) -> None:
    base = load_base(TinyDiffusionConfig(), "cuda", "float32")
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        there, here = (
            each.predict_noise(noisy, torch.tensor([500]), each.encode_captions(["a red circle"]), None).cpu()
            for each in (base, tiny_base)
        )
    torch.testing.assert_close(there, here, rtol=0, atol=1e-2)  # convolutions in TF32


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^device must be one that this machine has, got 'cuda' without a GPU; use --device cpu or auto$",
    ):
        load_base(TinyDiffusionConfig(), "cuda", "auto")


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dtype must be float32 or bfloat16 on a CPU, got 'float16'; use "):
        load_base(TinyDiffusionConfig(), "cpu", "float16")


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"must be a directory in diffusers' layout, got one without vae/config"):
        load_base(StableDiffusionConfig(model=str(tmp_path)), "cpu", "float32")
