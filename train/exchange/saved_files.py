"""The files that diffusers saves a network in: one, or several with an index; in full, or a variant such as fp16.

    diffusion_pytorch_model[.VARIANT].{safetensors,bin}
    diffusion_pytorch_model.{safetensors,bin}.index[.VARIANT].json ──weight_map──> the files beside it

In full comes before a variant, one file before several, safetensors before torch's.
"""

import json
import re
from pathlib import Path

from stages.errors import CheckpointError

STEM = "diffusion_pytorch_model"
WEIGHTS_FILE = f"{STEM}.safetensors"
"""What condset writes."""
NAME = re.compile(rf"{STEM}(?:\.(?P<variant>\w+))?\.(?:safetensors|bin)")
INDEX = re.compile(rf"{STEM}\.(?:safetensors|bin)\.index(?:\.(?P<variant>\w+))?\.json")


def find_weights(directory: Path) -> Path | None:
    """Return the file of a directory's weights, or their index; None if there is none.

    Raises CheckpointError if there are several variants and nothing else: they are named by their files.
    """
    found: list[tuple[str, bool, bool, Path]] = []
    for path in directory.iterdir():
        match = NAME.fullmatch(path.name) or INDEX.fullmatch(path.name)
        if match is not None:
            is_index = path.suffix == ".json"
            found.append((match["variant"] or "", is_index, ".safetensors" not in path.name, path))
    variants = sorted({variant for variant, *_ in found})
    if len(variants) > 1 and "" not in variants:
        raise CheckpointError(
            f"{directory} must have weights in full or in one variant, got {', '.join(variants)}; give one of the "
            "files in place of the directory"
        )
    return min(found)[-1] if found else None


def files_of(path: Path) -> list[Path]:
    """Return the files that an index lists, or the file itself if it is none; CheckpointError if one is missing."""
    if not path.name.endswith(".json"):
        return [path]
    try:
        names = sorted(set(json.loads(path.read_text())["weight_map"].values()))
        files = [path.parent / Path(name).name for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} must be an index of weights, got {type(error).__name__}; copy or download it again"
        ) from None
    for file in files:
        if not file.is_file():
            raise CheckpointError(
                f"{path} must be beside the {len(files)} files that it lists, got none called {file.name}; copy or "
                "download it again"
            )
    return files
