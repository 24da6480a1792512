"""Which library multiplies float32 matrices on a CPU: MKL, torch's own choice, or oneDNN where MKL is slow.

MKL picks its kernels by the maker of the processor, and has none with AVX-512 for AMD's: half the rate of an EPYC of
family 26 (115 GFLOP/s a core, oneDNN 240). torch asks oneDNN only together with leave to round float32 to bfloat16 on
the way (precision "medium"). oneDNN takes that leave where there is AMX, which no processor of AMD's has.
Invariant: float32 stays float32. The library is tried, not trusted: see `keeps_float32`.
"""

from pathlib import Path

SIDE = 256
"""Of the products that are tried; for much smaller ones torch does not ask oneDNN."""
CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux describes the processors."""
MADE_BY_AMD = "AuthenticAMD"


def configure_float32_products(device: str, cpu_info: Path = CPU_INFO) -> bool:
    """Let this process, which computes on `device`, multiply float32 by oneDNN if that is faster; return whether."""
    import torch

    if device != "cpu" or not made_by_amd(cpu_info):
        return False
    torch.set_float32_matmul_precision("medium")
    if keeps_float32():
        return True
    torch.set_float32_matmul_precision("highest")
    return False


def made_by_amd(cpu_info: Path = CPU_INFO) -> bool:
    """Say whether Linux names AMD as the maker of this machine's processors; False on other systems."""
    return cpu_info.is_file() and MADE_BY_AMD in cpu_info.read_text()


def keeps_float32() -> bool:
    """Try whether products keep all 24 bits of a number's mantissa; bfloat16 has 8, TF32 11."""
    import torch

    numbers = torch.full((SIDE, SIDE), 1 + 2**-23)
    unchanged: bool = torch.equal(numbers @ torch.eye(SIDE), numbers)
    return unchanged
