import pytest
import torch

from stages.errors import ConfigError
from stages.hardware.precision import resolve_device, resolve_dtype


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="dtype must be float32 or bfloat16 on a CPU, got 'float16'"):
        resolve_dtype("float16", "cpu")


def test_auto_takes_bfloat16_only_where_the_processor_multiplies_it() -> None:
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert resolve_dtype("auto", "cpu") == ("bfloat16" if native else "float32")


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
