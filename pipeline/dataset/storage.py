"""A directory of the data set, local or behind any fsspec URL, and the one way to write a file into it.

    publish("0000000.tar") ──> draft ──> 0000000.tar, unless somebody has published another one
    create("dataset.json") ──> draft ──> dataset.json, in place of the former one

A file exists under its name only when it is complete: see `drafts`.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from pipeline.dataset.drafts import Draft, LocalDraft, UploadDraft
from stages.errors import ConfigError
from stages.locations import PARTIAL, file_system, local_path, read_bytes, with_home

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory by its path or fsspec URL; picklable, holds no connection."""

    location: str

    def __post_init__(self) -> None:
        """Refuse the empty name that an unset shell variable gives: "/shards" would be below it. Expand `~`."""
        if not self.location:
            raise ConfigError("a directory must be a path or URL, got an empty one; name it, or . for this one")
        object.__setattr__(self, "location", with_home(self.location))

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

    def draft(self, name: str) -> Draft:
        """Begin a file that appears under its name when it is published or put in place, complete and synced."""
        local = local_path(self.location)
        return LocalDraft(local, name) if local is not None else UploadDraft(self.location, name)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Write a file that appears, in place of a former one, when the block ends without an error.

        Raises WorkerError if the partial file has been removed meanwhile, which another run in the same directory does.
        """
        draft = self.draft(name)
        try:
            yield draft.file
            draft.replace()
        finally:
            draft.discard()

    @contextlib.contextmanager
    def publish(self, name: str) -> Iterator[BinaryIO]:
        """Write a file as `create` does, but never in place of one of other bytes: that is a ShardConflict."""
        draft = self.draft(name)
        try:
            yield draft.file
            draft.publish()
        finally:
            draft.discard()

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
