"""The limit of the machine: the least seconds that it could need for an image, and what sets them.

    FLOPs of the networks / rate of matrix products here, in their dtype    no network is faster
    an image's pictures encoded on all cores, nothing else running          no run that stores them is faster

Rates are measured, not read in a data sheet: a shared or throttled machine has others. The invariant: a limit is a
lower bound, so that no share of it exceeds 1 but for noise.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum

from pipeline.bench.device import finish
from stages.hardware.float32_products import float32_products
from stages.hardware.process import torch_threads

MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
"""A GPU has thousands of cores to fill."""
MATRIX_ROUNDS = 5
TF32 = "tfloat32"
"""float32 of which a GPU multiplies ten bits of mantissa: a rate, not a type that tensors have."""


class Bottleneck(StrEnum):
    """What sets a limit."""

    MATRIX_PRODUCTS = "matrix products"
    PNG_ENCODING = "PNG encoding"
    DECODING = "decoding"


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that no code gets below on this machine."""

    seconds_per_image: float
    bottleneck: Bottleneck


def multiplied_dtype(dtype: str, device: str) -> str:
    """Return in what torch multiplies the convolutions of a program that sets nothing: TF32 for float32 on a GPU."""
    return TF32 if (dtype, device) == ("float32", "cuda") else dtype


def best_rates(dtypes: Sequence[str], rounds: int, device: str, side: int | None = None) -> dict[str, float]:
    """Return FLOP a second of matrix products in each dtype, the best of the rounds; `side` as in `matrix_rate`."""
    return {dtype: max(matrix_rate(dtype, device, side) for _ in range(rounds)) for dtype in dtypes}


def matrix_rate(dtype: str, device: str, side: int | None = None) -> float:
    """FLOP a second of square matrix products: one on each core at once, or one on the GPU; the best of a few.

    `side` is that of the matrices, by default large enough to fill the device.
    """
    import torch

    side, at_once = side or MATRIX_SIDE[device], torch.get_num_threads() if device == "cpu" else 1
    stored = getattr(torch, "float32" if dtype == TF32 else dtype)
    left, right = (torch.randn(side, side, dtype=stored, device=device) for _ in range(2))
    seconds = []
    with (
        float32_products(device),
        _tf32_products(dtype == TF32) if device == "cuda" else nullcontext(),
        torch_threads(1),
        ThreadPoolExecutor(at_once) as pool,
    ):
        for _ in range(MATRIX_ROUNDS):
            finish(device)
            started = time.perf_counter()
            list(pool.map(lambda _: torch.mm(left, right), range(at_once)))
            finish(device)
            seconds.append(time.perf_counter() - started)
    return at_once * 2 * side**3 / min(seconds)


@contextmanager
def _tf32_products(allowed: bool) -> Iterator[None]:
    """Let a GPU multiply float32 matrices in TF32, or not, while the block runs."""
    import torch

    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "tf32" if allowed else "ieee"
    try:
        yield
    finally:
        products.fp32_precision = before


def flops_of(run: Callable[[], object]) -> int:
    """Count the FLOPs of the matrix products and convolutions of a call, as torch's own counter does."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
