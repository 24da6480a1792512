"""Find the VAE of a Stable Diffusion in diffusers' layout: its directory, and in it the one file of weights.

    MODEL ── a directory ─────────────────────────────> MODEL/vae ────────┐
      └───── a hub id ── the hub's cache ── the hub ──> <snapshot>/vae ───┴──> diffusion_pytorch_model[.<variant>].*

Nothing is loaded here. Invariant: of a hub's repository nothing is downloaded but the configuration of the VAE and one
file of weights, and without a network what is missing is said at once.
"""

from pathlib import Path

from stages.errors import WeightsError
from stages.locations import with_home
from stages.weights.hub import hub_failures, is_hub_id, why_hub_unreachable

FOLDER = "vae"
CONFIG = f"{FOLDER}/config.json"
STEM = "diffusion_pytorch_model"


def vae_directory(model: str, revision: str | None = None, variant: str | None = None) -> Path:
    """Return the directory of a model's VAE: the model's own `vae`, or one in the hub's cache, downloaded if need be.

    `model` is a directory in diffusers' layout or a hub id; `revision` is the repository's, `variant` names the weights
    that a download is for. Raises WeightsError if there is no such model.
    """
    path = Path(with_home(model))
    if path.exists():
        if (path / CONFIG).is_file():
            return path / FOLDER
        got = f"one without {CONFIG}" if path.is_dir() else "a file"
        raise WeightsError(
            f"model {model} must be a directory in diffusers' layout, got {got}; save the pipeline with save_pretrained"
        )
    _check_hub_id(model)
    cached = _cached(model, revision, variant)
    return cached if cached is not None else _downloaded(model, revision, variant)


def weights_file(directory: Path, variant: str | None = None) -> Path:
    """Return the file of weights in a VAE's directory, .safetensors before .bin; WeightsError if there is none."""
    names = _names(variant)
    for name in names:
        if (directory / name).is_file():
            return directory / name
    there = sorted(path.name for path in directory.glob(f"{STEM}*"))
    got = ", ".join(there) or "none"
    if any(".index." in name for name in there):
        fix = "save it in one file, with save_pretrained(..., max_shard_size='10GB')"
    elif there:
        fix = "name the variant that is there"
    else:
        fix = "save or download the model again"
    raise WeightsError(f"weights of the VAE must be {directory / names[0]} or {names[1]}, got {got}; {fix}")


def _names(variant: str | None) -> tuple[str, str]:
    stem = f"{STEM}.{variant}" if variant else STEM
    return f"{stem}.safetensors", f"{stem}.bin"


def _check_hub_id(model: str) -> None:
    if not is_hub_id(model):
        raise WeightsError(
            f"model {model} must be a directory with {CONFIG}, or a hub id such as owner/name, got neither; "
            "correct the path"
        )


def _cached(model: str, revision: str | None, variant: str | None) -> Path | None:
    """The VAE's directory in the hub's cache, if configuration and weights are in it."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model, CONFIG, revision=revision)
    if not isinstance(config, str):
        return None
    directory = Path(config).parent
    return directory if any((directory / name).is_file() for name in _names(variant)) else None


def _downloaded(model: str, revision: str | None, variant: str | None) -> Path:
    """Download a VAE into the hub's cache; its .bin only if it has no .safetensors."""
    from huggingface_hub import snapshot_download

    reason = why_hub_unreachable(model, CONFIG, revision)
    if reason is not None:
        raise WeightsError(_missing(model, variant, f"the hub cannot be reached: {reason}"))
    try:
        for name in _names(variant):
            wanted = [CONFIG, f"{FOLDER}/{name}"]
            directory = Path(snapshot_download(model, revision=revision, allow_patterns=wanted)) / FOLDER
            if (directory / name).is_file():
                break
    except hub_failures() as error:
        said = " ".join(str(error).split())
        raise WeightsError(_missing(model, variant, f"the hub does not have these files: {said}")) from error
    if not (directory / Path(CONFIG).name).is_file():
        raise WeightsError(_missing(model, variant, f"the repository on the hub has no {CONFIG}"))
    return directory


def _missing(model: str, variant: str | None, attempt: str) -> str:
    names = " or ".join(_names(variant))
    return (
        f"model {model} must be a directory with {CONFIG}, or a hub id whose {FOLDER} holds {names}, got no such "
        f"directory, nothing in the hub's cache, and {attempt}; correct the path, or run `hf download {model}` where "
        "there is a network"
    )
