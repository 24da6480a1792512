"""Find the file of a network's weights, prove that it is the right one, and read it.

    own file ─────────────────────────────────────────────> hashed, used as it is
    --weights-dir, $CONDSET_WEIGHTS, cache ──> checked ───> used
                                └─ network ──> checked ──┘

Invariant: no file of a known model is used, or given its final name, before its hash has been checked. A wrong one is
an error, never replaced behind the user's back.
"""

import contextlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import WeightsError
from stages.file_hash import file_sha256
from stages.locations import PARTIAL, with_home
from stages.web.download import WebFile, download, why_unreachable
from stages.web.progress import progress_bar
from stages.weights.catalogue import MODELS, HubFile, Model
from stages.weights.hub import hub_failures, why_hub_unreachable

if TYPE_CHECKING:
    from torch import Tensor

UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError)
"""What torch raises for files that are no checkpoints."""

VARIABLE = "CONDSET_WEIGHTS"
"""The environment variable that names a weights directory, as `--weights-dir` does."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file whose content has been checked."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class WeightsStore:
    """Finds weights in `directory`, in $CONDSET_WEIGHTS, in the local caches, then on the network.

    Holds nothing but these settings: it travels to workers by pickle, and looks at the machine it is on.
    """

    directory: Path | None = None
    """As `--weights-dir`; absolute if the store travels."""
    allow_network: bool = True
    models: Mapping[str, Model] = field(default_factory=lambda: MODELS, repr=False, hash=False)
    """Every network that it knows, by name."""

    def __post_init__(self) -> None:
        """Expand `~`, which nobody has expanded in an environment variable."""
        if self.directory is not None:
            object.__setattr__(self, "directory", Path(with_home(str(self.directory))))

    def resolve(self, name: str, own_file: str | None = None) -> WeightsFile:
        """Return the checked file of model `name`, or of the user's own file in its place.

        The own file is hashed and otherwise taken as it is. Raises WeightsError if a file is missing and cannot be
        downloaded, or is not the one that the model table describes.
        """
        if own_file is not None:
            path = Path(own_file).expanduser()
            if not _is_file(name, path):
                raise WeightsError(
                    f"weights of {name} must be a file, got {own_file!r}; correct the path or leave it out"
                )
            return WeightsFile(path, _sha256(name, path))
        found = self.find(name)
        if found is not None:
            return checked(self._model(name), found)
        if self.allow_network:
            return self.fetch(name)
        raise WeightsError(self._missing(self._model(name)))

    def find(self, name: str) -> Path | None:
        """Return where the file of model `name` is on this machine, unchecked, or None. Never uses the network."""
        model = self._model(name)
        for directory in self._directories():
            if _is_file(name, directory / model.file):
                return directory / model.file
        if isinstance(model.source, HubFile):
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(model.source.repository, model.source.filename)
            if isinstance(cached, str):
                return Path(cached)
        path = cache_directory() / model.file
        return path if path.is_file() else None

    def fetch(self, name: str) -> WeightsFile:
        """Have the file of model `name` in the weights directory, or in a cache if none is set, and return it.

        What is anywhere on this machine is not downloaded again. Raises WeightsError as `resolve` does.
        """
        model = self._model(name)
        try:
            file = checked(model, self.find(name) or self._download(model))
            wanted = next((directory / model.file for directory in self._directories()), file.path)
            return file if wanted == file.path else WeightsFile(_copied(file.path, wanted), file.sha256)
        except OSError as error:
            raise WeightsError(
                f"the directory for the weights of {name} must be writable, got {error}; choose another --weights-dir"
            ) from error

    def _model(self, name: str) -> Model:
        if name not in self.models:
            known = ", ".join(self.models)
            raise WeightsError(f"model must be one of {known}, got {name!r}; `condset weights list` shows them")
        return self.models[name]

    def _directories(self) -> Iterator[Path]:
        """Yield the directories that the user has named, the most explicit first."""
        if self.directory is not None:
            yield self.directory
        if os.environ.get(VARIABLE):
            yield Path(with_home(os.environ[VARIABLE]))

    def _download(self, model: Model) -> Path:
        """Download `model` to where it belongs; from the hub, into the hub's cache, where other programs look too."""
        reason = _why_unreachable(model)
        if reason is not None:
            raise WeightsError(self._missing(model, f", and its server cannot be reached: {reason}"))
        if isinstance(model.source, HubFile):
            return self._from_hub(model, model.source)
        destination = next(self._directories(), cache_directory()) / model.file
        file = WebFile(model.url, destination, WeightsError, "--weights-dir", model.sha256, model.size_bytes)
        download(file, progress_bar)
        return destination

    def _from_hub(self, model: Model, source: HubFile) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(source.repository, source.filename))
        except hub_failures() as error:
            said = " ".join(str(error).split())
            raise WeightsError(self._missing(model, f", and the hub answered: {said}")) from error

    def _missing(self, model: Model, attempt: str = "") -> str:
        directories = list(self._directories())
        option = f" --weights-dir {directories[0]}" if directories else ""
        return (
            f"weights of {model.name} must be in a file {model.file}, got none in"
            f" {' or '.join([*map(str, directories), 'the cache'])}{attempt}; run"
            f" `condset weights fetch {model.name}{option}` where there is a network, or put {model.url}"
            f" at {next(iter(directories), cache_directory()) / model.file}"
        )


