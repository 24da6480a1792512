"""Which tars a pattern means, and opening them where they are.

"{00000..00002}.tar" ──braces──> three names ──glob, if they have one of *?[──> the files that match, sorted
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from stages.errors import ConfigError, SourceError
from stages.locations import open_file
from stages.sources.file_patterns import find_names
from stages.sources.index.names import is_unicode

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def find_tars(files: "AbstractFileSystem", root: str, where: str, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the names below root that patterns mean: in the order of the patterns, sorted in each, none twice.

    `where` is root as the user wrote it. Raises ConfigError for unbalanced braces and SourceError for a pattern that
    matches nothing; a plain name need not exist, since opening it will tell.
    """
    expanded = (name for pattern in patterns for name in _expand(pattern))
    names = find_names(files, root, where, "source.tars", expanded)
    for name in names:
        if not is_unicode(name):
            raise SourceError(f"{where} tar {name!r} must have a name in UTF-8; rename it")
    return names


def _expand(pattern: str) -> list[str]:
    from braceexpand import braceexpand

    try:
        return list(braceexpand(pattern, escape=False))
    except ValueError as error:
        raise ConfigError(f"source.tars must be names with balanced braces, got {pattern!r} ({error})") from None


@contextlib.contextmanager
def open_tar(files: "AbstractFileSystem", root: str, where: str, tar: str) -> Iterator[BinaryIO]:
    """Open one tar for reading its headers: locally nothing else is read; elsewhere in blocks of some megabytes.

    Raises SourceError if there is no such file, if it cannot be read, or if it is compressed.
    """
    path = f"{where.rstrip('/')}/{tar}"
    try:
        with open_file(files, f"{root}/{tar}") as file:
            _refuse_compressed(file, path)
            yield file
    except FileNotFoundError:
        raise SourceError(f"{path} must be a tar, got no file; fix source.root or source.tars") from None
    except OSError as error:
        raise SourceError(f"{path} must be readable, got {error}; fix the storage and run again") from error


def _refuse_compressed(file: BinaryIO, path: str) -> None:
    start = file.read(8)
    for signature, name in COMPRESSED.items():
        if start.startswith(signature):
            raise SourceError(f"{path} must be an uncompressed tar, got {name}; unpack it once")
    file.seek(0)
