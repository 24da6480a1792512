"""The rate of matrix products and the count of FLOPs, where both are known."""

import pytest
import torch

from pipeline.bench.limit import TF32, best_rates, flops_of, matrix_rate, multiplied_dtype


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_rate_is_measured_and_leaves_the_threads_as_they_were(dtype: str) -> None:
    threads = torch.get_num_threads()
    assert matrix_rate(dtype, "cpu", side=128) > 0
    assert torch.get_num_threads() == threads


def test_each_dtype_has_its_rate() -> None:
    assert set(best_rates(("float32", "bfloat16"), 2, "cpu", side=64)) == {"float32", "bfloat16"}


def test_flops_are_two_for_each_product_and_sum() -> None:
    assert flops_of(lambda: torch.ones(3, 5) @ torch.ones(5, 7)) == 2 * 3 * 5 * 7


def test_a_gpus_convolutions_multiply_float32_in_tf32_unless_told_otherwise() -> None:
    assert multiplied_dtype("float32", "cuda") == TF32
    assert multiplied_dtype("bfloat16", "cuda") == "bfloat16"
    assert multiplied_dtype("float32", "cpu") == "float32"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", TF32, "bfloat16"])
def test_a_gpus_rate_is_measured(dtype: str) -> None:
    assert matrix_rate(dtype, "cuda") > 0
