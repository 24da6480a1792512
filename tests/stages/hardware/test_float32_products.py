"""Which library multiplies float32, and that it is torch's own choice again after the block."""

from pathlib import Path

import pytest
import torch

from stages.hardware.float32_products import float32_products, keeps_float32, made_by_amd

ROUNDED = 1 + 2**-23
"""Needs all 24 bits of a float32's mantissa."""


@pytest.fixture
def cpu_info(tmp_path: Path) -> Path:
    """What Linux says of a processor made by AMD."""
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\n")
    return path


def every_bit_is_kept() -> bool:
    numbers = torch.full((512, 512), ROUNDED)
    return torch.equal(torch.nn.functional.linear(numbers, torch.eye(512)), numbers)


@pytest.mark.skipif(
    torch.cpu.get_capabilities().get("amx_tile", False), reason="this processor would round to bfloat16"
)
def test_onednn_multiplies_on_processors_of_amd_and_keeps_every_bit(cpu_info: Path) -> None:
    before = torch.get_float32_matmul_precision()
    with float32_products("cpu", cpu_info) as by_onednn:
        assert by_onednn
        assert torch.get_float32_matmul_precision() == "medium"
        assert every_bit_is_kept()
    assert torch.get_float32_matmul_precision() == before


def test_other_processors_keep_torchs_own_choice(cpu_info: Path) -> None:
    cpu_info.write_text("processor\t: 0\nvendor_id\t: GenuineIntel\n")
    before = torch.get_float32_matmul_precision()
    with float32_products("cpu", cpu_info) as by_onednn:
        assert not by_onednn
        assert torch.get_float32_matmul_precision() == before


def test_a_gpu_keeps_torchs_own_choice(cpu_info: Path) -> None:
    before = torch.get_float32_matmul_precision()
    with float32_products("cuda", cpu_info) as by_onednn:
        assert not by_onednn
        assert torch.get_float32_matmul_precision() == before


def test_a_library_that_rounds_is_not_taken(cpu_info: Path) -> None:
    with float32_products("cpu", cpu_info, is_exact=lambda: False) as by_onednn:
        assert not by_onednn
        assert torch.get_float32_matmul_precision() == "highest"
        assert every_bit_is_kept()


def test_the_choice_is_torchs_again_after_an_error(cpu_info: Path) -> None:
    before = torch.get_float32_matmul_precision()
    with pytest.raises(ZeroDivisionError), float32_products("cpu", cpu_info):
        1 / 0  # noqa: B018
    assert torch.get_float32_matmul_precision() == before


def test_numbers_that_come_out_rounded_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeps_float32()

    def rounded(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.mm(left.bfloat16(), right.bfloat16()).float()

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not keeps_float32()


def test_without_a_list_of_processors_none_is_amds(tmp_path: Path) -> None:
    assert not made_by_amd(tmp_path / "none")
    with float32_products("cpu", tmp_path / "none") as by_onednn:
        assert not by_onednn
