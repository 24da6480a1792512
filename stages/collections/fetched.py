"""fetched.json: what lies in a collection's directory, where it came from, and how far its unpacking is.

Written whole or not at all, after each step; so whoever comes after an interruption knows what is done.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from stages.errors import SourceError
from stages.locations import PARTIAL
from stages.settings import Settings

FILE = "fetched.json"


class FetchedArchive(Settings):
    """One archive that is on the disk, or was and is unpacked."""

    url: str
    """Where condset downloaded it; empty if somebody else put it there, and then it is never removed."""
    sha256: str
    """Of the archive as it was received."""
    size_bytes: int
    files: dict[str, int] = Field(default_factory=dict)
    """How many it holds by folder below the root; nothing before its unpacking has begun."""
    is_unpacked: bool = False


_ENTRIES = TypeAdapter(dict[str, FetchedArchive])


def read_fetched(root: Path) -> dict[str, FetchedArchive]:
    """Read the entries by the names of their archives; none if nothing was fetched. SourceError if it is garbled."""
    path = root / FILE
    try:
        return _ENTRIES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"]) or "content"
        raise SourceError(
            f"{path} {place} must be what condset fetch wrote, got: {problem['msg']}; delete {path}: what is unpacked"
            " already stays and is compared"
        ) from None


def write_fetched(root: Path, entries: Mapping[str, FetchedArchive]) -> None:
    """Write the entries in the place of the former ones."""
    partial = root / f".{FILE}{PARTIAL}"
    with partial.open("wb") as file:
        file.write(_ENTRIES.dump_json(dict(entries), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(root / FILE)
