"""Which files the patterns of a source mean.

["00000.parquet", "part-*.parquet"] ──glob, if they have one of *?[──> names below the root, none twice
"""

import glob
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stages.errors import SourceError
from stages.locations import driver_errors, is_hidden

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def find_names(
    files: "AbstractFileSystem", root: str, where: str, setting: str, patterns: Iterable[str]
) -> tuple[str, ...]:
    """Return the names below root that patterns mean: in the order of the patterns, sorted in each, none twice.

    `where` is root as the user wrote it, `setting` what the patterns were given as. Only plain names mean hidden
    files. Raises SourceError for a pattern that matches nothing or a storage that fails; a plain name need not exist,
    since opening it will tell.
    """
    names: list[str] = []
    for pattern in patterns:
        matches = sorted(_matches(files, root, where, pattern)) if glob.has_magic(pattern) else [pattern]
        if not matches:
            raise SourceError(f"{setting} {pattern} must match files in {where}, got none; fix the pattern or root")
        names += matches
    return tuple(dict.fromkeys(names))


def _matches(files: "AbstractFileSystem", root: str, where: str, pattern: str) -> list[str]:
    try:
        with driver_errors():
            found = files.glob(f"{glob.escape(root)}/{pattern}")
    except OSError as error:
        raise SourceError(f"{where} must be readable, got {error}; fix the storage and run again") from None
    names = (path.removeprefix(root).lstrip("/") for path in found)
    return [name for name in names if not is_hidden(name)]
