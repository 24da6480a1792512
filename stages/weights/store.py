"""Find the file of a network's weights, and prove that it is the right one.

    own file ─────────────────────────────────────────────> hashed, used as it is
    --weights-dir, $CONDSET_WEIGHTS, cache ──> checked ───> used
                                └─ network ──> checked ──┘

Invariant: no file of a known model is used, or given its final name, before its hash has been checked. A wrong one is
an error, never replaced behind the user's back.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stages.errors import WeightsError
from stages.file_hash import file_sha256
from stages.locations import PARTIAL, with_home
from stages.web.download import WebFile, download, why_unreachable
from stages.web.progress import progress_bar
from stages.weights.catalogue import MODELS, HubFile, Model
from stages.weights.hub import hub_failures, why_hub_unreachable

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
            path = Path(with_home(own_file))
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
    return Path(with_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "condset" / "weights"


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
