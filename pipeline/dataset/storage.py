"""A directory of the data set, local or behind any fsspec URL, and the one way to write a file into it.

    local:     create("0000000.tar") ──> 0000000.tar.<attempt>.partial ──sync──rename──> 0000000.tar
    elsewhere: create("0000000.tar") ──> a temporary file here ──upload──> 0000000.tar

A file exists under its name only when it is complete. The partial name is unique to the attempt, because a worker that
was given up for lost may still be writing. Object stores have no rename, or one that copies, but publish an upload only
when it is complete, which is the same promise.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from stages.errors import ConfigError, WorkerError
from stages.locations import file_system, local_path, read_bytes

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory by its path or fsspec URL; picklable, holds no connection."""

    location: str

    def __post_init__(self) -> None:
        """Refuse the empty name that an unset shell variable gives: "/shards" would be below it."""
        if not self.location:
            raise ConfigError("a directory must be a path or URL, got an empty one; name it, or . for this one")

    def __truediv__(self, name: str) -> "Directory":
        return Directory(f"{self.location.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.location

    def make(self) -> None:
        """Create the directory and its parents; an object store may have nothing to create."""
        files, path = file_system(self.location)
        files.makedirs(path, exist_ok=True)

    def names(self) -> list[str]:
        """The names of the files in it, unsorted; empty if there is no such directory."""
        local = local_path(self.location)
        try:
            if local is not None:
                with os.scandir(local) as entries:
                    return [entry.name for entry in entries]
            files, path = self._fresh()
            found = (name.rstrip("/") for name in files.ls(path, detail=False))
            return [
                name.rpartition("/")[2] for name in found if name != path
            ]  # some stores list the directory in itself
        except FileNotFoundError:
            return []

    def exists(self, name: str) -> bool:
        files, path = self._fresh()
        return bool(files.exists(f"{path}/{name}"))

    def size(self, name: str) -> int:
        files, path = self._fresh()
        return int(files.size(f"{path}/{name}"))

    def read(self, name: str) -> bytes:
        """Read a whole file; FileNotFoundError if there is none."""
        return self.read_range(name, 0, None)

    def read_range(self, name: str, offset: int, length: int | None) -> bytes:
        """Read `length` bytes from `offset`, fewer at the end of the file; None reads on to the end."""
        if local_path(self.location) is not None:
            with self.open(name) as file:
                file.seek(offset)
                return file.read(-1 if length is None else length)
        files, path = file_system(self.location)
        return read_bytes(files, f"{path}/{name}", offset or None, None if length is None else offset + length)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        local = local_path(self.location)
        if local is not None:
            return (local / name).open("rb")
        files, path = self._fresh()
        return cast(BinaryIO, files.open(f"{path}/{name}", "rb"))

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""
        files, path = file_system(self.location)
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(f"{path}/{name}")

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Write a file that appears under its name, complete and synced, when the block ends without an error.

        Raises WorkerError if the partial file has been removed meanwhile, which another run in the same directory does.
        """
        local = local_path(self.location)
        with _renamed(local, name) if local is not None else self._uploaded(name) as file:
            yield file

    def write(self, name: str, content: bytes) -> None:
        """Write a small file in one piece, as `create` does."""
        with self.create(name) as file:
            file.write(content)

    def remove_partials(self) -> None:
        """Remove what attempts that were cut off have left."""
        for name in self.names():
            if name.endswith(PARTIAL):
                self.remove(name)

    def _fresh(self) -> "tuple[AbstractFileSystem, str]":
        """The file system without what it remembers of this directory: other processes write into it."""
        files, path = file_system(self.location)
        files.invalidate_cache(path)
        return files, path

    @contextlib.contextmanager
    def _uploaded(self, name: str) -> Iterator[BinaryIO]:
        """Write here, upload when all is written: fsspec would publish the half of a file whose writer fails."""
        with tempfile.NamedTemporaryFile(prefix="condset-") as file:
            yield cast(BinaryIO, file)
            file.flush()
            files, path = file_system(self.location)
            files.put_file(file.name, f"{path}/{name}")


@contextlib.contextmanager
def _renamed(directory: Path, name: str) -> Iterator[BinaryIO]:
    """Write under a partial name, sync, rename, sync the directory."""
    partial = directory / f"{name}.{uuid.uuid4().hex}{PARTIAL}"
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            partial.rename(directory / name)
        except FileNotFoundError:
            raise WorkerError(
                f"{partial} must stay until it is renamed, got removed; let only one run write to {directory}"
            ) from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # makes the rename survive a power cut
    finally:
        os.close(descriptor)
