"""Read a network's parameters out of a file: torch's or safetensors, by what is in it and not by its name.

    FILE ──first bytes──> safetensors | torch, weights_only ──unwrap──> parameters by name

Invariant: nothing in a file is executed.
"""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import WeightsError
from stages.weights.store import WeightsFile

if TYPE_CHECKING:
    from torch import Tensor

TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02")
"""Of the files that torch writes: a zip archive, and a pickle before torch 1.6."""
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError)
"""What torch raises for files that are no checkpoints."""


def is_safetensors(path: Path) -> bool:
    """Whether a file's content is safetensors', whatever its name: the length of a JSON header, and the header.

    A file that is neither that nor torch's is what its name says.
    """
    with path.open("rb") as file:
        start = file.read(9)
        if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8:
            return True
    return path.suffix == ".safetensors" and not start.startswith(TORCH_STARTS)


def load_state_dict(file: WeightsFile) -> "dict[str, Tensor]":
    """Read a network's parameters onto the CPU, by the names that the network gives them; safetensors by its content.

    Takes them out of a checkpoint's "state_dict", "model" or "adapter" entry and from under the "module." of
    DataParallel. Nothing in the file is executed (`weights_only`). Raises WeightsError if torch cannot read the file or
    finds no parameters.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with torch.serialization.safe_globals(_harmless_globals()):
        try:
            content: Any = load_file(file.path) if is_safetensors(file.path) else _load_pickled(file.path)
        except SafetensorError as error:
            raise WeightsError(
                f"{file.path} must be a whole safetensors file, got {error}; copy or download it again"
            ) from error
        except UNREADABLE as error:
            raise WeightsError(
                f"{file.path} must be a checkpoint that torch reads with weights_only, got"
                f" {_named_beside_tensors(file.path) or type(error).__name__};"
                " save the state_dict alone, with torch.save"
            ) from error
    for entry in ("state_dict", "model", "adapter"):
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
    if not (
        isinstance(content, Mapping) and content and all(isinstance(value, torch.Tensor) for value in content.values())
    ):
        raise WeightsError(
            f"{file.path} must hold tensors by name, got {type(content).__name__};"
            " save the state_dict alone, with torch.save"
        )
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _load_pickled(path: Path) -> Any:
    import torch

    with path.open("rb") as file:  # given a path, torch would go by the file's name
        return torch.load(file, map_location="cpu", weights_only=True)


class _Discarded:
    """Takes the place of what a trainer keeps beside the parameters (curves, callbacks), and is thrown away with it."""

    def __init__(self, *arguments: object) -> None:
        """Take whatever the checkpoint says that it was made from."""


def _harmless_globals() -> "list[Callable[..., Any] | tuple[Callable[..., Any], str]]":
    """Return what besides tensors a checkpoint may name: NumPy numbers and arrays, and the curves of training.

    OpenMMLab's published files hold the data set's colours and sigmas as arrays in `meta`, written by NumPy 1; a
    checkpoint straight from an mmengine run holds its curves too (open-mmlab/mmengine issue 1655). The names
    are those that NumPy 1 and 2 wrote into files; the functions are those that the NumPy of today writes.
    """
    import numpy as np

    rebuild_array, rebuild_number = _rebuilder(np.empty(0)), _rebuilder(np.float64())
    return [
        (rebuild_array, "numpy.core.multiarray._reconstruct"),
        (rebuild_array, "numpy._core.multiarray._reconstruct"),
        (rebuild_number, "numpy.core.multiarray.scalar"),
        (rebuild_number, "numpy._core.multiarray.scalar"),
        np.ndarray,
        np.dtype,
        *(getattr(np.dtypes, kind) for kind in np.dtypes.__all__),
        (_Discarded, "mmengine.logging.history_buffer.HistoryBuffer"),
        # The published Stable Diffusion 1.4 keeps where it was saved, by class.
        (_Discarded, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
        # A HistoryBuffer names its methods by getattr, which must not run on behalf of a file.
        (_Discarded, "builtins.getattr"),
    ]


def _rebuilder(value: object) -> Callable[..., Any]:
    """Return the function that pickle calls to have a value like this one again."""
    reduced = value.__reduce__()
    assert not isinstance(reduced, str), "a string would name a global in place of a value"
    function: Callable[..., Any] = reduced[0]
    return function


def _named_beside_tensors(path: Path) -> str:
    """Say which classes or functions a checkpoint names that may not be run; nothing for what is no such file."""
    import torch

    try:
        named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except UNREADABLE:
        return ""
    return f"one that names {', '.join(named[:3])}" if named else ""
