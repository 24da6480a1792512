"""Which library multiplies float32 matrices on a CPU: MKL, torch's own choice, or oneDNN where MKL is slow.

MKL picks its kernels by the maker of the processor, and has none with AVX-512 for AMD's: half the rate of an EPYC of
family 26 (115 GFLOP/s a core, oneDNN 240). torch uses oneDNN only if it may also round float32 to bfloat16 on the way
(precision "medium"). oneDNN does so only where there is AMX, which no processor of AMD's has.
Invariant: float32 stays float32. The library is tried, not trusted: see `keeps_float32`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SIDE = 256
"""Of the products that are tried; for much smaller ones torch does not ask oneDNN."""
CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux describes the processors."""
MADE_BY_AMD = "AuthenticAMD"


def made_by_amd(cpu_info: Path = CPU_INFO) -> bool:
    """Say whether Linux names AMD as the maker of this machine's processors; False on other systems."""
    return cpu_info.is_file() and MADE_BY_AMD in cpu_info.read_text()


def keeps_float32() -> bool:
    """Try whether products keep all 24 bits of a number's mantissa; bfloat16 has 8, TF32 11."""
    import torch

    numbers = torch.full((SIDE, SIDE), 1 + 2**-23)
    unchanged: bool = torch.equal(numbers @ torch.eye(SIDE), numbers)
    return unchanged


@contextmanager
def float32_products(
    device: str, cpu_info: Path = CPU_INFO, is_exact: Callable[[], bool] = keeps_float32
) -> Iterator[bool]:
    """Let this process, which computes on `device`, multiply float32 by oneDNN while the block runs, if that is faster.

    Yields whether it does. `cpu_info` tells the processor's maker, `is_exact` whether the products keep every bit.
    """
    if device != "cpu" or not made_by_amd(cpu_info):
        yield False
        return
    import torch

    with _precision_restored():
        torch.set_float32_matmul_precision("medium")
        by_onednn = is_exact()
        if not by_onednn:
            torch.set_float32_matmul_precision("highest")
        yield by_onednn


@contextmanager
def _precision_restored() -> Iterator[None]:
    """Restore the precision of products: torch's setting for all libraries, and the two of libraries that it changes.

    Who has set those two alone has a process in which torch refuses to read the first: then it was never set.
    """
    import torch

    mkldnn = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set at run time
    libraries = (torch.backends.cuda.matmul, mkldnn)
    each = [library.fp32_precision for library in libraries]
    try:
        of_all = torch.get_float32_matmul_precision()
    except RuntimeError:
        of_all = "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(of_all)
        for library, precision in zip(libraries, each, strict=True):
            library.fp32_precision = precision
