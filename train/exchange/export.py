"""Export: the adapter of a run as other programs load it, with a model card beside it.

    RUN ──last checkpoint, or --step; the moving average if there is one──> adapter
      diffusers   OUT/config.json + diffusion_pytorch_model.safetensors + README.md     T2IAdapter.from_pretrained
      t2i         OUT (.pth or .safetensors) + OUT.md                                   ComfyUI, the webui extension

Invariant: what is exported is bit for bit what was trained, and OUT appears complete or not at all.
"""

import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import CheckpointError, ConfigError
from stages.locations import PARTIAL
from train.exchange.saved_files import WEIGHTS_FILE
from train.exchange.t2i_layout import Layout, to_t2i

if TYPE_CHECKING:
    from train.exchange.read import LoadedAdapter

SUFFIXES = (".pth", ".safetensors")
"""Of a file of the released layout."""
CARD_FILE = "README.md"


def export_run(run: Path, layout: Layout, out: Path, step: int | None = None) -> list[Path]:
    """Write the adapter of a run, of its last checkpoint or that of a step, and a model card; return what was written.

    Raises ConfigError if OUT exists or does not fit the layout, CheckpointError if the run has no such checkpoint or
    the file system does not take the files.
    """
    from safetensors import SafetensorError

    from train.exchange.card import describe, render_card
    from train.exchange.read import open_adapter, stored_in_run

    finals = [out] if layout == "diffusers" else [card_of(out), out]
    _check_out(layout, out, finals)
    stored = stored_in_run(run, step)
    adapter = open_adapter(stored)
    if layout == "diffusers" and adapter.kind == "tiny":
        raise ConfigError(
            "--format diffusers must have a full, light or full_xl adapter, got tiny, which diffusers has no class "
            "for; use --format t2i"
        )
    card = render_card(describe(run, stored), layout, out.name)
    attempt = f".{uuid.uuid4().hex}{PARTIAL}"
    partials = [final.with_name(f".{final.name}{attempt}") for final in finals]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if layout == "diffusers":
            _write_directory(partials[0], adapter, card)
        else:
            partials[0].write_text(card)
            _write_file(partials[1], adapter, out.suffix)
        for partial, final in zip(partials, finals, strict=True):
            partial.rename(final)
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors report a full disk as errors of their own.
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"--out {out} must be written, got {type(error).__name__}: {reason}; make room or give another --out"
        ) from error
    finally:
        for partial in partials:
            _remove(partial)
    return sorted(out.iterdir()) if layout == "diffusers" else finals[::-1]


def card_of(out: Path) -> Path:
    """Name the card of an exported file, beside it: x.pth and x.safetensors have one each."""
    return out.with_name(f"{out.name}.md")


def _check_out(layout: Layout, out: Path, finals: list[Path]) -> None:
    """Refuse a name that does not fit, and to overwrite anything."""
    if layout == "t2i" and out.suffix not in SUFFIXES:
        raise ConfigError(f"--out must end in {' or '.join(SUFFIXES)} for --format t2i, got {out}; give such a file")
    if layout == "diffusers" and out.suffix in SUFFIXES:
        raise ConfigError(f"--out must be a directory for --format diffusers, got {out}; leave out {out.suffix}")
    for final in finals:
        if final.exists() or final.is_symlink():
            raise ConfigError(f"--out {out} must be new, got one where {final} exists; remove it or give another --out")


def _write_directory(directory: Path, adapter: "LoadedAdapter", card: str) -> None:
    """Write what T2IAdapter.save_pretrained writes, and the card."""
    directory.mkdir()
    adapter.module.save_config(directory)  # type: ignore[operator]  # of diffusers' ConfigMixin
    _write_file(directory / WEIGHTS_FILE, adapter, ".safetensors", renamed=False)
    (directory / CARD_FILE).write_text(card)


def _write_file(path: Path, adapter: "LoadedAdapter", suffix: str, renamed: bool = True) -> None:
    """Write the parameters; equal parameters are equal bytes, whatever the file is called."""
    import torch

    from train.exchange.read import CONDITION_ENTRY
    from train.runs.checkpoint import save_safetensors

    tensors = {name: tensor.contiguous() for name, tensor in adapter.module.state_dict().items()}
    if renamed:
        tensors = to_t2i(tensors)
    if suffix == ".safetensors":
        condition = {CONDITION_ENTRY: adapter.condition.value} if adapter.condition else {}
        save_safetensors(path, tensors, condition)
        _sort_metadata(path)
        return
    with path.open("wb") as file:  # given a path, torch would write its name into the file
        torch.save(tensors, file)


def _sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file in place: safetensors writes two entries in a random order."""
    with path.open("r+b") as file:
        length_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length_bytes))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":")).encode().ljust(length_bytes))


def _remove(partial: Path) -> None:
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)
