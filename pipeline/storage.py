"""A directory of the data set, local or behind any fsspec URL, and the one way to write a file into it.

    create("0000000.tar") ──> 0000000.tar.<attempt>.partial ──sync──rename──> 0000000.tar

A file exists under its name only when it is complete. The partial name is unique to the attempt, because a worker that
was given up for lost may still be writing. Object stores have no rename but publish an upload only when it is closed,
which is the same promise.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stages.errors import WorkerError

PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory by its path or fsspec URL; picklable, holds no connection."""

    location: str

    def __truediv__(self, name: str) -> "Directory":
        return Directory(f"{self.location.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.location

    @property
    def _path(self) -> Path:
        return Path(self.location)

    def make(self) -> None:
        """Create the directory and its parents."""
        self._path.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """The names of the files in it, unsorted; empty if there is no such directory."""
        try:
            with os.scandir(self._path) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        return (self._path / name).exists()

    def size(self, name: str) -> int:
        return (self._path / name).stat().st_size

    def read(self, name: str) -> bytes:
        """Read a whole file; FileNotFoundError if there is none."""
        return (self._path / name).read_bytes()

    def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`, fewer at the end of the file."""
        with (self._path / name).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        return (self._path / name).open("rb")

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""
        (self._path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Write a file that appears under its name, complete and synced, when the block ends without an error.

        Raises WorkerError if the partial file has been removed meanwhile, which another run in the same directory does.
        """
        final = self._path / name
        partial = self._path / f"{name}.{uuid.uuid4().hex}{PARTIAL}"
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            try:
                partial.rename(final)
            except FileNotFoundError:
                raise WorkerError(
                    f"{partial} must stay until it is renamed, got removed; let only one run write to {self.location}"
                ) from None
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        self._sync()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file in one piece, as `create` does."""
        with self.create(name) as file:
            file.write(content)

    def remove_partials(self) -> None:
        """Remove what attempts that were cut off have left."""
        for name in self.names():
            if name.endswith(PARTIAL):
                self.remove(name)

    def _sync(self) -> None:
        """Make the renames in this directory survive a power cut."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
