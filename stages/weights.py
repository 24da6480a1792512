"""Where each network's weights come from, under which licence, and that a file is what it claims to be."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file whose content has been checked."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class WeightsStore:
    """Finds weights in `directory`, then in the local hub cache, then on the network."""

    directory: Path | None = None
    allow_network: bool = True

    def resolve(self, name: str, own_file: str | None = None) -> WeightsFile:
        """Return the checked file of model `name`, or of the user's own file in its place."""
        raise NotImplementedError
