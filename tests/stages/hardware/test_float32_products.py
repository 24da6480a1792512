"""Which library multiplies float32; tried in processes of their own, because the choice is everybody's."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stages.hardware.float32_products import configure_float32_products, keeps_float32, made_by_amd

SETTLED = """
from pathlib import Path
import torch
from stages.hardware.float32_products import configure_float32_products

{and_then}
print(configure_float32_products({device!r}, Path({cpu_info!r})), torch.get_float32_matmul_precision())
numbers = torch.full((512, 512), 1 + 2**-23)
print(torch.equal(torch.nn.functional.linear(numbers, torch.eye(512)), numbers))
"""


@pytest.fixture
def cpu_info(tmp_path: Path) -> Path:
    """What Linux says of a processor made by AMD."""
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\n")
    return path


def settled(cpu_info: Path, device: str = "cpu", and_then: str = "") -> list[str]:
    code = SETTLED.format(cpu_info=str(cpu_info), device=device, and_then=and_then)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()


@pytest.mark.skipif(
    torch.cpu.get_capabilities().get("amx_tile", False), reason="this processor would round to bfloat16"
)
def test_onednn_multiplies_on_processors_of_amd_and_keeps_every_bit(cpu_info: Path) -> None:
    assert settled(cpu_info) == ["True", "medium", "True"]


def test_other_processors_keep_torchs_own_choice(cpu_info: Path) -> None:
    cpu_info.write_text("processor\t: 0\nvendor_id\t: GenuineIntel\n")
    assert settled(cpu_info) == ["False", "highest", "True"]


def test_a_gpu_keeps_torchs_own_choice(cpu_info: Path) -> None:
    assert settled(cpu_info, "cuda") == ["False", "highest", "True"]


def test_a_library_that_rounds_is_not_taken(cpu_info: Path) -> None:
    rounding = "torch.Tensor.__matmul__ = lambda left, right: torch.mm(left.bfloat16(), right.bfloat16()).float()"
    assert settled(cpu_info, and_then=rounding) == ["False", "highest", "True"]


def test_numbers_that_come_out_rounded_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeps_float32()

    def rounded(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.mm(left.bfloat16(), right.bfloat16()).float()

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not keeps_float32()


def test_without_a_list_of_processors_none_is_amds(tmp_path: Path) -> None:
    assert not made_by_amd(tmp_path / "none")
    assert not configure_float32_products("cpu", tmp_path / "none")
