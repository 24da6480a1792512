import sys
from pathlib import Path

import pytest
import torch

from stages.errors import ConfigError
from stages.hardware.precision import BFLOAT16_INSTRUCTIONS, resolve_device, resolve_dtype


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="dtype must be float32 or bfloat16 on a CPU, got 'float16'"):
        resolve_dtype("float16", "cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what the processor has")
def test_auto_takes_bfloat16_only_where_the_processor_multiplies_it() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    native = bool(flags & {"avx512_bf16", "amx_tile"})
    assert resolve_dtype("auto", "cpu") == ("bfloat16" if native else "float32")


def test_torch_names_the_instructions_that_multiply_bfloat16() -> None:
    if torch.cpu.get_capabilities()["architecture"] == "x86_64":
        assert torch.cpu.get_capabilities().keys() >= set(BFLOAT16_INSTRUCTIONS)


def test_a_dtype_that_is_asked_for_is_taken() -> None:
    assert resolve_dtype("bfloat16", "cpu") == "bfloat16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_a_missing_gpu_is_an_error_and_auto_is_the_cpu() -> None:
    assert resolve_device("auto") == "cpu"
    with pytest.raises(ConfigError, match="device must be one that this machine has, got 'cuda' without a GPU"):
        resolve_device("cuda")


def test_an_unknown_device_is_an_error() -> None:
    with pytest.raises(ConfigError, match="device must be auto, cpu or cuda, got 'tpu'"):
        resolve_device("tpu")
