"""Networks of transformers from one checked file of weights each.

    WeightsFile ──.safetensors or torch's, weights_only──> tensors by name ──transformers──> a frozen network

transformers renames what older versions of it saved. Invariant: every parameter comes out of the file; one that is
missing is an error, where transformers would draw it at random and say so.
"""

from typing import TYPE_CHECKING, Any

from stages.errors import WeightsError
from stages.hardware.progress_bars import progress_bars_hidden
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile

if TYPE_CHECKING:
    from torch import Tensor


def pretrained(network_class: Any, config: Any, file: WeightsFile, device: str) -> Any:
    """Build a network of transformers in float32 on a device; WeightsError if the file is not one of its weights."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # its report of what does not fit takes a page
    try:
        with progress_bars_hidden():
            network, found = network_class.from_pretrained(
                None, config=config, state_dict=_parameters(file), output_loading_info=True
            )
    except RuntimeError:
        got = "some of other shapes"
        raise WeightsError(_message(network_class, file, got)) from None
    finally:
        logging.set_verbosity(verbosity)
    missing = sorted(found["missing_keys"])
    if missing:
        got = f"none of {missing[0]} and {len(missing) - 1} others"
        raise WeightsError(_message(network_class, file, got))
    return network.float().eval().requires_grad_(False).to(device)


def _message(network_class: Any, file: WeightsFile, got: str) -> str:
    return f"{file.path} must hold the parameters of {network_class.__name__}, got {got}; use the published file"


def _parameters(file: WeightsFile) -> "dict[str, Tensor]":
    if file.path.suffix != ".safetensors":
        return load_state_dict(file)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file.path)
    except SafetensorError as error:
        raise WeightsError(f"{file.path} must be readable as safetensors, got {error}; download it again") from error
