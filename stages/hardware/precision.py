"""Which floating-point type a network runs in: what the user asked for, or what this device is fast at."""

from typing import Literal, TypeAlias

from stages.errors import ConfigError

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
ResolvedDtype: TypeAlias = Literal["float32", "bfloat16", "float16"]

BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_tile")
"""What torch calls the instructions of a processor that multiply bfloat16; torch has its names from 2.11 on."""


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" if torch sees a GPU here, else "cpu"; ConfigError if "cuda" was asked for in vain."""
    import torch

    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if device == "cuda" and not available:
        raise ConfigError(
            "device must be one that this machine has, got 'cuda' without a GPU; use --device cpu or auto"
        )
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda, got {device!r}")
    return device


def resolve_dtype(requested: Dtype, device: str) -> ResolvedDtype:
    """Turn "auto" into bfloat16 where the hardware multiplies it natively, else into float32.

    bfloat16 without such instructions is slower than float32 (PiDiNet on AVX-512 alone: 1.24 s against 0.85 s), so
    "auto" asks the processor. Raises ConfigError for float16 on a CPU, where torch has no fast kernels for it, and for
    bfloat16 on a GPU that does not even emulate it.
    """
    import torch

    if requested == "float16" and device == "cpu":
        raise ConfigError("dtype must be float32 or bfloat16 on a CPU, got 'float16'; use dtype = \"auto\"")
    if requested == "bfloat16" and device == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            f"dtype must be one that {torch.cuda.get_device_name()} computes in, got 'bfloat16'; use float32 or float16"
        )
    if requested != "auto":
        return requested
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    processor = torch.cpu.get_capabilities()
    return "bfloat16" if any(processor.get(name) for name in BFLOAT16_INSTRUCTIONS) else "float32"