def cache_directory() -> Path:
    """Return where what does not come from the hub is kept: $XDG_CACHE_HOME/condset/weights."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "condset" / "weights"


def checked(model: Model, path: Path) -> WeightsFile:
    """Return the file at `path` if it is the one that `model` describes, else raise WeightsError.

    The size is compared first: it finds a truncated file without reading it.
    """
    advice = (
        f"delete {path.resolve()} and run `condset weights fetch {model.name}`,"
        " or name it as `weights` of the annotator if it is a network of your own"
    )
    size_bytes = path.stat().st_size
    if model.size_bytes not in (None, size_bytes):
        raise WeightsError(
            f"weights of {model.name} must be {model.size_bytes} bytes long, got {size_bytes} in {path}; {advice}"
        )
    digest = _sha256(model.name, path)
    if not digest.startswith(model.sha256):
        raise WeightsError(f"weights of {model.name} must have sha256 {model.sha256}, got {digest} in {path}; {advice}")
    return WeightsFile(path, digest)


def load_state_dict(file: WeightsFile) -> "dict[str, Tensor]":
    """Read a network's parameters onto the CPU, by the names that the network gives them.

    Takes them out of a checkpoint's "state_dict", "model" or "adapter" entry and from under the "module." of
    DataParallel. Nothing in the file is executed (`weights_only`). Raises WeightsError if torch cannot read the file or
    finds no parameters.
    """
    import torch

    with torch.serialization.safe_globals(_harmless_globals()):
        try:
            content = torch.load(file.path, map_location="cpu", weights_only=True)
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


class _Discarded:
    """Takes the place of an mmengine HistoryBuffer (a training curve) in a checkpoint, and is thrown away with it."""

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
        # A HistoryBuffer names its methods by getattr, which must not run on behalf of a file.
        (_Discarded, "builtins.getattr"),
    ]


def _rebuilder(value: object) -> Callable[..., Any]:
    """Return the function that pickle calls to have a value like this one again."""
    reduced = value.__reduce__()
    assert not isinstance(reduced, str), "a string would name a global in place of a value"
    function: Callable[..., Any] = reduced[0]
    return function


def _why_unreachable(model: Model) -> str | None:
    """Say why `model` cannot be downloaded now, or None."""
    if isinstance(model.source, str):
        return why_unreachable(model.source)
    return why_hub_unreachable(model.source.repository, model.source.filename)


def _sha256(name: str, path: Path) -> str:
    with _unreadable_explained(name):
        return file_sha256(path)


def _is_file(name: str, path: Path) -> bool:
    with _unreadable_explained(name):  # pathlib raises for a directory that may not be entered
        return path.is_file()


@contextlib.contextmanager
def _unreadable_explained(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(f"weights of {name} must be readable, got {error}; correct its permissions") from error


def _copied(source: Path, destination: Path) -> Path:
    partial = destination.with_name(f"{destination.name}.{os.getpid()}{PARTIAL}")
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, partial)
    return partial.replace(destination)


def _named_beside_tensors(path: Path) -> str:
    """Say which classes or functions a checkpoint names that may not be run; nothing for what is no such file."""
    import torch

    try:
        named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except UNREADABLE:
        return ""
    return f"one that names {', '.join(named[:3])}" if named else ""
